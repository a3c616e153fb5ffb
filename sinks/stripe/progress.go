package stripe

import (
	"encoding/json"
	"strings"
)

// progress is what the steps have made so far, kept with the attempt, so that
// the next one goes on where this one stopped.
type progress struct {
	Done     int    `json:"done"` // steps that are finished
	Customer string `json:"customer,omitempty"`
	Invoice  string `json:"invoice,omitempty"`
}

// parseProgress reads what an earlier attempt kept. What cannot be read starts
// anew, which the idempotency keys make harmless.
func parseProgress(kept []byte) progress {
	var p progress
	if json.Unmarshal(kept, &p) != nil || p.Done < 0 || (p.Done > 0 && p.Customer == "") || (p.Done > 1 && p.Invoice == "") {
		return progress{}
	}
	return p
}

func (p progress) encode() []byte {
	text, err := json.Marshal(p)
	if err != nil {
		return nil // a struct of texts and a number always marshals
	}
	return text
}

// note takes the id that a step gave.
func (p *progress) note(step, id string) {
	p.Done++
	switch step {
	case customerStep:
		p.Customer = id
	case invoiceStep:
		p.Invoice = id
	}
}

// fill puts the ids in the places of references.
func (p progress) fill(text string) string {
	return strings.NewReplacer("{customer}", p.Customer, "{invoice}", p.Invoice).Replace(text)
}
