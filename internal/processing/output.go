package processing

import (
	"strconv"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/topics"
)

// outputRecord renders the n-th output (from 1) of an event: the producer's
// own headers, the event id and the input's coordinates.
func (r *Runtime) outputRecord(env *record.Envelope, n int, key string, value []byte) *kgo.Record {
	id := env.Event.ID
	if n > 1 {
		id += "/" + strconv.Itoa(n)
	}
	out := &kgo.Record{Topic: r.cfg.Out, Value: value, Timestamp: outputTime(env.Event.Time, time.Now())}
	if key != "" {
		out.Key = []byte(key)
	}
	for _, h := range env.Event.Headers {
		if strings.HasPrefix(h.Name, "__") { // framing and other tools' own: they speak of the input
			continue
		}
		out.Headers = append(out.Headers, kgo.RecordHeader{Key: h.Name, Value: h.Value})
	}
	out.Headers = append(out.Headers,
		kgo.RecordHeader{Key: record.HeaderEventID, Value: []byte(id)},
		kgo.RecordHeader{Key: record.HeaderParent, Value: []byte(env.Event.Origin.String())})
	return out
}

// outputTime is the input's time, so that the end-to-end delay counts from
// there; but a topic's retention counts from it too, so what is made of an old
// record (a redrive, a long backlog) is stamped anew, and so is what claims to
// come from the future, which brokers refuse.
func outputTime(in, now time.Time) time.Time {
	if age := now.Sub(in); age < 0 || age > 24*time.Hour {
		return now
	}
	return in
}

// sizeOf is an upper bound of a record in a batch of its own.
func sizeOf(r *kgo.Record) int {
	const batch, perRecord, perHeader = 61, 64, 10
	size := batch + perRecord + len(r.Key) + len(r.Value)
	for _, h := range r.Headers {
		size += perHeader + len(h.Key) + len(h.Value)
	}
	return size
}

// deadLetter renders the input for the processor's dead-letter topic.
func (r *Runtime) deadLetter(env *record.Envelope, epoch int32, err error) *kgo.Record {
	verdict, f := holdfast.Judge(err)
	if verdict == holdfast.VerdictTransient || f.Class == "" {
		f.Class = holdfast.ClassTransform // an error that is no verdict
	}
	env.Sink = r.cfg.Name
	env.Fail(f, time.Now())
	r.oversize.cut(env)
	return env.ToDeadLetters(topics.DeadLetters(r.cfg.Name), env.At.Partition, epoch, topics.Group(r.cfg.Name))
}
