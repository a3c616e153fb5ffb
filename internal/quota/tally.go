package quota

import "math"

// tally counts the answers of a vendor: requests that it took, requests that
// it refused for being too many, and the tokens of both.
type tally struct {
	Took    float64 `json:"took,omitempty"`
	Refused float64 `json:"refused,omitempty"`
	Tokens  float64 `json:"tokens,omitempty"`
}

func (t tally) requests() float64 { return t.Took + t.Refused }

// share is the part of the requests that was refused.
func (t tally) share() float64 { return t.Refused / max(1, t.requests()) }

// shareAtMost is what the share may be where chance played along: two standard
// deviations above what was seen.
func (t tally) shareAtMost() float64 {
	p := t.share()
	return p + 2*math.Sqrt(p*(1-p)/max(1, t.requests()))
}

func (t tally) plus(o tally) tally {
	return tally{Took: t.Took + o.Took, Refused: t.Refused + o.Refused, Tokens: t.Tokens + o.Tokens}
}

// minus never goes below 0.
func (t tally) minus(o tally) tally {
	return tally{Took: max(0, t.Took-o.Took), Refused: max(0, t.Refused-o.Refused), Tokens: max(0, t.Tokens-o.Tokens)}
}

func (t tally) times(f float64) tally {
	return tally{Took: t.Took * f, Refused: t.Refused * f, Tokens: t.Tokens * f}
}
