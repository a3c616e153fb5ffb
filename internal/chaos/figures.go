package main

import (
	"fmt"
	"time"
)

// figures is the JSON object at the end of a run.
type figures struct {
	Act string `json:"act"`

	Sent         int `json:"sent"` // acknowledged by the brokers
	Applied      int `json:"applied"`
	Lost         int `json:"lost"`
	AppliedTwice int `json:"applied_twice"`
	DeadLetters  int `json:"dead_letters"`
	Requests     int `json:"requests"`

	Kills   int `json:"kills"`
	Bounces int `json:"bounces"` // of brokers

	// Duplicates are requests for events that had been answered before.
	Duplicates int `json:"duplicates"`
	// PerKill is the mean, WorstKill the most of a kill while all brokers were
	// up; Allowed is what was in flight and 100 ms of settles.
	PerKill   float64 `json:"duplicates_per_kill"`
	WorstKill int     `json:"duplicates_worst_kill"`
	Allowed   int     `json:"duplicates_allowed_per_kill"`
	// BrokerDown and Unexplained follow no kill of the worker that had the
	// answer; the former met a broker's absence, in which nobody can commit.
	BrokerDown  int `json:"duplicates_broker_down"`
	Unexplained int `json:"duplicates_unexplained"`

	// Zombie are duplicates that a frozen worker sent when it went on.
	Zombie int `json:"duplicates_zombie"`
	// CommitsBackwards are commits that moved an offset back: of former owners.
	CommitsBackwards int `json:"commits_backwards"`

	OrderBreaks   int    `json:"order_breaks"`
	OrderBreaksBy breaks `json:"order_breaks_by"`

	// Overshoot is by window: requests beyond rate·(w + 25 ms) + burst; null without a limit.
	Overshoot map[string]int `json:"limit_overshoot"`
	// LongestStall is how long the vendor itself did not run at most; what it
	// saw then is not held against the limit.
	LongestStall float64 `json:"vendor_stall_max_s"`

	// Resume is from a worker's start (of an orderly restart: from the signal to
	// stop) to the first request for a key that it had served last, in seconds,
	// while all brokers were up; without the time for which the vendor had told
	// it to wait.
	ResumeP50 float64 `json:"resume_p50_s"`
	ResumeP99 float64 `json:"resume_p99_s"`
	// ResumeTroubled is the longest of the other kills.
	ResumeTroubled float64 `json:"resume_broker_down_max_s"`
	NotResumed     int     `json:"not_resumed"`

	// TakenOver is how long the keys of a frozen worker stood still, in seconds.
	TakenOver float64 `json:"taken_over_s,omitempty"`
	// LongestPause is the longest time in which nothing was settled, and BackAfter
	// from the return of the last broker to the first settled event; in seconds.
	LongestPause float64 `json:"longest_pause_s"`
	BackAfter    float64 `json:"back_after_s,omitempty"`
	// Grown is how much more memory a worker held at the end of an outage, in MiB.
	Grown float64 `json:"grown_mib,omitempty"`

	Quiet       float64 `json:"quiet_after_s"`
	SlowestStop float64 `json:"slowest_stop_s"`

	Broken []string `json:"broken"` // promises, in words
}

// resumeTold is from when on a restart is told of while all brokers were up: its
// log is worth a look.
const resumeTold = 1500 * time.Millisecond

// Bounds that the promises state, in seconds.
const (
	resumeWithin   = 3
	stopWithin     = 25
	takeOverWithin = 12
	backWithin     = 30
	growth         = 64 // MiB
)

// judge turns what the vendor saw into figures.
func judge(o options, b *book, sent []string, dead map[string]bool, kills []kill, bounces []span) *figures {
	f := &figures{Sent: len(sent), DeadLetters: len(dead), Requests: len(b.arrivals), Kills: len(kills), Bounces: len(bounces), Broken: []string{}}
	f.Applied, f.AppliedTwice, f.Lost = b.outcome(sent, dead)
	f.OrderBreaksBy = b.orderBreaks(dead)
	f.OrderBreaks = f.OrderBreaksBy.total()
	f.Allowed = o.concurrency + b.busiest(100*time.Millisecond)
	d := b.duplicates(kills, bounces)
	f.Duplicates, f.BrokerDown, f.Zombie, f.Unexplained = d.total, d.brokerDown, d.zombie, d.unexplained
	if len(kills) > 0 {
		f.PerKill = float64(d.total-d.brokerDown-d.zombie-d.unexplained) / float64(len(kills))
	}
	f.LongestPause = b.longestPause().Seconds()
	if o.act == actOutage && len(bounces) > 0 {
		f.BackAfter = b.settledAfter(bounces[len(bounces)-1].to).Seconds()
	}
	var calm, away []time.Duration
	for i, k := range kills {
		took, ok := b.resumed(k.watch)
		felt := troubled(bounces, k.at, k.watch.end())
		switch {
		case k.frozen && ok:
			f.TakenOver = took.Seconds()
		case felt && ok:
			away = append(away, took)
		case ok:
			calm = append(calm, took)
			if took > resumeTold {
				say("%s, killed at %s, went on %.1f s after its start", k.worker, k.at.Format("15:04:05.0"), took.Seconds())
			}
		case !felt && len(k.watch.keys) > 0:
			f.NotResumed++
		}
		if !felt {
			f.WorstKill = max(f.WorstKill, d.perKill[i])
		}
	}
	f.ResumeP50, f.ResumeP99, f.ResumeTroubled = quantile(calm, 0.5), quantile(calm, 0.99), quantile(away, 1)
	f.LongestStall = b.longestStall().Seconds()
	if o.limit > 0 {
		f.Overshoot = map[string]int{}
		for _, w := range windows() {
			f.Overshoot[w.String()] = b.overshoot(w, float64(o.limit), o.burst)
		}
	}
	return f
}

// check names the promises that are broken.
func (f *figures) check(o options) {
	for _, p := range []struct {
		broken bool
		what   string
	}{
		{f.Lost > 0, fmt.Sprintf("P1: %d events are lost", f.Lost)},
		{f.AppliedTwice > 0, fmt.Sprintf("P2: %d events were applied twice", f.AppliedTwice)},
		{f.WorstKill > f.Allowed, fmt.Sprintf("P2: a kill made %d duplicate requests, %d are allowed", f.WorstKill, f.Allowed)},
		{o.act == actRestart && f.Duplicates > 0, fmt.Sprintf("P2: %d duplicate requests after orderly restarts", f.Duplicates)},
		{f.Unexplained > 0, fmt.Sprintf("P2: %d duplicate requests without a kill", f.Unexplained)},
		{f.OrderBreaks > 0, fmt.Sprintf("P3: order was broken %d times", f.OrderBreaks)},
		{f.DeadLetters > 0, fmt.Sprintf("P4: %d dead letters, though no event failed more than %d times", f.DeadLetters, maxFaults)},
		{f.Zombie > f.Allowed, fmt.Sprintf("P2: a frozen worker made %d duplicate requests when it went on, %d are allowed", f.Zombie, f.Allowed)},
		{f.CommitsBackwards > 0, fmt.Sprintf("P1: %d commits moved an offset back", f.CommitsBackwards)},
		{f.Sent == 0 || f.Kills+f.Bounces == 0 || o.act == actKill && f.Kills == 0, "nothing was sent or killed: this proves nothing"},
		{f.Grown > growth, fmt.Sprintf("P11: a worker grew by %.0f MiB while no broker answered, %d are allowed", f.Grown, growth)},
		{!o.busy && f.NotResumed > 0, fmt.Sprintf("after %d kills no key went on before the next kill", f.NotResumed)},
		{!o.busy && f.TakenOver > takeOverWithin, fmt.Sprintf("keys of a frozen worker went on after %.1f s, %d s are promised", f.TakenOver, takeOverWithin)},
		{!o.busy && f.BackAfter > backWithin, fmt.Sprintf("nothing was settled for %.1f s after the brokers were back, %d s are promised", f.BackAfter, backWithin)},
		{!o.busy && f.ResumeP99 > resumeWithin, fmt.Sprintf("keys of a restarted worker went on after %.1f s, %d s are promised", f.ResumeP99, resumeWithin)},
		{!o.busy && f.SlowestStop > stopWithin, fmt.Sprintf("a worker took %.1f s to stop, %d s are promised", f.SlowestStop, stopWithin)},
	} {
		if p.broken {
			f.Broken = append(f.Broken, p.what)
		}
	}
	for _, w := range windows() {
		tooShort := o.busy && w < time.Second // a pause of the machine moves more
		if n := f.Overshoot[w.String()]; n > 0 && !tooShort {
			f.Broken = append(f.Broken, fmt.Sprintf("P6: %d requests too many within %s at %d/s", n, w, o.limit))
		}
	}
}

// windows in which the limit must hold.
func windows() []time.Duration {
	return []time.Duration{100 * time.Millisecond, time.Second, 10 * time.Second}
}
