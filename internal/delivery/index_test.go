package delivery

import (
	"slices"
	"testing"
	"unsafe"

	"pgregory.net/rapid"
)

func TestAnEntryIs32Bytes(t *testing.T) {
	t.Parallel()
	if size := unsafe.Sizeof(entry{}); size != 32 {
		t.Errorf("an entry has %d bytes", size)
	}
}

// TestTheIndexIsAChainPerKeyInOrder holds the index against a plain list.
func TestTheIndexIsAChainPerKeyInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		x := newIndex()
		model := map[uint64][]int64{} // by key, the origins in order; the first may be in flight
		ids := map[int64]id{}
		flies := map[uint64]bool{}
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			key := rapid.Uint64Range(0, 5).Draw(t, "key") << 32 // collide in the low bits
			origin := int64(key>>32)*1000 + rapid.Int64Range(0, 40).Draw(t, "origin")
			chain := model[key]
			switch rapid.SampledFrom([]string{"insert", "insert", "remove", "fly", "land"}).Draw(t, "step") {
			case "insert":
				if _, ok := ids[origin]; ok {
					continue
				}
				e := entry{key: key, origin: origin}
				e.set(stored)
				ids[origin] = x.insert(e)
				from := 0
				if flies[key] && len(chain) > 0 {
					from = 1
				}
				at := from
				for at < len(chain) && chain[at] < origin {
					at++
				}
				model[key] = slices.Insert(chain, at, origin)
			case "remove":
				if len(chain) == 0 {
					continue
				}
				at := rapid.IntRange(0, len(chain)-1).Draw(t, "which")
				first := x.remove(ids[chain[at]])
				delete(ids, chain[at])
				model[key] = slices.Delete(chain, at, at+1)
				if at == 0 {
					flies[key] = false
				}
				if key != 0 && len(model[key]) > 0 && first != ids[model[key][0]] {
					t.Fatalf("after the removal key %d is led by another", key)
				}
			case "fly":
				if key != 0 && len(chain) > 0 {
					x.at(ids[chain[0]]).set(flying)
					flies[key] = true
				}
			case "land":
				if key != 0 && len(chain) > 0 && flies[key] {
					x.at(ids[chain[0]]).set(stored)
					flies[key] = false
					slices.Sort(chain)
					if first := x.settleDown(x.first(key)); first != ids[chain[0]] {
						t.Fatalf("key %d is led by another than its earliest", key)
					}
				}
			}
		}
		live := 0
		for key, chain := range model {
			live += len(chain)
			for at, origin := range chain {
				i := x.find(key, origin)
				if i != ids[origin] {
					t.Fatalf("origin %d of key %d is not found", origin, key)
				}
				if key != 0 && x.leads(i) != (at == 0) {
					t.Fatalf("origin %d of key %d leads: %v", origin, key, x.leads(i))
				}
			}
			if x.find(key, -1) != none || x.find(key, 1<<40) != none {
				t.Fatal("found what is not there")
			}
		}
		seen := 0
		x.each(func(id, *entry) { seen++ })
		if seen != live || x.live != live {
			t.Fatalf("%d entries, %d counted, want %d", seen, x.live, live)
		}
	})
}
