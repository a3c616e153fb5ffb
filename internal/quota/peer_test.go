package quota

import (
	"fmt"
	"testing"
	"time"
)

// TestLimitsComeAndGo: a limit that everybody has forgotten costs nothing, and
// one that comes back is granted anew.
func TestLimitsComeAndGo(t *testing.T) {
	t.Parallel()
	now, offset := time.Unix(1e9, 0), int64(0)
	p := newPeer("only")
	p.granter.own(true)
	live := func(d time.Duration) {
		for end := now.Add(d); now.Before(end); now = now.Add(tickEvery) {
			for _, m := range p.tick(now) {
				p.read(now, offset, m)
				offset++
			}
		}
	}
	uses := func(b *Bucket) (tokens int) {
		for range 20 {
			if ok, _ := b.take(now, 1); ok {
				tokens++
			}
			live(100 * time.Millisecond)
		}
		return tokens
	}
	add := func(i int) *Bucket {
		return p.add(Limit{Name: fmt.Sprint("tenant ", i), Rate: 5, Burst: 2}, func() float64 { return 1 })
	}
	var gone []*Bucket
	for i := range 100 {
		gone = append(gone, add(i))
	}
	live(5 * time.Second)
	if n := uses(gone[7]); n < 5 || n > 12 {
		t.Errorf("%d tokens in 2 s at 5/s", n)
	}
	for _, b := range gone {
		p.remove(b)
	}
	last := add(100)
	live(5 * time.Second)
	if n := len(p.granter.limits); n != 1 {
		t.Errorf("the granter remembers %d limits, of which one is left", n)
	}
	again := add(7)
	p.remove(gone[7]) // no more than its name is the same
	if n := uses(again); n < 5 || n > 12 {
		t.Errorf("%d tokens in 2 s at 5/s, of a limit that came back", n)
	}
	if n := uses(last); n < 5 || n > 12 {
		t.Errorf("%d tokens in 2 s at 5/s, beside those that came and went", n)
	}
}
