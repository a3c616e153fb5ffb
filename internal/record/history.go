package record

import (
	"encoding/json"
	"slices"
	"time"

	"holdfast.internal"
)

// Entry is one attempt in a record's history.
type Entry struct {
	Time      time.Time      `json:"time"`
	Tier      string         `json:"tier,omitempty"` // "" for the source topic
	Class     holdfast.Class `json:"class,omitempty"`
	Status    int            `json:"status,omitempty"`
	Code      string         `json:"code,omitempty"`
	RequestID string         `json:"request_id,omitempty"`
	Millis    int64          `json:"ms"`
}

// History keeps the first attempt and the last seven.
type History []Entry

const lastKept = 7

// Add appends an entry and drops the oldest but the first beyond the bound.
func (h History) Add(e Entry) History {
	e.Time = e.Time.UTC().Truncate(time.Millisecond)
	e.Code, e.RequestID = clip(e.Code, maxWord), clip(e.RequestID, maxWord)
	next := slices.Concat(h, History{e})
	if extra := len(next) - 1 - lastKept; extra > 0 {
		next = append(next[:1:1], next[1+extra:]...)
	}
	return next
}

func (h History) encode() []byte {
	for len(h) > 0 {
		b, err := json.Marshal(h)
		if err != nil {
			return nil
		}
		if len(b) <= MaxAttempts {
			return b
		}
		if len(h) == 1 {
			return nil
		}
		h = append(h[:1:1], h[2:]...)
	}
	return nil
}

func readHistory(b []byte) History {
	var h History
	if len(b) > 2*MaxAttempts || json.Unmarshal(b, &h) != nil {
		return nil
	}
	return h
}
