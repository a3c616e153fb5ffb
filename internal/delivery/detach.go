package delivery

// detachEvery is how many bytes come into memory between two looks at what stays there.
const detachEvery = 16 << 20

// stays counts what came into memory. A record is a piece of the batch that it
// was read in, and holds all of it: a thousand slow ones among many others would
// hold a thousand batches. Most are settled before anybody looks; what was there
// at two looks gets bytes of its own.
func (s *scheduler) stays(t *task) {
	t.look = s.look
	if s.came += t.size; s.came < detachEvery {
		return
	}
	s.came = 0
	s.look++
	for _, sh := range s.shards {
		for i, other := range sh.tasks.all() {
			if other.own || s.look-other.look < 2 {
				continue
			}
			// What is in flight is looked at without the mutex: next time.
			if st := sh.index.at(i).state(); st == held || st == queued {
				other.env.Detach()
				other.own = true
			}
		}
	}
}
