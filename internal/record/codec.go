package record

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"
)

type headerWriter struct{ headers []kgo.RecordHeader }

func (w *headerWriter) bytes(name string, value []byte) {
	if len(value) > 0 {
		w.headers = append(w.headers, kgo.RecordHeader{Key: name, Value: value})
	}
}

func (w *headerWriter) text(name, value string) { w.bytes(name, []byte(value)) }

func (w *headerWriter) time(name string, t time.Time) {
	if !t.IsZero() {
		w.text(name, strconv.FormatInt(t.UnixMilli(), 10))
	}
}

func (w *headerWriter) positive(name string, n int) {
	if n > 0 {
		w.text(name, strconv.Itoa(n))
	}
}

// readInt returns 0 for anything but a number that fits 31 bits.
func readInt(s string) int {
	n, err := strconv.ParseInt(s, 10, 32)
	if err != nil || n < 0 {
		return 0
	}
	return int(n)
}

func readTime(s string) time.Time {
	ms, err := strconv.ParseInt(s, 10, 64)
	if err != nil || ms <= 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// String spells a redrive as job=rd-7f3a;count=1;by=ana.
func (r Redrive) String() string {
	clean := strings.NewReplacer(";", "_", "=", "_")
	return "job=" + clean.Replace(r.Job) + ";count=" + strconv.Itoa(r.Count) + ";by=" + clean.Replace(r.By)
}

func readRedrive(s string) Redrive {
	var r Redrive
	for part := range strings.SplitSeq(s, ";") {
		name, value, _ := strings.Cut(part, "=")
		switch name {
		case "job":
			r.Job = value
		case "count":
			r.Count = readInt(value)
		case "by":
			r.By = value
		}
	}
	return r
}

// clip cuts s to at most n bytes, at a rune's edge.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}
