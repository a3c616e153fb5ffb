package delivery

// chains is a hash table from a key's hash to the last entry of its chain. The
// entries hold the keys, so that a slot costs four bytes: a map of Go costs
// five times as much, and there is one chain per parked key. Linear probing;
// removal shifts back, so that there are no tombstones.
type chains struct {
	slots []id // none where empty; the length is a power of two
	used  int
}

func (c *chains) get(entries []entry, key uint64) id {
	if len(c.slots) == 0 {
		return none
	}
	return c.slots[c.find(entries, key)]
}

// find returns the slot of key, or the empty one where it belongs.
func (c *chains) find(entries []entry, key uint64) int {
	mask := len(c.slots) - 1
	at := int(key) & mask //nolint:gosec // the low bits of a hash
	for c.slots[at] != none && entries[c.slots[at]].key != key {
		at = (at + 1) & mask
	}
	return at
}

// put sets the last entry of a chain.
func (c *chains) put(entries []entry, key uint64, i id) {
	if 4*(c.used+1) > 3*len(c.slots) {
		c.resize(entries, max(8, 2*len(c.slots)))
	}
	at := c.find(entries, key)
	if c.slots[at] == none {
		c.used++
	}
	c.slots[at] = i
}

func (c *chains) remove(entries []entry, key uint64) {
	mask := len(c.slots) - 1
	hole := c.find(entries, key)
	if c.slots[hole] == none {
		return
	}
	c.used--
	for at := (hole + 1) & mask; c.slots[at] != none; at = (at + 1) & mask {
		home := int(entries[c.slots[at]].key) & mask //nolint:gosec // the low bits of a hash
		// The entry at `at` may fill the hole unless its home lies between them.
		if (at-home)&mask >= (at-hole)&mask {
			c.slots[hole] = c.slots[at]
			hole = at
		}
	}
	c.slots[hole] = none
	if len(c.slots) > 64 && 8*c.used < len(c.slots) {
		c.resize(entries, len(c.slots)/2)
	}
}

func (c *chains) resize(entries []entry, n int) {
	old := c.slots
	c.slots = make([]id, n)
	for i := range c.slots {
		c.slots[i] = none
	}
	for _, i := range old {
		if i != none {
			c.slots[c.find(entries, entries[i].key)] = i
		}
	}
}
