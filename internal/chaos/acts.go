package main

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// What may be done to a run; each is a promise of its own.
const (
	actKill    = "kill"    // workers are killed again and again, and a broker or two
	actRestart = "restart" // the workers are restarted orderly, one after the other
	actFreeze  = "freeze"  // a worker is stopped with SIGSTOP past its session, and goes on
	actOutage  = "outage"  // all brokers die and come back
	actRoll    = "roll"    // the brokers are restarted orderly, one after the other
)

// acts are all of them.
func acts() []string { return []string{actKill, actRestart, actFreeze, actOutage, actRoll} }

// calm is how long all is well before an act and after it.
const calm = 10 * time.Second

// act does what the run is about while events are written.
func (r *rampage) act(ctx context.Context) error {
	if r.o.act == actKill {
		return r.rage(ctx)
	}
	if !pause(ctx, calm) {
		return ctx.Err()
	}
	var err error
	switch r.o.act {
	case actRestart:
		err = r.restart(ctx)
	case actFreeze:
		err = r.freeze(ctx)
	case actOutage:
		err = r.outage(ctx)
	case actRoll:
		err = r.roll(ctx)
	}
	pause(ctx, calm)
	return err
}

// rage kills workers and brokers.
func (r *rampage) rage(ctx context.Context) error {
	raging, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	var bounced error
	wg.Go(func() { bounced = r.bounceBrokers(raging) })
	err := r.killWorkers(ctx)
	if err == nil {
		pause(ctx, after)
	}
	stop()
	wg.Wait()
	return errors.Join(err, bounced)
}

// restart restarts the workers one after the other, twice, as an upgrade does.
// Their keys stand still from the signal on.
func (r *rampage) restart(ctx context.Context) error {
	for n := range 2 * len(r.h.workers) {
		w := r.h.workers[n%len(r.h.workers)]
		k := kill{worker: w.name, watch: r.book.watch(w.name), at: time.Now()}
		r.book.restarted(k.watch, k.at)
		took, err := w.stop()
		if err == nil {
			err = w.start()
		}
		if err != nil {
			return err
		}
		r.kills = append(r.kills, k)
		say("restarted %s (%d keys), which took %d ms to stop", w.name, len(k.watch.keys), took.Milliseconds())
		if err := w.ready(ctx); err != nil || !pause(ctx, settling) {
			return err
		}
	}
	return nil
}

// freeze stops a worker for longer than its session. Others take its keys over;
// when it goes on it does not know that, and may commit nothing.
func (r *rampage) freeze(ctx context.Context) error {
	w := r.h.workers[r.random.IntN(len(r.h.workers))]
	k := kill{worker: w.name, frozen: true, watch: r.book.watch(w.name), at: time.Now()}
	r.book.restarted(k.watch, k.at)
	if err := w.freeze(); err != nil {
		return err
	}
	say("stopped %s (%d keys) for %s", w.name, len(k.watch.keys), r.o.lasting)
	pause(ctx, r.o.lasting)
	k.thawed = time.Now()
	r.kills = append(r.kills, k)
	return w.thaw()
}

// outage kills all brokers at once.
func (r *rampage) outage(ctx context.Context) error {
	before := r.rss()
	r.absent(true)
	for n := range brokers {
		if err := r.s.halt(ctx, n+1, false); err != nil {
			return err
		}
	}
	say("all brokers are dead for %s", r.o.lasting)
	pause(ctx, r.o.lasting)
	after := r.rss()
	r.grown = after - before
	say("workers hold %.0f MiB, %.0f before", after, before)
	var all sync.WaitGroup
	errs := make([]error, brokers) // a quorum needs two: none may wait for another
	for n := range brokers {
		all.Go(func() { errs[n] = r.s.start(context.WithoutCancel(ctx), n+1) })
	}
	all.Wait()
	r.absent(false)
	say("all brokers are back")
	return errors.Join(errs...)
}

// roll restarts the brokers one after the other, as an upgrade does.
func (r *rampage) roll(ctx context.Context) error {
	for n := range brokers {
		say("broker %d is restarted", n+1)
		r.absent(true)
		err := errors.Join(r.s.halt(ctx, n+1, true), r.s.start(context.WithoutCancel(ctx), n+1))
		r.absent(false)
		if err != nil || !pause(ctx, settling) {
			return err
		}
	}
	return nil
}

// absent notes that a broker goes, or that it is back.
func (r *rampage) absent(gone bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if gone {
		r.bounces = append(r.bounces, span{from: time.Now()})
		return
	}
	r.bounces[len(r.bounces)-1].to = time.Now()
}

// rss is the most that a worker holds in memory now, in MiB.
func (r *rampage) rss() float64 {
	most := 0.0
	for _, w := range r.h.workers {
		if w.cmd == nil {
			continue
		}
		status, _ := os.ReadFile("/proc/" + strconv.Itoa(w.cmd.Process.Pid) + "/status")
		for line := range strings.Lines(string(status)) {
			if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
				kib, _ := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
				most = max(most, kib/1024)
			}
		}
	}
	return most
}
