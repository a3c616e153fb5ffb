package quota

import (
	"encoding/json"
	"fmt"
)

// message is one record of the topic: a demand, a claim or a round.
type message struct {
	From string `json:"from"`
	// Basis is the last offset that the writer had read when it decided on
	// this; -1 for none.
	Basis int64 `json:"basis"`
	// Horizon: what stands before it the writer had read more than a term
	// before it decided on this; 0 for nothing.
	Horizon int64 `json:"horizon,omitempty"`
	// Claim: the writer is the granter from here on.
	Claim bool `json:"claim,omitempty"`
	// Demand is of one process.
	Demand *demand `json:"demand,omitempty"`
	// Round is of the granter.
	Round *round `json:"round,omitempty"`
}

// demand is what one process could use.
type demand struct {
	// Seq counts the demands of a process, from 1.
	Seq uint64 `json:"seq"`
	// Static: no granter was seen for a term, the writer goes by its static share.
	Static bool `json:"static,omitempty"`
	// Gone: the writer has stopped and holds nothing any more.
	Gone   bool   `json:"gone,omitempty"`
	Limits []want `json:"limits,omitempty"`
}

// want is the demand for one limit.
type want struct {
	Limit string `json:"limit"`
	// Total is the whole limit as the writer knows it: configured, or what
	// the vendor lowered it to.
	Total share `json:"total"`
	// Want is in tokens per second; Need is the largest cost of one record.
	Want float64 `json:"want"`
	Need float64 `json:"need"`
	// By and Ack are the granter and the round whose share the writer runs on.
	By  string `json:"by,omitempty"`
	Ack uint64 `json:"ack,omitempty"`
	// Static is what the writer goes by at most of a static demand; nil otherwise.
	Static *share `json:"static,omitempty"`
	// Answers is what the vendor answered to the writer since it began.
	Answers tally `json:"answers,omitzero"`
	// Day is the count of a daily quota as the writer knows it.
	Day *count `json:"day,omitempty"`
	// Ceiling is the last that the writer was told: a granter that is new goes
	// on from there. 0 for none.
	Ceiling float64 `json:"ceiling,omitempty"`
	// Noise was told with it.
	Noise float64 `json:"noise,omitempty"`
}

// round is what the granter gives. One without grants shows that it lives.
type round struct {
	N      uint64  `json:"n"` // counts the rounds of a process, from 1
	Grants []grant `json:"grants,omitempty"`
}

// grant is one share, for one term after the demand that it answers.
type grant struct {
	To    string `json:"to"`
	Seq   uint64 `json:"seq"` // the demand
	Limit string `json:"limit"`
	Share share  `json:"share"`
	// Ceiling is what the vendor's refusals leave of the limit, for all
	// together, in tokens per second; 0 for no ceiling.
	Ceiling float64 `json:"ceiling,omitempty"`
	// Noise is the share of requests that is refused whatever the rate.
	Noise float64 `json:"noise,omitempty"`
}

func (m *message) encode() []byte {
	value, err := json.Marshal(m)
	if err != nil { // NaN or Inf: a bug here, and no input can make it
		panic(fmt.Sprintf("quota: encode: %v", err))
	}
	return value
}

func decode(value []byte) (*message, error) {
	var m message
	if err := json.Unmarshal(value, &m); err != nil {
		return nil, fmt.Errorf("quota record: %w", err)
	}
	return &m, nil
}
