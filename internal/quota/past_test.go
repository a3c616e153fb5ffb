package quota

import (
	"testing"
	"time"
)

// talk is a log that one process reads and others write.
type talk struct {
	now  time.Time
	next int64
	*peer
}

func newTalk(id string, from int64) *talk {
	return &talk{now: time.Unix(1e9, 0), next: from, peer: newPeer(id)}
}

// hear has the process read what another writes that has read all.
func (t *talk) hear(m *message) {
	if m.Basis == 0 {
		m.Basis = t.next - 1
	}
	t.read(t.now, t.next, m)
	t.next++
}

func (t *talk) pass(d time.Duration) { t.now = t.now.Add(d) }

// act lets the process write and read what it wrote; it returns what it granted.
func (t *talk) act() []grant {
	var grants []grant
	for _, m := range t.tick(t.now) {
		if m.Round != nil {
			grants = append(grants, m.Round.Grants...)
		}
		t.hear(m)
	}
	return grants
}

// wants is a demand for all of a limit of 100/s and a burst of 20.
func wants(from string, seq uint64, by string, ack uint64) *message {
	w := want{Limit: "l", Total: share{100, 20}, Want: 100, Need: 1, By: by, Ack: ack}
	return &message{From: from, Demand: &demand{Seq: seq, Limits: []want{w}}}
}

func gives(from string, n uint64, horizon int64, grants ...grant) *message {
	return &message{From: from, Horizon: horizon, Round: &round{N: n, Grants: grants}}
}

func static(from string, seq uint64, horizon int64, part share) *message {
	m := wants(from, seq, "", 0)
	m.Horizon, m.Demand.Static = horizon, true
	if !part.none() {
		m.Demand.Limits[0].Static = &part
	}
	return m
}

func rated(to string, seq uint64, rate float64) grant {
	return grant{To: to, Seq: seq, Limit: "l", Share: share{rate, rate / 5}}
}

// TestANewGranterKnowsWhatWasPromised: it grants at once, where it has read a
// whole term, and no more than nobody may hold.
func TestANewGranterKnowsWhatWasPromised(t *testing.T) {
	t.Parallel()
	old := gives("old/1", 7, 0, rated("a/1", 1, 60), rated("b/1", 1, 30))
	for name, c := range map[string]struct {
		log  []*message // from offset 100 on
		want float64    // that is granted to d, who holds nothing; -1 for no grant at all
	}{
		"nobody says how old it is":        {[]*message{old, wants("a/1", 2, "old/1", 7)}, -1},
		"it is younger than a term":        {[]*message{old, wants("a/1", 2, "old/1", 7), gives("old/1", 8, 99)}, -1},
		"all of it is known":               {[]*message{old, wants("a/1", 2, "old/1", 7), gives("old/1", 8, 100)}, 10},
		"what stands before is over":       {[]*message{old, wants("a/1", 2, "", 0), wants("b/1", 2, "", 0), gives("old/1", 8, 101)}, 33},
		"one has less and runs on more":    {[]*message{old, gives("old/1", 8, 100, rated("a/1", 1, 40)), wants("a/1", 2, "old/1", 7)}, 10},
		"one has less and says so":         {[]*message{old, gives("old/1", 8, 100, rated("a/1", 1, 40)), wants("a/1", 2, "old/1", 8)}, 30},
		"one has left":                     {[]*message{old, gives("old/1", 8, 100), {From: "a/1", Demand: &demand{Seq: 3, Gone: true}}}, 69.3},
		"a round that does not count here": {[]*message{old, {From: "old/1", Basis: 42, Horizon: 0, Round: &round{N: 8, Grants: []grant{rated("b/1", 1, 35)}}}, gives("old/1", 9, 100)}, 5},
		"static shares are counted, and what was granted before is over": {[]*message{old, static("a/1", 1, 100, share{60, 12}), static("b/1", 1, 100, share{15, 3})}, 16.2},
		"nobody knows what a static share is":                            {[]*message{old, gives("old/1", 8, 100), static("s/1", 1, 0, share{})}, -1},
		"nobody here knows whether a static demand counts":               {[]*message{{From: "a/1", Horizon: 100, Demand: &demand{Seq: 2}}, {From: "s/1", Basis: 42, Demand: &demand{Seq: 1, Static: true}}}, -1},
		"a static demand is void":                                        {[]*message{old, gives("old/1", 8, 100), {From: "s/1", Basis: 100, Demand: &demand{Seq: 1, Static: true}}}, 10},
		"some of what was promised has ended":                            {[]*message{old, gives("old/1", 8, 100, rated("b/1", 2, 60)), wants("a/1", 2, "old/1", 7)}, -1},
		"a horizon that its writer has not seen":                         {[]*message{old, {From: "x/1", Basis: 90, Horizon: 100, Demand: &demand{Seq: 1}}}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newTalk("c/1", 100)
			for _, m := range c.log {
				p.hear(m)
			}
			p.hear(wants("d/1", 1, "", 0))
			p.granter.own(true)
			p.act() // the claim
			got := -1.0
			for _, g := range p.act() {
				if g.To == "d/1" {
					got = max(got, g.Share.Rate)
				}
			}
			if got < c.want-0.5 || got > c.want+1e-9 {
				t.Errorf("granted %.2f/s, want %.2f", got, c.want)
			}
		})
	}
}

// TestWhatWasInheritedEndsAtTheHorizon, which comes sooner than a term after
// it was read.
func TestWhatWasInheritedEndsAtTheHorizon(t *testing.T) {
	t.Parallel()
	p := newTalk("c/1", 100)
	p.hear(gives("old/1", 7, 0, rated("dead/1", 1, 90)))
	p.hear(gives("old/1", 8, 100))
	p.hear(wants("d/1", 1, "", 0))
	p.granter.own(true)
	p.act()
	granted := func(seq uint64, horizon int64) (rate float64) {
		m := wants("d/1", seq, "", 0)
		m.Horizon = horizon
		p.pass(tickEvery)
		p.hear(m)
		for _, g := range p.act() {
			rate = g.Share.Rate
		}
		return rate
	}
	if got := granted(2, 100); got > 10 {
		t.Errorf("granted %.1f/s beside 90 of 100", got)
	}
	if got := granted(3, 101); got < 98 {
		t.Errorf("granted %.1f/s, though the other 90 have ended", got)
	}
}

// TestAReignBeginsOnce: a claim that was written twice, because the first was
// slow, takes nothing back of what was granted in between.
func TestAReignBeginsOnce(t *testing.T) {
	t.Parallel()
	p := newTalk("c/1", 0)
	p.hear(wants("a/1", 1, "", 0))
	p.granter.own(true)
	p.act()
	p.pass(counted(Term))
	p.hear(wants("a/1", 2, "", 0))
	if got := p.act(); len(got) != 1 || got[0].Share.Rate != 99 {
		t.Fatalf("granted %v, want all", got)
	}
	p.hear(&message{From: "c/1", Claim: true})
	p.hear(wants("b/1", 1, "", 0))
	for _, g := range p.act() {
		if g.To == "b/1" && g.Share.Rate > 1+1e-9 {
			t.Errorf("granted %v, of which a holds 99", g)
		}
	}
	if p.granter.limits["l"] == nil {
		t.Error("what was granted is forgotten")
	}
}

// TestTheHorizonIsATermBack, by the clock that saw less time pass.
func TestTheHorizonIsATermBack(t *testing.T) {
	t.Parallel()
	began := time.Now() // with a monotonic clock
	for name, c := range map[string]struct {
		now  time.Time
		want int64
	}{
		"too early":                   {began.Add(counted(Term) - time.Millisecond), 0},
		"a term later":                {began.Add(counted(Term)), 50},
		"the wall clock was set back": {began.Round(0).Add(-time.Hour), 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := past{term: Term}
			p.pass(began, 50)
			p.pass(c.now, 60)
			if p.horizon != c.want {
				t.Errorf("the horizon is %d, want %d", p.horizon, c.want)
			}
		})
	}
	p := past{term: Term}
	for i := range int64(10 * maxWay) { // a clock that stands still
		p.pass(began, i)
	}
	if len(p.way) > maxWay {
		t.Errorf("%d waypoints are kept", len(p.way))
	}
}

// TestWhoComesBackAsksInItsOwnPlace, and not beside the one that was killed.
func TestWhoComesBackAsksInItsOwnPlace(t *testing.T) {
	t.Parallel()
	b, now := newBoard(Term), time.Unix(1e9, 0)
	for i, from := range []string{"w1/a", "w2/a", "/x", "w1/b", "/y", "dir/w2/a"} {
		b.post(now, int64(i), from, wants(from, 1, "", 0).Demand)
	}
	got := b.askers(now, "l")
	if _, there := got["w1/a"]; there || len(got) != 5 {
		t.Errorf("%v ask", got)
	}
	b.horizon = 2
	if got := b.askers(now, "l"); len(got) != 4 {
		t.Errorf("%v ask, where what stands before 2 is older than a term", got)
	}
}

// TestAnswersCountOnceAReignHasSettled: those who start with the granter send
// little yet, and a limit would be cut to that.
func TestAnswersCountOnceAReignHasSettled(t *testing.T) {
	t.Parallel()
	p := newTalk("c/1", 100)
	p.hear(wants("a/1", 1, "", 0))
	p.hear(gives("old/1", 8, 100))
	p.granter.own(true)
	p.act()
	if len(p.act()) == 0 {
		t.Fatal("the reign does not begin at once")
	}
	refused := 0.0
	ceiling := func() (least float64) {
		refused += 20
		m := wants("a/1", uint64(refused), "", 0)
		m.Demand.Limits[0].Answers = tally{Took: 3 * refused, Refused: refused, Tokens: 4 * refused}
		p.hear(m)
		for _, g := range p.act() {
			least = g.Ceiling
		}
		return least
	}
	for range 5 {
		p.pass(climbPause / 4)
		if c := ceiling(); c != 0 {
			t.Fatalf("cut to %.0f/s before a term has passed", c)
		}
	}
	for range 8 {
		p.pass(climbPause / 4)
		if ceiling() > 0 {
			return
		}
	}
	t.Error("a quarter of the requests is refused, and nothing is cut")
}

// TestAGranterThatIsKilledAgainAndAgain grants at once, although it reads the
// claims of those it comes after.
func TestAGranterThatIsKilledAgainAndAgain(t *testing.T) {
	t.Parallel()
	s := newSim(1, Limit{Name: "account", Rate: 200, Burst: 20})
	for range 3 {
		s.join(33, 1)
	}
	var back time.Duration // when it was started again; 0 while it sends
	kill := 6 * time.Second
	for s.now < time.Minute {
		if s.now >= kill {
			s.kill(s.owner)
			s.owner.backAt = s.now + 500*time.Millisecond
			back, kill = s.owner.backAt, s.now+2500*time.Millisecond
		}
		if err := s.step(5 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
		if back > 0 && !s.owner.dead && s.owner.bucket.tokens.share.Rate > 20 {
			if took := s.now - back; took > 300*time.Millisecond {
				t.Errorf("at %v: %v after its start", s.now, took)
			}
			back = 0
		}
	}
	if back > 0 && s.now-back > 300*time.Millisecond {
		t.Errorf("nothing since %v", back)
	}
}
