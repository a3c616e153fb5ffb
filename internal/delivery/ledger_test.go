//go:build synctests

package delivery

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"holdfast.internal/internal/disposition"
	"holdfast.internal/internal/record"
)

// refusal is an answer that refuses the record for good.
const refusal = "refused"

// ledger is what the vendor saw, and what happened to workers meanwhile. It is
// guarded by the mutex of the sim.
type ledger struct {
	plan    plan
	calls   []*call
	all     counted         // requests
	senders []*proc         // of requests
	let     []time.Duration // when they were let go
	paths   []string        // of requests: their endpoints
	by      [][]*call       // by event
	marks   []happening
	// decided is what somebody decided about an event's dead letter, where
	// followers park, and when.
	decided map[int]decided
}

// decided is a person's decision.
type decided struct {
	state disposition.State
	at    time.Duration
}

// call is one call of the sink.
type call struct {
	proc       *proc
	event      int
	number     int
	key        string
	start, end time.Duration // end is -1 while it is in flight
	reply      trouble
	result     string
}

// Results of a call that no trouble names.
const (
	delivered = "delivered"
	cancelled = "cancelled"
	died      = "died with its worker"
	timedOut  = "timed out"
	cutShort  = "cut short by a limit"
)

func (c *call) settled() bool { return c.result == delivered || c.result == refusal }

// systemic reports whether an outage might have caused the result.
func (c *call) systemic() bool {
	switch c.result {
	case timedOut, err5xx, reset, down:
		return true
	}
	return false
}

func (c *call) throttled() bool {
	switch c.result {
	case account, tenanted, atEndpoint, alone:
		return true
	}
	return false
}

// happening is what happened to a worker or the brokers.
type happening struct {
	kind    string
	proc    *proc
	at      time.Duration
	pending bool // a fault of the brokers waited to happen
	calls   int  // begun before it
}

// Kinds of marks.
const (
	kindStart     = "start"
	kindKill      = "kill"
	kindStop      = "stop"
	kindRebalance = "rebalance"
	kindDisturbed = "disturbed"
	kindRestart   = "restart at the end"
	kindEnd       = "end"
)

func newLedger(p plan) ledger {
	return ledger{plan: p, by: make([][]*call, len(p.events)), decided: map[int]decided{}}
}

// redriven reports whether an event was sent again by a person before a time.
func (l *ledger) redriven(event int, at time.Duration) bool {
	d, ok := l.decided[event]
	return ok && d.state == disposition.Redriven && d.at <= at
}

func (l *ledger) note(kind string, p *proc, at time.Duration, pending bool) {
	l.marks = append(l.marks, happening{kind: kind, proc: p, at: at, pending: pending, calls: len(l.calls)})
}

// begin notes a call and says how the vendor answers it.
func (l *ledger) begin(p *proc, event, number int, key string, at time.Duration, during string) (*call, trouble, time.Duration) {
	e := l.plan.events[event]
	used := 0
	for _, c := range l.by[event] {
		if c.reply.kind != outageOf5xx && c.reply.kind != outageHangs && c.result != died && c.result != cancelled && c.result != cutShort {
			used++
		}
	}
	var reply trouble
	switch {
	case during == outageOf5xx:
		reply.kind = err5xx
	case during == outageHangs:
		reply.kind = hang
	case used < len(e.troubles):
		reply = e.troubles[used]
	case e.refused && !l.redriven(event, at):
		reply.kind = refusal
	}
	c := &call{proc: p, event: event, number: number, key: key, start: at, end: -1, reply: reply}
	answer := reply
	if during != "" {
		c.reply.kind = during
	}
	l.calls = append(l.calls, c)
	l.by[event] = append(l.by[event], c)
	return c, answer, e.latency
}

func (l *ledger) end(c *call, err error, at time.Duration) {
	c.end = at
	switch {
	case err == nil:
		c.result = delivered
	case errors.Is(err, errLimited):
		c.result = cutShort
	case errors.Is(err, errKilled):
		c.result = died
	case errors.Is(err, context.DeadlineExceeded):
		c.result = timedOut
	case errors.Is(err, context.Canceled):
		c.result = cancelled
	case c.reply.kind == outageOf5xx:
		c.result = err5xx
	default:
		c.result = c.reply.kind
	}
}

func (l *ledger) unsettled() (open []int) {
	for i := range l.by {
		if !l.outOfTheWay(i, 1<<62) {
			open = append(open, i)
		}
	}
	return open
}

// outOfTheWay reports whether what follows an event may be sent: it was
// delivered, or refused, which where followers park takes a decision, too.
func (l *ledger) outOfTheWay(event int, at time.Duration) bool {
	if !l.plan.park || !l.plan.events[event].refused {
		return l.settledBefore(event, at)
	}
	if d, ok := l.decided[event]; ok && d.state != disposition.Redriven {
		return d.at <= at
	}
	return slices.ContainsFunc(l.by[event], func(c *call) bool { return c.result == delivered && c.end <= at })
}

// check says which promise was broken, "" for none.
func (l *ledger) check(letters []*record.Envelope) string {
	for _, check := range []func() string{
		func() string { return l.checkLoss(letters) },
		l.checkOrder, l.checkKeys, l.checkNumbers, l.checkDue, l.checkHolds, l.checkRate, l.checkDuplicates,
	} {
		if wrong := check(); wrong != "" {
			return wrong
		}
	}
	return ""
}

// checkLoss: every event is delivered, or dead for a reason.
func (l *ledger) checkLoss(letters []*record.Envelope) string {
	dead := map[string]*record.Envelope{}
	for _, e := range letters {
		if e.Parked() {
			continue
		}
		if other := dead[e.Event.ID]; other != nil && other.Copy() != e.Copy() && !l.refusedAgain(e.Event.ID) {
			return fmt.Sprintf("loss: event %s is dead twice, not as one copy", e.Event.ID)
		}
		dead[e.Event.ID] = e
	}
	for i, e := range l.plan.events {
		letter := dead[strconv.Itoa(i)]
		switch {
		case e.refused && letter == nil:
			return fmt.Sprintf("loss: event %d was refused and is not dead", i)
		case e.refused && letter.Failure.Code != refusal:
			return fmt.Sprintf("loss: event %d is dead of %s", i, letter.Failure.Error())
		case !e.refused && letter != nil:
			return fmt.Sprintf("loss: event %d is dead (%s) though the vendor would have taken it", i, letter.Failure.Error())
		case (!e.refused || l.redriven(i, 1<<62)) && !slices.ContainsFunc(l.by[i], func(c *call) bool { return c.result == delivered }):
			return fmt.Sprintf("loss: event %d was not delivered", i)
		}
	}
	return ""
}

// refusedAgain reports whether an event was refused more than once. Whether it
// may have been sent again is the matter of [ledger.checkDuplicates].
func (l *ledger) refusedAgain(id string) bool {
	i, err := strconv.Atoi(id)
	n := 0
	for _, c := range l.by[i] {
		if c.result == refusal {
			n++
		}
	}
	return err == nil && n > 1
}

// checkOrder: an event is not sent before all earlier ones of its key are
// settled, nor while another of them is in flight.
func (l *ledger) checkOrder() string {
	for n, c := range l.calls {
		key := l.plan.events[c.event].key
		for earlier := range c.event {
			if l.plan.events[earlier].key == key && !l.outOfTheWay(earlier, c.start) {
				return fmt.Sprintf("order: event %d was sent at %s, before event %d of its key was settled", c.event, c.start, earlier)
			}
		}
		for _, other := range l.calls[:n] { // by the order in which they began: much happens in one instant
			if l.plan.events[other.event].key == key && c.start < other.end && (c.proc == other.proc || !l.deserted(c.start)) {
				return fmt.Sprintf("order: events %d and %d of one key were in flight together at %s", c.event, other.event, c.start)
			}
		}
	}
	return ""
}

func (l *ledger) settledBefore(event int, at time.Duration) bool {
	return slices.ContainsFunc(l.by[event], func(c *call) bool { return c.settled() && c.end <= at })
}

// checkKeys: an event is sent under one idempotency key, and none other is.
func (l *ledger) checkKeys() string {
	owner := map[string]int{}
	for i, calls := range l.by {
		for _, c := range calls {
			if c.key == "" || c.key != calls[0].key {
				return fmt.Sprintf("key: event %d was sent under %q and %q", i, calls[0].key, c.key)
			}
			if other, ok := owner[c.key]; ok && other != i {
				return fmt.Sprintf("key: events %d and %d share one", i, other)
			}
			owner[c.key] = i
		}
	}
	return ""
}

// checkNumbers: the number of an attempt never falls, and rises by one where
// the record itself failed, or where the destination answered somebody else
// since the attempt before.
func (l *ledger) checkNumbers() string {
	for i, calls := range l.by {
		for n, c := range calls {
			if n == 0 {
				if c.number != 1 {
					return fmt.Sprintf("attempts: event %d began with attempt %d", i, c.number)
				}
				continue
			}
			before := calls[n-1]
			switch {
			case c.number < before.number && !before.settled():
				return fmt.Sprintf("attempts: event %d had attempt %d after %d", i, c.number, before.number)
			case c.number > before.number+1:
				return fmt.Sprintf("attempts: event %d had attempt %d after %d", i, c.number, before.number)
			case c.number == before.number+1 && !l.someSpent(calls[:n], before.number):
				return fmt.Sprintf("attempts: event %d spent attempt %d, which was %q while the destination answered nobody else", i, before.number, before.result)
			case c.number == before.number && before.result == lock && before.proc == c.proc:
				return fmt.Sprintf("attempts: event %d spent nothing on its own failure", i)
			}
		}
	}
	return ""
}

// someSpent reports whether one of an event's calls may have spent the attempt of
// that number: two workers may have had it at once, while a coordinator moved.
func (l *ledger) someSpent(calls []*call, number int) bool {
	for n := range calls {
		if calls[n].number == number && l.maySpend(calls[:n+1]) {
			return true
		}
	}
	return false
}

// maySpend reports whether the last of an event's calls may have spent an attempt.
func (l *ledger) maySpend(calls []*call) bool {
	last := calls[len(calls)-1]
	if last.result == lock {
		return true
	}
	if !last.systemic() {
		return false
	}
	since := last.start
	for _, c := range slices.Backward(calls[:len(calls)-1]) {
		if c.result != cutShort { // which is no attempt
			since = c.start
			break
		}
	}
	return slices.ContainsFunc(l.calls, func(c *call) bool {
		return c.event != last.event && c.settled() && since <= c.end && c.end <= last.end
	})
}

// checkDue: after a failure an event waits for its tier, unless its worker was
// gone before the move to the tier could be known.
func (l *ledger) checkDue() string {
	for i, calls := range l.by {
		for n, c := range calls[min(1, len(calls)):] {
			before := calls[n]
			var wait time.Duration
			switch {
			case before.result == lock || before.systemic():
				wait = simTiers()[min(max(0, c.number-2), len(simTiers())-1)]
			case before.throttled():
				wait = min(before.reply.wait, simMaxHold)
			}
			atOnce := before.proc != c.proc && c.start < before.end
			if atOnce || before.proc != c.proc && before.throttled() || l.gone(before.proc, before.start, before.end+3*time.Second) {
				continue
			}
			if c.start-before.end < wait {
				return fmt.Sprintf("due: event %d failed at %s (%s) and was sent again at %s, want %s later", i, before.end, before.result, c.start, wait)
			}
		}
	}
	return ""
}

// gone reports whether a worker may have lost, in a time, what it had.
func (l *ledger) gone(p *proc, from, to time.Duration) bool {
	return slices.ContainsFunc(l.marks, func(m happening) bool {
		return from <= m.at && m.at <= to && (m.kind == kindRebalance || (m.kind == kindKill || m.kind == kindStop) && m.proc == p)
	})
}

// checkHolds: while the vendor asks to hold more than a record, that worker
// lets nothing go, and soon no other does; to one endpoint, if it has a name and
// the vendor means it alone.
func (l *ledger) checkHolds() string {
	for _, held := range l.calls {
		if !held.throttled() || held.result == alone {
			continue
		}
		until := held.end + min(held.reply.wait, simMaxHold)
		alone := ""
		if held.result == atEndpoint {
			alone = l.plan.events[held.event].last()
		}
		for i, at := range l.let {
			from := held.end
			if l.senders[i] != held.proc {
				if !l.spreads(held) {
					continue
				}
				from += wordSlack
			}
			if from < at && at < until && (alone == "" || alone == l.paths[i]) {
				return fmt.Sprintf("hold: a request was let go to %q at %s, held until %s", l.paths[i], at, until)
			}
		}
	}
	return ""
}

// spreads reports whether the other workers hear of a hold: it is long enough to
// be told, is all of the sink's, and the worker lived to tell it.
func (l *ledger) spreads(held *call) bool {
	return held.result != atEndpoint && min(held.reply.wait, simMaxHold) > shortHold && !l.gone(held.proc, held.start, held.end+wordEvery)
}

// sent notes a request, and when it was let go: it may have waited for its connection.
func (l *ledger) sent(p *proc, endpoint string, let, at time.Duration) {
	l.all.add(at, 1)
	l.senders, l.paths, l.let = append(l.senders, p), append(l.paths, endpoint), append(l.let, let)
}

// checkRate: in no window came more requests than the limit allows.
func (l *ledger) checkRate() string {
	if l.plan.rate == 0 {
		return ""
	}
	for _, w := range []time.Duration{100 * time.Millisecond, time.Second, 10 * time.Second} {
		if over := l.all.overdrawn(w, float64(l.plan.rate), simBurst); over > 1e-9 {
			return fmt.Sprintf("rate: %.1f requests more than R*w + b in a window of %s", over, w)
		}
	}
	return ""
}

// checkDuplicates: what was settled is sent again only after a kill, and only
// what was in flight or settled in the last 100 ms. Where commits were refused
// or the coordinator moved, a partition may change hands at any time after, so
// each such trouble excuses one repetition of an event.
func (l *ledger) checkDuplicates() string {
	allowed := make([]int, len(l.plan.events))
	next := 0
	for n, c := range l.calls {
		for ; next < len(l.marks) && l.marks[next].calls <= n; next++ {
			l.allow(next, allowed)
			if l.marks[next].kind == kindDisturbed {
				for i := range allowed {
					allowed[i]++
				}
			}
		}
		if c.result == cutShort || !l.settledInThisLife(c) {
			continue
		}
		if allowed[c.event]--; allowed[c.event] < 0 {
			return fmt.Sprintf("duplicates: event %d was settled and sent again at %s", c.event, c.start)
		}
	}
	return ""
}

// settledInThisLife reports whether a call's event was settled before. What
// was refused and then redriven begins anew.
func (l *ledger) settledInThisLife(c *call) bool {
	if l.redriven(c.event, c.start) {
		return slices.ContainsFunc(l.by[c.event], func(o *call) bool { return o.result == delivered && o.end <= c.start })
	}
	return l.settledBefore(c.event, c.start)
}

// allow adds what may be sent again because of a mark.
func (l *ledger) allow(n int, allowed []int) {
	m := l.marks[n]
	window := 100 * time.Millisecond
	disturbed := func(d happening) bool { return d.kind == kindDisturbed && d.at > m.at-5*time.Second }
	switch {
	case m.pending || slices.ContainsFunc(l.marks[:n], disturbed):
		window = 8 * time.Second
	case m.kind != kindKill:
		return
	}
	if m.kind == kindStart || m.kind == kindDisturbed {
		return
	}
	again := map[int]bool{}
	for _, c := range l.calls[:m.calls] {
		if (m.proc == nil || c.proc == m.proc) && (c.end < 0 || c.end >= m.at-window) {
			again[c.event] = true
		}
	}
	for i := range again {
		allowed[i]++
	}
}

// joinTimeout is how long a client waits for the answer to its join: its
// rebalance time-out, and 10 s.
const joinTimeout = 42 * time.Second

// deserted reports whether somebody may wait for the answer to a join that does
// not come, and be replaced meanwhile without a word.
func (l *ledger) deserted(at time.Duration) bool {
	return slices.ContainsFunc(l.marks, func(d happening) bool {
		return at-joinTimeout < d.at && d.at <= at && l.goneWhileItJoined(d)
	})
}

// goneWhileItJoined reports whether a mark is the end of a worker that had just
// come. Who joins beside it waits for it until its session of 8 s ends; the
// embedded broker at times never answers, and the client gives its partitions
// up after joinTimeout. Kafka answers when the session ends.
func (l *ledger) goneWhileItJoined(d happening) bool {
	return (d.kind == kindStop || d.kind == kindKill) && slices.ContainsFunc(l.marks, func(s happening) bool {
		return s.kind == kindStart && s.proc == d.proc && s.at > d.at-2*time.Second
	})
}

// String is the books as text.
func (l *ledger) String() string {
	var b strings.Builder
	next := 0
	for n, c := range l.calls {
		for ; next < len(l.marks) && l.marks[next].calls <= n; next++ {
			m := l.marks[next]
			name := ""
			if m.proc != nil {
				name = m.proc.name
			}
			fmt.Fprintf(&b, "  -- %s %s at %s, faults pending: %v\n", m.kind, name, m.at, m.pending)
		}
		fmt.Fprintf(&b, "  %s to %s: %s sends event %d of key %d, attempt %d: %s\n", c.start, c.end, c.proc.name, c.event, l.plan.events[c.event].key, c.number, c.result)
	}
	return b.String()
}
