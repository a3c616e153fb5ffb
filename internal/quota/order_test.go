package quota

import "testing"

// TestWhatCounts: the place of a record among the others decides.
func TestWhatCounts(t *testing.T) {
	t.Parallel()
	claim := func(from string) *message { return &message{From: from, Claim: true} }
	round := func(from string, basis int64) *message { return &message{From: from, Basis: basis, Round: &round{}} }
	static := func(from string, basis int64) *message {
		return &message{From: from, Basis: basis, Demand: &demand{Static: true}}
	}
	want := func(from string) *message { return &message{From: from, Demand: &demand{}} }
	for name, c := range map[string]struct {
		log   []*message // from offset 10 on
		count bool       // the last one
	}{
		"a round after its claim":                      {[]*message{claim("g"), round("g", 10)}, true},
		"a round beside demands":                       {[]*message{claim("g"), want("a"), round("g", 10)}, true},
		"a round that did not know of a claim":         {[]*message{claim("g"), claim("h"), round("g", 10)}, false},
		"a round that did not know of a claim between": {[]*message{claim("g"), claim("h"), claim("g"), round("g", 10)}, false},
		"a round after a claim that was written twice": {[]*message{claim("g"), claim("g"), round("g", 10)}, true},
		"a round that did not know of a static demand": {[]*message{claim("g"), static("a", 10), round("g", 10)}, false},
		"a round that knew of a static demand":         {[]*message{claim("g"), static("a", 10), round("g", 11)}, true},
		"a round beside a void static demand":          {[]*message{claim("g"), round("g", 10), static("a", 10), round("g", 11)}, true},
		"a round that began before the reader":         {[]*message{want("a"), round("g", 8)}, false},
		"a round whose claim is older than the reader": {[]*message{want("a"), round("g", 9)}, true},
		"a static demand":                              {[]*message{claim("g"), static("a", 10)}, true},
		"one that did not know of a claim":             {[]*message{want("a"), claim("g"), static("a", 10)}, false},
		"one that did not know of a round":             {[]*message{claim("g"), round("g", 10), static("a", 10)}, false},
		"one beside another":                           {[]*message{claim("g"), static("b", 10), static("a", 10)}, true},
		"one that began before the reader":             {[]*message{static("a", 8)}, false},
		"a record that says nothing":                   {[]*message{claim("g"), {From: "g"}}, false},
		"one that cannot be read":                      {[]*message{claim("g"), nil}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var o order
			var counts bool
			for i, m := range c.log {
				counts, _ = o.read(int64(10+i), m)
			}
			if counts != c.count {
				t.Errorf("counts: %v", counts)
			}
		})
	}
}

// TestAGapBeginsAnew: nobody knows what stood there.
func TestAGapBeginsAnew(t *testing.T) {
	t.Parallel()
	var o order
	if _, anew := o.read(5, &message{Claim: true, From: "g"}); !anew || o.basis() != 5 {
		t.Errorf("the first record: anew %v, basis %d", anew, o.basis())
	}
	if _, anew := o.read(6, nil); anew {
		t.Error("the next record begins anew")
	}
	for _, at := range []int64{8, 3} {
		counts, anew := o.read(at, &message{From: "g", Basis: 6, Round: &round{}})
		if !anew || counts {
			t.Errorf("offset %d: counts %v, anew %v", at, counts, anew)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add((&message{From: "a", Basis: -1, Demand: &demand{Seq: 1, Limits: []want{{Limit: "l", Total: share{1, 1}, Want: 1, Need: 1}}}}).encode())
	f.Add((&message{From: "g", Round: &round{N: 1, Grants: []grant{{To: "a", Seq: 1, Limit: "l", Share: share{1, 1}}}}}).encode())
	f.Add([]byte(`{"from":"a","demand":null,"round":{"grants":[{}]},"claim":true}`))
	f.Add([]byte("garbage"))
	f.Fuzz(func(t *testing.T, value []byte) {
		m, err := decode(value)
		if err != nil {
			return
		}
		again, err := decode(m.encode())
		if err != nil || again.From != m.From || again.Basis != m.Basis || again.Claim != m.Claim {
			t.Errorf("%s became %+v: %v", value, again, err)
		}
	})
}
