package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"holdfast.internal/internal/topics"
)

// after the last kill the load goes on for so long, so that its resume is seen.
const after = 5 * time.Second

// play is one run from services to figures.
func play(ctx context.Context, o options) (*figures, error) {
	dir := o.logs
	if dir == "" {
		tmp, err := os.MkdirTemp("", "holdfast-chaos-")
		if err != nil {
			return nil, err
		}
		defer func() { _ = os.RemoveAll(tmp) }()
		dir = tmp
	} else if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	s, err := startServices(ctx, o.services)
	if err != nil {
		return nil, err
	}
	defer s.stop(ctx)
	p, err := newProducer(o, s)
	if err != nil {
		return nil, err
	}
	defer p.client.Close()
	if err := p.clear(ctx); err != nil {
		return nil, err
	}
	b := newBook(o.faults)
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	go b.watchStalls(watching)
	v, err := startVendor(ctx, b)
	if err != nil {
		return nil, err
	}
	defer v.close()
	h, err := setUp(ctx, o, s, dir, v.url)
	if err != nil {
		return nil, err
	}
	r := &rampage{o: o, s: s, h: h, book: b, random: rand.New(rand.NewPCG(o.seed, 2))} //nolint:gosec // chance, not secrecy
	defer r.end()
	if err := r.startAll(ctx); err != nil {
		return nil, err
	}
	if err := r.underLoad(ctx, p); err != nil {
		return nil, err
	}
	quiet := r.quiet(ctx, len(p.acknowledged()))
	dead, err := h.dead(ctx)
	if err != nil {
		return nil, err
	}
	backwards, err := p.backwards(ctx, topics.Group(h.sink))
	if err != nil {
		return nil, err
	}
	slowest, err := r.stopAll()
	if err != nil {
		return nil, err
	}
	f := judge(o, b, p.acknowledged(), dead, r.kills, r.bounces)
	f.Act, f.CommitsBackwards, f.Grown = o.act, backwards, r.grown
	f.Quiet, f.SlowestStop = quiet.Seconds(), slowest.Seconds()
	f.check(o)
	return f, ctx.Err()
}

// rampage kills workers and brokers.
type rampage struct {
	o      options
	s      *services
	h      *holdfast
	book   *book
	random *rand.Rand

	kills []kill
	grown float64 // MiB that a worker held more at the end of an outage

	mu      sync.Mutex
	bounces []span
}

func (r *rampage) startAll(ctx context.Context) error {
	for _, w := range r.h.workers {
		if err := w.start(); err != nil {
			return err
		}
	}
	for _, w := range r.h.workers {
		if err := w.ready(ctx); err != nil {
			return err
		}
	}
	say("%d workers are ready; %d events/s to %d keys, %.0f %% of requests fail", len(r.h.workers), r.o.rate, r.o.keys, 100*r.o.faults)
	return nil
}

// underLoad acts while events are written.
func (r *rampage) underLoad(ctx context.Context, p *producer) error {
	loading, stop := context.WithCancel(ctx)
	defer stop()
	var wg sync.WaitGroup
	var produced error
	wg.Go(func() { produced = p.run(loading) })
	err := r.act(ctx)
	stop()
	wg.Wait()
	return errors.Join(err, produced)
}

// killWorkers kills a random worker again and again, and starts it within a second.
func (r *rampage) killWorkers(ctx context.Context) error {
	ends := time.Now().Add(r.o.length)
	for len(r.kills) < r.o.kills && time.Now().Before(ends) {
		if !pause(ctx, r.o.every-time.Second) {
			return ctx.Err()
		}
		w := r.h.workers[r.random.IntN(len(r.h.workers))]
		k := kill{worker: w.name, watch: r.book.watch(w.name)}
		w.kill()
		k.at = time.Now()
		dead := time.Duration(r.random.Int64N(int64(time.Second)))
		if !pause(ctx, dead) {
			return ctx.Err()
		}
		r.book.restarted(k.watch, time.Now())
		if err := w.start(); err != nil {
			return err
		}
		r.kills = append(r.kills, k)
		say("killed %s (%d keys), started again after %d ms", w.name, len(k.watch.keys), dead.Milliseconds())
		if !pause(ctx, time.Second-dead) {
			return ctx.Err()
		}
	}
	return nil
}

// bounceBrokers kills one broker a third of the way through and, in a long
// run, another after two thirds.
func (r *rampage) bounceBrokers(ctx context.Context) error {
	first := r.random.IntN(brokers)
	for n := range 2 {
		if r.o.short && n > 0 {
			return nil
		}
		if !pause(ctx, r.o.length/3) {
			return nil
		}
		broker := (first+n)%brokers + 1
		say("broker %d is killed", broker)
		r.absent(true)
		if err := r.s.bounce(context.WithoutCancel(ctx), broker); err != nil {
			return err
		}
		r.absent(false)
		say("broker %d is back", broker)
	}
	return nil
}

// Bounds on the wait for quiet.
const (
	quietAfter = 20 * time.Second // without a request
	quietMost  = 6 * time.Minute
	// quietEach is how long one event may take where an outage has left many: the
	// vendor asks for waits of a second, which hold a worker to some 40 a second.
	quietEach = 50 * time.Millisecond
)

// quiet waits until everything was answered, or nothing moves any more.
func (r *rampage) quiet(ctx context.Context, sent int) time.Duration {
	began := time.Now()
	most := max(quietMost, time.Duration(sent)*quietEach)
	for time.Since(began) < most && pause(ctx, 200*time.Millisecond) {
		settled, last := r.book.settled()
		if settled >= sent || time.Since(last) > quietAfter {
			break
		}
	}
	// What was settled may still be sent again, and must not be.
	pause(ctx, 2*time.Second)
	took := time.Since(began)
	settled, _ := r.book.settled()
	say("quiet after %.1f s: %d of %d events settled", took.Seconds(), settled, sent)
	return took
}

func (r *rampage) stopAll() (slowest time.Duration, err error) {
	var all []error
	for _, w := range r.h.workers {
		took, err := w.stop()
		slowest = max(slowest, took)
		all = append(all, err)
	}
	return slowest, errors.Join(all...)
}

// end leaves no worker behind, however the run ended.
func (r *rampage) end() {
	for _, w := range r.h.workers {
		w.kill()
	}
}
