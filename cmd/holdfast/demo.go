package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/time/rate"

	"holdfast.internal/internal/dlq"
	"holdfast.internal/internal/example"
	"holdfast.internal/internal/lookup"
	"holdfast.internal/internal/vendorsim"
	"holdfast.internal/producers/outbox"
)

// demoOptions are the flags of demo outage.
type demoOptions struct {
	events int
	rate   float64
	outage time.Duration
	tiers  string
}

const demoSink = "stripe-invoices"

// demoRefused is how many invoices apart the ones are that the vendor refuses for good.
const demoRefused = 40

func demoCommand(g *globals) *cobra.Command {
	var o demoOptions
	c := &cobra.Command{
		Use:   "outage",
		Short: "Break the simulated vendor, watch records wait, mend it, redrive",
		Long: `Runs everything in one process, in a folder of its own that is deleted at the end,
and needs no dev beside it. The last line is a JSON object with the figures; exits
1 if an invoice was lost or applied twice.`,
		Example: "  holdfast demo outage\n  holdfast demo outage --events 300 --for 30s",
		Args:    usage(cobra.NoArgs),
		RunE:    func(c *cobra.Command, _ []string) error { return demoOutage(c.Context(), g, o) },
	}
	f := c.Flags()
	f.IntVar(&o.events, "events", 120, "`N` invoices to send")
	f.Float64Var(&o.rate, "rate", 12, "`RATE` in invoices per second")
	f.DurationVar(&o.outage, "for", 12*time.Second, "`DURATION` that the vendor is down; longer than all tiers together shows most")
	f.StringVar(&o.tiers, "tiers", "1s,2s,4s", "`DELAYS` of the retry tiers, rising")
	return group("demo", "See what holdfast does, in a minute or two", c)
}

// demoResult is the last line of the demo.
type demoResult struct {
	Events         int `json:"events"`
	Applied        int `json:"applied"`
	AppliedTwice   int `json:"applied_twice"`
	Lost           int `json:"lost"`
	DeadForOutage  int `json:"dead_for_outage"`
	DeadForRefusal int `json:"dead_for_refusal"`
	Redriven       int `json:"redriven"`
	NaiveLost      int `json:"naive_lost"`
}

var errDemo = errors.New("a figure misses its promise")

// demo is the stack, a second vendor for the naive loop, and what was sent.
type demo struct {
	*devStack
	o      demoOptions
	out    io.Writer
	naive  *vendorsim.Server
	conn   *connection
	events []string // ids
	result demoResult
}

// demoOutage runs the whole story and checks its figures.
func demoOutage(ctx context.Context, g *globals, o demoOptions) error {
	if err := checkTiers(o.tiers); err != nil {
		return err
	}
	quiet := *g
	quiet.err = io.Discard // the story is told on stdout; the log would tell it twice
	stack, err := startDev(ctx, &quiet, devOptions{ephemeral: true, tiers: o.tiers, listen: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	defer stack.stop()
	d := &demo{devStack: stack, o: o, out: g.out}
	if d.naive, err = vendorsim.Start(vendorsim.Options{Addr: "127.0.0.1:0"}); err != nil {
		return err
	}
	defer d.naive.Close()
	if d.conn, err = connect(ctx, stack.cfg); err != nil {
		return err
	}
	defer d.conn.close()

	working, stop := context.WithCancel(ctx)
	var pipeline sync.WaitGroup
	ready := make(chan struct{})
	var failed error
	pipeline.Go(func() { failed = d.app.run(working, func() { close(ready) }) })
	select {
	case <-ready:
		err = d.story(ctx)
	case <-ctx.Done():
	}
	stop()
	pipeline.Wait()
	if err = errors.Join(err, failed); err != nil {
		return err
	}
	return d.judge()
}

// story is the demo in its order.
func (d *demo) story(ctx context.Context) error {
	d.say("%d invoices, %.0f/s. The vendor goes down after 2 s, for %s; the tiers are %s.", d.o.events, d.o.rate, d.o.outage, d.o.tiers)
	if err := d.refuse(ctx, http.MethodPost); err != nil {
		return err
	}
	var loops sync.WaitGroup
	var lost atomic.Int64
	outage := time.AfterFunc(2*time.Second, func() {
		body := fmt.Sprintf(`{"kinds":["503"],"rate":1,"for":"%s"}`, d.o.outage)
		if errors.Join(d.tell(ctx, d.vendor, http.MethodPost, "/_sim/faults", body), d.tell(ctx, d.naive, http.MethodPost, "/_sim/faults", body)) == nil {
			d.say("the vendor is DOWN")
		}
	})
	defer outage.Stop()
	watching, stopWatch := context.WithCancel(ctx)
	defer stopWatch()
	go d.watch(watching)
	if err := d.send(ctx, &loops, &lost); err != nil {
		return err
	}
	if err := d.settle(ctx); err != nil {
		return err
	}
	loops.Wait()
	d.result.NaiveLost = int(lost.Load())
	if err := d.countDead(ctx); err != nil {
		return err
	}
	d.say("dead letters: %d for the outage, %d that the vendor refused for good", d.result.DeadForOutage, d.result.DeadForRefusal)
	d.say("the refusals are mended at the vendor; redrive")
	if err := d.refuse(ctx, http.MethodDelete); err != nil {
		return err
	}
	return d.redrive(ctx)
}

// send writes the invoices into the outbox, and starts a naive loop for each.
func (d *demo) send(ctx context.Context, loops *sync.WaitGroup, lost *atomic.Int64) error {
	gen := example.New(1)
	pace := rate.NewLimiter(rate.Limit(d.o.rate), 1)
	for i := range d.o.events {
		if err := pace.Wait(ctx); err != nil {
			return err
		}
		line := gen.Invoice()
		payload, err := json.Marshal(line.Value)
		if err != nil {
			return err
		}
		id := demoID(i)
		err = outbox.Insert(ctx, d.box.DB(), outbox.Event{ID: id, AggregateType: "invoice", AggregateID: line.Key, Type: "crm.invoice.issued", Payload: payload})
		if err != nil {
			return err
		}
		d.events = append(d.events, "holdfast/outbox/outbox/"+id)
		loops.Go(func() {
			if !d.naiveLoop(ctx, id) {
				lost.Add(1)
			}
		})
	}
	return nil
}

func demoID(i int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", i+1) }

// refused are the ids that the vendor refuses until it is mended.
func (d *demo) refusedIDs() []string {
	var ids []string
	for i := demoRefused - 1; i < d.o.events; i += demoRefused {
		ids = append(ids, demoID(i))
	}
	return ids
}

// naiveLoop is what scripts do: three tries, waits of 1 s and 2 s, in process.
func (d *demo) naiveLoop(ctx context.Context, id string) bool {
	for _, wait := range []time.Duration{0, time.Second, 2 * time.Second} {
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return false
		case <-timer.C:
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.naive.URL()+"/hooks/invoices", strings.NewReader("{}"))
		if err != nil {
			return false
		}
		req.Header.Set("Idempotency-Key", id)
		req.Header.Set("Holdfast-Event-Id", id)
		if do(req) == nil {
			return true
		}
	}
	return false
}

var errAnswer = errors.New("the vendor answered")

// do sends a request to a simulator on loopback.
func do(req *http.Request) error {
	client := &http.Client{Timeout: 5 * time.Second}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%w %d", errAnswer, resp.StatusCode)
	}
	return nil
}

func (d *demo) tell(ctx context.Context, v *vendorsim.Server, method, path, body string) error {
	req, err := http.NewRequestWithContext(ctx, method, v.URL()+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	return do(req)
}

// refuse makes both vendors refuse some records for good, or takes it back.
func (d *demo) refuse(ctx context.Context, method string) error {
	body, err := json.Marshal(map[string][]string{"events": d.refusedIDs()})
	if err != nil {
		return err
	}
	return errors.Join(d.tell(ctx, d.vendor, method, "/_sim/refuse", string(body)), d.tell(ctx, d.naive, method, "/_sim/refuse", string(body)))
}

// counts reads the vendor's ledger.
func (d *demo) counts() (applied, twice int) {
	for _, a := range d.vendor.Applied() {
		if a.Object != "invoice" {
			continue
		}
		applied++
		if a.Applies > 1 {
			twice++
		}
	}
	return applied, twice
}

// lag is how the sink stands.
func (d *demo) lag(ctx context.Context) (lookup.Lag, error) {
	all, err := d.conn.lookup().Lag(ctx, lookup.LagBudget())
	if err != nil {
		return lookup.Lag{}, err
	}
	for _, l := range all {
		if l.Sink == demoSink {
			return l, nil
		}
	}
	return lookup.Lag{}, nil
}

// watch prints a line every two seconds.
func (d *demo) watch(ctx context.Context) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		l, err := d.lag(ctx)
		if err != nil {
			continue
		}
		var waiting int64
		for _, tier := range l.Retry {
			waiting += tier.Waiting
		}
		applied, _ := d.counts()
		d.say("  applied %d, waiting in tiers %d, not reached yet %d, dead %d", applied, waiting, l.Live, l.DLQ)
	}
}

// demoPatience bounds the wait for everything to settle.
const demoPatience = 2 * time.Minute

// settle waits until every invoice is applied or refused.
func (d *demo) settle(ctx context.Context) error {
	return d.until(ctx, func() (bool, error) {
		applied, _ := d.counts()
		l, err := d.lag(ctx)
		return err == nil && applied+int(l.DLQ) >= d.o.events, nil
	})
}

var errPatience = errors.New("not settled in time")

func (d *demo) until(ctx context.Context, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, demoPatience+d.o.outage, errPatience)
	defer cancel()
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// countDead sorts the dead letters by what they died of.
func (d *demo) countDead(ctx context.Context) error {
	box, err := d.letters()
	if err != nil {
		return err
	}
	return box.List(ctx, dlq.ListOptions{}, func(l dlq.Letter) error {
		if l.Status == http.StatusPaymentRequired {
			d.result.DeadForRefusal++
		} else {
			d.result.DeadForOutage++
		}
		return nil
	})
}

func (d *demo) letters() (*dlq.Box, error) {
	for _, t := range targets(d.cfg) {
		if t.Name == demoSink {
			return d.conn.box(t), nil
		}
	}
	return nil, errNoTarget
}

// redrive sends the dead letters again and waits for the end.
func (d *demo) redrive(ctx context.Context) error {
	box, err := d.letters()
	if err != nil {
		return err
	}
	plan, err := box.Plan(ctx, dlq.Selection{})
	if err != nil {
		return err
	}
	sent, err := box.Redrive(ctx, plan, dlq.Job{ID: "rd-demo", By: "demo", Reason: "mended at the vendor"})
	if err != nil {
		return err
	}
	outcome, err := sent.Wait(ctx, func(dlq.Outcome) {})
	if err != nil {
		return err
	}
	d.result.Redriven = outcome.Delivered
	d.result.Events = d.o.events
	d.result.Applied, d.result.AppliedTwice = d.counts()
	d.result.Lost = d.o.events - d.result.Applied
	return nil
}

// judge prints the result and fails if a promise is broken.
func (d *demo) judge() error {
	r := d.result
	d.say("holdfast: %d of %d applied, each once; a naive loop of three tries lost %d of the same events", r.Applied, r.Events, r.NaiveLost)
	if err := writeJSON(d.out, r); err != nil {
		return err
	}
	refused := len(d.refusedIDs())
	if r.Lost != 0 || r.AppliedTwice != 0 || r.DeadForOutage != 0 || r.DeadForRefusal != refused || r.Redriven != refused {
		return exit(exitFailed, fmt.Errorf("%w: %s dead letters were expected, all for refusals", errDemo, strconv.Itoa(refused)))
	}
	return nil
}

func (d *demo) say(format string, args ...any) { _, _ = fmt.Fprintf(d.out, format+"\n", args...) }
