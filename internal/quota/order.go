package quota

// order is what one reader knows about the order of the records, and decides
// which of them count. Readers that began at different places agree wherever
// both can tell, and one that cannot tell says no.
type order struct {
	begun  bool
	start  int64 // the first offset read
	next   int64
	claim  mark // the last claim
	rival  mark // the last one of another than its writer
	reign  mark // the last claim or round
	static mark // the last static demand that may count
}

// mark is a record: where and whose.
type mark struct {
	at   int64
	from string
}

// basis is the last offset read, -1 for none.
func (o *order) basis() int64 {
	if !o.begun {
		return -1
	}
	return o.next - 1
}

// read takes the next record in. It reports whether the record counts; and
// whether reading began anew, at the start or because records are missing.
func (o *order) read(offset int64, m *message) (counts, anew bool) {
	if anew = !o.begun || offset != o.next; anew {
		none := mark{at: -1}
		*o = order{begun: true, start: offset, claim: none, rival: none, reign: none, static: none}
	}
	o.next = offset + 1
	if m == nil {
		return false, anew
	}
	// Everything between the basis and here was read. A basis that lies ahead
	// is of a topic that was deleted and made again.
	told := m.Basis >= o.start-1 && m.Basis < offset
	here := mark{at: offset, from: m.From}
	switch {
	case m.Claim:
		if o.claim.from != m.From {
			o.rival = o.claim
		}
		o.claim, o.reign = here, here
		counts = true
	case m.Round != nil:
		usurped := o.lastClaimBut(m.From).at > m.Basis
		counts = told && !usurped && o.static.at <= m.Basis
		o.reign = here
	case m.Demand != nil && m.Demand.Static:
		contradicted := o.reign.at > m.Basis
		counts = told && !contradicted
		if !contradicted {
			o.static = here
		}
	case m.Demand != nil:
		counts = true
	}
	return counts, anew
}

// lastClaimBut is the last claim of another than one process.
func (o *order) lastClaimBut(id string) mark {
	if o.claim.from == id {
		return o.rival
	}
	return o.claim
}
