package delivery

import (
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
	"holdfast.internal/internal/record"
)

// TestLettersCarryTheHeadersThatAreAskedFor, and no others.
func TestLettersCarryTheHeadersThatAreAskedFor(t *testing.T) {
	t.Parallel()
	for name, families := range map[string][]record.Compat{"none": nil, "spring": {record.Spring}} {
		w := &Worker{cfg: Config{Sink: "s", CompatHeaders: families}}
		env := record.Read(&kgo.Record{Topic: "t", Value: []byte("v")}, record.FromProducer)
		env.Fail(holdfast.Failure{Class: holdfast.ClassValidation, Err: errors.New("no")}, time.Now())
		r := w.letter(env, 3, 1)
		has := func(header string) bool {
			return slices.ContainsFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == header })
		}
		if r.Topic != "dlq.s" || r.Partition != 3 || !has("__dlq.errors.topic") || has("kafka_dlt-original-topic") != (families != nil) || has("__streams.errors.topic") {
			t.Errorf("%s: %s-%d with %v", name, r.Topic, r.Partition, r.Headers)
		}
	}
}
