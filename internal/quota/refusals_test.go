package quota

import (
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// fewer makes the vendor of a simulation take less than the limit, and say no
// number. It returns what counts the answers from a call to the next.
func (s *sim) fewer(r rate.Limit, burst int) (answers func() tally) {
	s.takes = rate.NewLimiter(r, burst)
	var before tally
	return func() tally {
		since := s.answered.minus(before)
		before = s.answered
		return since
	}
}

// pass lets time pass.
func (s *sim) pass(t *testing.T, d time.Duration) {
	t.Helper()
	for end := s.now + d; s.now < end; {
		if err := s.step(5 * time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
}

// TestReplicasFindALimitThatNobodyTold, together, however the load is spread,
// and a new granter goes on from there: one that takes over, and one that was
// killed, comes back under its name and remembers nothing.
func TestReplicasFindALimitThatNobodyTold(t *testing.T) {
	t.Parallel()
	const takes = 40
	for name, loads := range map[string][]float64{
		"skewed": {500, 5, 5},
		"even":   {500, 500, 500},
		"alone":  {500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSim(1, Limit{Name: "account", Rate: 5 * takes, Burst: takes})
			answers := s.fewer(takes, takes)
			for _, load := range loads {
				s.join(load, 1)
			}
			judge := func(when string, d time.Duration) {
				t.Helper()
				answers()
				s.pass(t, d)
				a := answers()
				used := a.Took / d.Seconds() / takes
				t.Logf("%s: %.2f %% refused, %.2f used", when, 100*a.share(), used)
				if a.share() > 0.01 || used < 0.8 {
					t.Errorf("%s: %.2f %% refused, %.2f used", when, 100*a.share(), used)
				}
			}
			s.pass(t, time.Minute)
			judge("a minute after the start", time.Minute)
			if len(loads) == 1 {
				return
			}
			granter := s.owner
			s.kill(granter)
			s.join(granter.load, 1)
			s.pass(t, session+10*time.Second)
			judge("after the granter was killed", time.Minute)
			fresh := s.join(100, 1)
			s.owner.granter.own(false)
			s.owner = fresh
			fresh.granter.own(true)
			s.pass(t, 5*time.Second)
			if got := fresh.granter.limits["account"].climb.ceiling(s.clock(fresh)); got > 1.5*takes {
				t.Errorf("a granter that just began goes on at %.0f/s", got)
			}
			judge("with a granter that just began", time.Minute)
		})
	}
}

// TestReplicasBearNoise: refusals that no rate explains, of one in ten requests.
func TestReplicasBearNoise(t *testing.T) {
	t.Parallel()
	s := newSim(1, Limit{Name: "account", Rate: 100, Burst: 20})
	answers := s.fewer(rate.Inf, 1)
	s.noise = 0.1
	for range 3 {
		s.join(100, 1)
	}
	s.pass(t, 10*time.Second)
	answers()
	s.pass(t, 5*time.Minute)
	if used := answers().requests() / (5 * 60 * 100); used < 0.8 {
		t.Errorf("%.2f of the limit used", used)
	}
}

// TestANewGranterKnowsTheNoise: the granter is killed every few seconds, and who
// comes after it does not take for the rate what was known to be chance.
func TestANewGranterKnowsTheNoise(t *testing.T) {
	t.Parallel()
	const limit = 200
	s := newSim(1, Limit{Name: "account", Rate: limit, Burst: 20})
	answers := s.fewer(rate.Inf, 1)
	s.noise = 0.02
	for range 3 {
		s.join(limit, 1)
	}
	s.pass(t, 20*time.Second)
	for range 12 {
		s.kill(s.owner)
		s.pass(t, 500*time.Millisecond)
		fresh := s.join(limit, 1)
		s.owner = fresh
		fresh.granter.own(true)
		s.pass(t, 5*time.Second)
	}
	answers()
	s.pass(t, 30*time.Second)
	used := answers().requests() / (30 * limit)
	t.Logf("%.2f of the limit used right after", used)
	if used < 0.7 {
		t.Errorf("%.2f of the limit used right after", used)
	}
}
