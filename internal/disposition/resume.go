package disposition

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/topics"
)

// Resume is a person's word that a sink may go on: its held mapping is free,
// refused credentials are tried again, and if Throttled is set, what a vendor
// asked for is over. It lies beside the dispositions, as
// that is where people on call may write, under a key that is no coordinates.
type Resume struct {
	By     string    `json:"by"`
	Reason string    `json:"reason"`
	At     time.Time `json:"at"`

	Throttled bool `json:"throttled,omitempty"`
}

// sinkPrefix begins the key of a sink; no topic's name has a slash.
const sinkPrefix = "sink/"

// Record renders the word for one sink.
func (r Resume) Record(sink string) (*kgo.Record, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode resume: %w", err)
	}
	return &kgo.Record{Topic: topics.Dispositions, Key: []byte(sinkPrefix + sink), Value: value}, nil
}

// ReadResume opens a record of holdfast.dispositions; ok is false for what is
// no word about a sink.
func ReadResume(rec *kgo.Record) (sink string, r Resume, ok bool) {
	sink, ok = strings.CutPrefix(string(rec.Key), sinkPrefix)
	if !ok || sink == "" || rec.Value == nil || json.Unmarshal(rec.Value, &r) != nil {
		return "", r, false
	}
	return sink, r, true
}
