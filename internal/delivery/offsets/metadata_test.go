package offsets_test

import (
	"encoding/base64"
	"encoding/binary"
	"math"
	"strings"
	"testing"

	"holdfast.internal/internal/delivery/offsets"
)

// told builds metadata from numbers, as runs.
func told(numbers ...uint64) string {
	var body []byte
	for _, n := range numbers {
		body = binary.AppendUvarint(body, n)
	}
	return "hf1r." + base64.RawURLEncoding.EncodeToString(body)
}

// bitmap builds metadata from bytes, as bits.
func bitmap(head uint64, bits ...byte) string {
	return "hf1b." + base64.RawURLEncoding.EncodeToString(append(binary.AppendUvarint(nil, head), bits...))
}

func TestBrokenMetadataIsNamedAndIgnored(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		start    int64
		metadata string
		rule     string
	}{
		"text of another client":         {5, "consumer-1", "not of a version"},
		"a later version":                {5, "hf2r.AAAA", "not of a version"},
		"longer than allowed":            {5, "hf1r." + strings.Repeat("A", 4092), "longer than 4096"},
		"not base64":                     {5, "hf1r.a+b/", "illegal base64"},
		"base64 with padding":            {5, "hf1r.BQEB==", "illegal base64"},
		"base64 with loose bits":         {5, "hf1b.BQF", "illegal base64"},
		"no committed offset":            {-1, told(5, 1, 1), "no committed offset"},
		"another offset":                 {6, told(5, 1, 1), "written for offset 5, found at 6"},
		"no head":                        {5, "hf1r.", "cut off"},
		"no body":                        {5, told(5), "nothing is finished"},
		"no bits":                        {5, bitmap(5), "nothing is finished"},
		"half a pair":                    {5, told(5, 1), "cut off"},
		"half a number":                  {5, "hf1r.BQGA", "cut off"},
		"an empty run":                   {5, told(5, 1, 0), "run is empty"},
		"runs that touch":                {5, told(5, 1, 1, 0, 1), "run is empty"},
		"a number that is no offset":     {5, told(5, 1, math.MaxInt64+1), "last possible offset"},
		"a start beyond the last offset": {5, told(5, math.MaxInt64, 1), "last possible offset"},
		"an end beyond the last offset":  {5, told(5, 1, math.MaxInt64-5), "last possible offset"},
		"bits beyond the last offset":    {math.MaxInt64 - 7, bitmap(math.MaxInt64-7, 1), "last possible offset"},
		"bits that end in a zero byte":   {5, bitmap(5, 1, 0), "zero byte"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr, err := offsets.New(c.start, c.metadata)
			if err == nil || !strings.HasPrefix(err.Error(), "commit metadata: ") || !strings.Contains(err.Error(), c.rule) {
				t.Fatalf("error %v, want one about %q", err, c.rule)
			}
			if tr.Add(max(c.start, 5)+1) || tr.Outstanding() != 1 {
				t.Fatal("broken metadata is believed")
			}
			if _, m, changed := tr.Commit(); m != "" || !changed {
				t.Fatalf("metadata %q, changed %t: the broken text is not replaced", m, changed)
			}
		})
	}
}

func TestTheShorterFormIsTaken(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		finish func(o int64) bool
		want   string
	}{
		"runs where few":          {func(o int64) bool { return o >= 500 && o < 900 }, told(0, 500, 400)},
		"bits where they mingle":  {func(o int64) bool { return o < 16 && o%2 == 1 }, bitmap(0, 0xaa, 0xaa)},
		"nothing where all is up": {func(int64) bool { return false }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			tr := start(t, 0, "")
			add(t, tr, 0, 1000)
			for o := range int64(1000) {
				if c.finish(o) {
					tr.Finish(o)
				}
			}
			if _, m, _ := tr.Commit(); m != c.want {
				t.Fatalf("metadata %q, want %q", m, c.want)
			}
		})
	}
}

func TestOnlyWhatIsFinishedMakesMetadataLonger(t *testing.T) {
	t.Parallel()
	tr := start(t, 0, "")
	for o := int64(0); o < 100_000; o += 2 { // a transaction marker after each record
		tr.Add(o)
	}
	tr.Finish(50_000)
	if _, m, _ := tr.Commit(); len(m) > 16 {
		t.Fatalf("%d bytes of metadata for one finished record", len(m))
	}
	if got := tr.Size(); got > 16 {
		t.Fatalf("size %d for one finished record", got)
	}
}

// TestSizeIsNearTheTruth walks a window that is too wide for the cheap bound.
func TestSizeIsNearTheTruth(t *testing.T) {
	t.Parallel()
	tr := start(t, 0, "")
	add(t, tr, 0, 200_000)
	for o := int64(100); o < 200_000; o += 200 {
		tr.Finish(o)
		size := tr.Size()
		_, m, _ := tr.Commit()
		if size < len(m) || size > len(m)+offsets.MaxMetadata/10 {
			t.Fatalf("size %d for %d bytes", size, len(m))
		}
	}
}

// TestSizeKeepsUpWhileWhatIsToldIsReadAgain: an owner that gave up the chunks
// of finished records tells of a stretch what the next one finds full of gaps.
func TestSizeKeepsUpWhileWhatIsToldIsReadAgain(t *testing.T) {
	t.Parallel()
	const far = 1 << 40
	tr := start(t, 0, "")
	for i := range int64(400) {
		tr.Add(i * far)
	}
	for i := range int64(400) {
		if i%20 != 0 {
			tr.Finish(i * far)
		}
	}
	offset, metadata, _ := tr.Commit()
	tr = start(t, offset, metadata)
	for i := range int64(400) {
		if tr.Add(i*far) != (i%20 != 0) {
			t.Fatalf("record %d is not known for what it is", i)
		}
		size := tr.Size()
		if _, m, _ := tr.Commit(); size < len(m) {
			t.Fatalf("size %d for %d bytes after record %d", size, len(m), i)
		}
	}
}
