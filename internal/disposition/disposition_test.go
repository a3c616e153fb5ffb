package disposition_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
	"holdfast.internal/internal/disposition"
)

var letter = holdfast.Coordinates{Topic: "dlq.s", Partition: 2, Offset: 17}

func TestEveryStateIsReadAsItWasWritten(t *testing.T) {
	t.Parallel()
	for state, closed := range map[disposition.State]bool{
		disposition.Redriven: true, disposition.Discarded: true, disposition.Skipped: true, disposition.Released: true,
		disposition.Acknowledged: false,
	} {
		wrote := disposition.Disposition{State: state, Job: "rd-1", By: "ana", Reason: "INC-1", At: time.Unix(1_700_000_000, 0).UTC()}
		r, err := wrote.Record(letter)
		if err != nil {
			t.Fatal(err)
		}
		at, read, ok := disposition.Read(r)
		if !ok || at != letter || read != wrote {
			t.Errorf("%s: read %v %+v %v", state, at, read, ok)
		}
		if state.Closed() != closed {
			t.Errorf("%s: closed is %v", state, !closed)
		}
	}
}

func TestATombstoneOpensAgainAndStrangersAreNoDispositions(t *testing.T) {
	t.Parallel()
	if _, d, ok := disposition.Read(&kgo.Record{Key: []byte(letter.String())}); !ok || d.State != disposition.Open {
		t.Errorf("a tombstone gives %+v, %v", d, ok)
	}
	for name, r := range map[string]*kgo.Record{
		"no coordinates":   {Key: []byte("k"), Value: []byte(`{"state":"discarded"}`)},
		"no json":          {Key: []byte(letter.String()), Value: []byte(`discarded`)},
		"an unknown state": {Key: []byte(letter.String()), Value: []byte(`{"state":"burnt"}`)},
	} {
		if _, _, ok := disposition.Read(r); ok {
			t.Errorf("%s counts as a disposition", name)
		}
	}
}
