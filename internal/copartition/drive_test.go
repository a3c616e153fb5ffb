package copartition

import (
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
)

// driveDynamic: workers without a name join, leave and die.
func driveDynamic(f *fleet) {
	f.t.Helper()
	began := time.Now()
	f.start("a", false)
	f.settled("the first joins", began)

	var b, c *worker
	for _, step := range []struct {
		name string
		as   **worker
	}{{"b", &b}, {"c", &c}} {
		began = time.Now()
		*step.as = f.start(step.name, false)
		if took := f.settled(step.name+" joins", began); took > 3*time.Second {
			f.t.Errorf("%s joins: %v, above two heartbeats and a margin", step.name, took)
		}
	}

	began = time.Now()
	f.start("d", false)
	f.start("e", false)
	f.settled("two join at once", began)

	began = time.Now()
	b.stop()
	if took := f.settled("b leaves", began); took > 3*time.Second {
		f.t.Errorf("b leaves: %v", took)
	}

	began = time.Now()
	c.kill()
	if took := f.settled("c is killed and stays away", began); took > session+4*time.Second {
		f.t.Errorf("c is killed: %v, above the session and a margin", took)
	}
}

// driveStatic: workers with names are killed and started again, and leave.
func driveStatic(f *fleet) {
	f.t.Helper()
	began := time.Now()
	// The first is the leader. Its name is the last, so that what it computes
	// after its restart, which knows no claims of its own, is not its old share
	// by chance. It may ask for a round more, in which nothing may move.
	a := f.start("z", true)
	f.settled("the first joins", began)
	b := f.start("b", true)
	c := f.start("c", true)
	f.settled("two more join", began)
	pass(2 * heartbeat)

	b = restart(f, "b is killed and restarted", b, a, c)
	a = restart(f, "the leader is killed and restarted", a, b, c)

	// A rolling restart: each stops with SIGTERM, which keeps its membership.
	for _, w := range []**worker{&a, &b, &c} {
		before, _ := (*w).owned()
		(*w).stop()
		pass(time.Second)
		began = time.Now()
		*w = f.start((*w).name, true)
		f.settled("rolling restart of "+(*w).name, began)
		if after, _ := (*w).owned(); !slices.Equal(before, after) {
			f.t.Errorf("%s had %v before its restart, %v after", (*w).name, before, after)
		}
	}
	pass(3 * heartbeat)

	c.stop()
	adm := kadm.NewClient(a.client)
	began = time.Now()
	if err := RemoveStatic(f.t.Context(), adm, f.group, "c"); err != nil {
		f.t.Fatal(err)
	}
	if took := f.settled("c is removed by its name", began); took > 3*time.Second {
		f.t.Errorf("c was removed by its name: %v", took)
	}
	if err := RemoveStatic(f.t.Context(), adm, f.group, "c"); err != nil {
		f.t.Errorf("a name that has left already: %v", err)
	}

	began = time.Now()
	b.kill()
	if took := f.settled("b is killed and stays away", began); took > session+4*time.Second {
		f.t.Errorf("b is killed: %v, above the session and a margin", took)
	}
}

// restart kills a worker and starts it again after a second: it has the same
// numbers at once, and the others are told nothing, then or later.
func restart(f *fleet, what string, w *worker, others ...*worker) *worker {
	f.t.Helper()
	before, _ := w.owned()
	calls := map[*worker]int{}
	for _, o := range others {
		_, calls[o] = o.owned()
	}
	w.kill()
	pass(time.Second)
	began := time.Now()
	w = f.start(w.name, true)
	if took := f.settled(what, began); took > 500*time.Millisecond {
		f.t.Errorf("%s: assigned after %v", what, took)
	}
	pass(4 * heartbeat)
	if after, n := w.owned(); !slices.Equal(before, after) || n != 1 {
		f.t.Errorf("%s: had %v before, %v after %d callbacks", what, before, after, n)
	}
	for _, o := range others {
		if _, n := o.owned(); n != calls[o] {
			f.t.Errorf("%s: %s had %d callbacks", what, o.name, n-calls[o])
		}
	}
	return w
}
