package quota

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/time/rate"
)

// sim plays processes against each other over a log that delays and loses
// what they write and read, with clocks of different speeds, kills, stops and
// granters that do not know that they are none any more. Time is its own.
type sim struct {
	rng    *rand.Rand
	limit  Limit
	now    time.Duration // real
	log    []logged
	peers  []*process
	owner  *process      // of partition 0, as the group has it
	vacant time.Duration // since when the owner is dead or stopped; -1 if it is not
	parts  [partitionsOfSource]*process
	vendor *vendor
	drops  float64                  // chance that a write is lost
	bug    func(*process, *message) // changes a process before it reads m, or ticks (nil)
	sent   int

	takes *rate.Limiter // less than the limit; nil for a vendor that takes all
	noise float64       // part of the requests that is refused by chance
	// shortSight lets processes begin to read anywhere in the last part of a term.
	shortSight bool
	answered   tally
}

const partitionsOfSource = 12

// logged is a record of the topic.
type logged struct {
	message message
	at      time.Duration
}

// process is one replica.
type process struct {
	*peer
	bucket       *Bucket
	epoch        time.Time // its clock, at real time 0
	speed        float64
	ticked       time.Duration
	pos          int
	outbox       []write
	readLag      time.Duration
	writeLag     time.Duration
	stoppedUntil time.Duration
	stoppedAt    time.Duration
	dead         bool
	backAt       time.Duration // when it is started again; 0 for never
	replaced     bool          // by the one that was
	load         float64       // tokens per second that it could send
	cost         float64
	backlog      float64
	believes     float64       // the fraction of the source that it thinks it owns
	learnsAt     time.Duration // when it hears of a reassignment; 0 for nothing to hear
}

// write is a record on its way to the log.
type write struct {
	value []byte
	at    time.Duration
}

func newSim(seed uint64, l Limit) *sim {
	return &sim{rng: rand.New(rand.NewPCG(seed, 7)), limit: l, vendor: &vendor{limit: l, slack: 1.02}, vacant: -1}
}

// join starts a process; its clock is anywhere and up to 2 % off.
func (s *sim) join(load, cost float64) *process {
	p := s.start(fmt.Sprintf("w%d/0", len(s.peers)), load, cost)
	s.rebalance()
	return p
}

// restart starts a process that was killed again, under its name. The group
// knows it: it has what it had.
func (s *sim) restart(p *process) *process {
	name, life, _ := strings.Cut(p.id, "/")
	n, _ := strconv.Atoi(life)
	fresh := s.start(fmt.Sprintf("%s/%d", name, n+1), p.load, p.cost)
	p.replaced, p.backAt = true, 0
	for i, owner := range s.parts {
		if owner == p {
			s.parts[i] = fresh
		}
	}
	s.learn(p)
	s.learn(fresh)
	if s.owner == p {
		s.owner = fresh
		fresh.granter.own(true)
	}
	return fresh
}

// start starts a process that reads the log from a while before.
func (s *sim) start(id string, load, cost float64) *process {
	p := &process{
		peer:  newPeer(id),
		epoch: time.Unix(1e9+s.rng.Int64N(1e8), 0),
		speed: 0.98 + 0.04*s.rng.Float64(),
		load:  load, cost: min(cost, float64(s.limit.Burst)), pos: s.begin(),
		readLag: 10 * time.Millisecond, writeLag: 10 * time.Millisecond,
	}
	p.bucket = p.add(s.limit, func() float64 { return p.believes })
	s.peers = append(s.peers, p)
	return p
}

// begin is where a process begins to read: as far back as timestamps say, which
// may be wrong.
func (s *sim) begin() int {
	back := lookBack
	if s.shortSight {
		back = time.Duration(s.rng.Int64N(int64(Term / 4)))
	}
	at, _ := slices.BinarySearchFunc(s.log, s.now-back, func(l logged, t time.Duration) int { return cmp.Compare(l.at, t) })
	return at
}

// clock is what p's clock shows.
func (s *sim) clock(p *process) time.Time {
	return p.epoch.Add(time.Duration(float64(s.now) * p.speed))
}

func (s *sim) stopped(p *process) bool { return s.now < p.stoppedUntil }

// session is how long the group believes in a member that says nothing.
const session = 8 * time.Second

// member reports whether the group still counts p.
func (s *sim) member(p *process) bool {
	silent := p.dead || s.stopped(p)
	return !p.replaced && (!silent || s.now-p.stoppedAt < session)
}

// rebalance deals the source's partitions over the members: those of the
// others move, and who is stopped does not know it yet.
func (s *sim) rebalance() {
	members := slices.DeleteFunc(slices.Clone(s.peers), func(p *process) bool { return !s.member(p) })
	if len(members) == 0 {
		return
	}
	for i, p := range s.parts {
		if p == nil || !slices.Contains(members, p) || s.rng.IntN(4) == 0 {
			s.parts[i] = members[s.rng.IntN(len(members))]
		}
	}
	for _, p := range s.peers {
		if s.stopped(p) {
			p.learnsAt = p.stoppedUntil + time.Duration(s.rng.Int64N(int64(time.Second)))
			continue
		}
		s.learn(p)
	}
}

func (s *sim) learn(p *process) {
	p.believes, p.learnsAt = 0, 0
	for _, owner := range s.parts {
		if owner == p {
			p.believes += 1.0 / partitionsOfSource
		}
	}
	if p != s.owner {
		p.granter.own(false)
	}
}

func (s *sim) kill(p *process) {
	p.dead, p.stoppedAt = true, s.now
}

func (s *sim) stop(p *process, d time.Duration) {
	p.stoppedAt, p.stoppedUntil = s.now, s.now+d
}

// elect gives partition 0 to a member, once its owner's session has ended.
func (s *sim) elect() {
	if s.owner != nil && s.member(s.owner) {
		return
	}
	members := slices.DeleteFunc(slices.Clone(s.peers), func(p *process) bool { return p.dead || s.stopped(p) })
	if len(members) == 0 {
		return
	}
	old := s.owner
	s.owner = members[s.rng.IntN(len(members))]
	if old != s.owner {
		s.owner.granter.own(true)
	}
	s.rebalance()
}

// step lets d pass.
func (s *sim) step(d time.Duration) error {
	s.now += d
	for _, p := range s.peers {
		if p.backAt > 0 && s.now >= p.backAt {
			s.restart(p)
		}
	}
	s.elect()
	for _, p := range s.peers {
		s.deliver(p)
	}
	for _, p := range s.peers {
		if p.dead || s.stopped(p) {
			continue
		}
		if p.learnsAt > 0 && s.now >= p.learnsAt {
			s.learn(p)
		}
		// A process that wakes may do these in any order.
		for _, i := range s.rng.Perm(3) {
			switch i {
			case 0:
				s.read(p)
			case 1:
				s.tick(p)
			case 2:
				if err := s.send(p, d); err != nil {
					return err
				}
			}
		}
	}
	return s.check()
}

// deliver lets the network bring p's writes to the log, in their order.
func (s *sim) deliver(p *process) {
	for len(p.outbox) > 0 && s.now >= p.outbox[0].at {
		if s.rng.Float64() >= s.drops {
			m, err := decode(p.outbox[0].value)
			if err != nil {
				panic(err)
			}
			s.log = append(s.log, logged{message: *m, at: s.now})
		}
		p.outbox = p.outbox[1:]
	}
}

func (s *sim) read(p *process) {
	for p.pos < len(s.log) && s.now >= s.log[p.pos].at+p.readLag {
		m := s.log[p.pos].message
		if s.bug != nil {
			s.bug(p, &m)
		}
		p.read(s.clock(p), int64(p.pos), &m)
		p.pos++
	}
}

func (s *sim) tick(p *process) {
	if s.now-p.ticked < tickEvery || len(p.outbox) >= maxUnwritten {
		return
	}
	p.ticked = s.now
	if s.bug != nil {
		s.bug(p, nil)
	}
	for _, m := range p.tick(s.clock(p)) {
		p.outbox = append(p.outbox, write{value: m.encode(), at: s.now + p.writeLag})
	}
}

func (s *sim) send(p *process, d time.Duration) error {
	p.backlog = min(p.backlog+p.load*d.Seconds(), 1000)
	for p.backlog >= p.cost {
		if ok, _ := p.bucket.take(s.clock(p), p.cost); !ok {
			return nil
		}
		p.backlog -= p.cost
		s.sent++
		if err := s.vendor.accept(s.now, p.cost); err != nil {
			return fmt.Errorf("%s sends too much: %w", p.id, err)
		}
		s.answer(p)
	}
	return nil
}

// answer is what the vendor says to one request.
func (s *sim) answer(p *process) {
	took := s.takes == nil || s.takes.AllowN(time.Unix(1e9, 0).Add(s.now), 1)
	if took && (s.noise == 0 || s.rng.Float64() >= s.noise) {
		p.bucket.Accepted(p.cost)
		s.answered.Took++
		return
	}
	p.bucket.Refused(p.cost)
	s.answered.Refused++
}

// check adds up what all may use at this instant.
func (s *sim) check() error {
	var sum share
	for _, p := range s.peers {
		if p.dead || s.stopped(p) {
			continue
		}
		p.bucket.look(s.clock(p))
		sum = sum.plus(p.bucket.tokens.share)
	}
	if sum.Rate > float64(s.limit.Rate)*(1+1e-6) || sum.Burst > float64(s.limit.Burst)*(1+1e-6) {
		return fmt.Errorf("at %v the live shares are %.3f/s and a burst of %.3f, the limit %v/s and %d", s.now, sum.Rate, sum.Burst, s.limit.Rate, s.limit.Burst)
	}
	return nil
}

// vendor counts as a vendor does: what it holds leaks at the rate and must not
// rise above the burst. That is R*w + b in every window w at once.
type vendor struct {
	limit  Limit
	slack  float64 // of clocks that are fast
	level  float64
	last   time.Duration
	times  []time.Duration
	costs  []float64
	jitter time.Duration
}

func (v *vendor) accept(now time.Duration, n float64) error {
	v.level = max(0, v.level-float64(v.limit.Rate)*v.slack*(now-v.last).Seconds()) + n
	v.last = now
	v.times, v.costs = append(v.times, now), append(v.costs, n)
	if most := float64(v.limit.Burst) + float64(v.limit.Rate)*v.jitter.Seconds() + 0.01; v.level > most {
		return fmt.Errorf("at %v %.3f tokens above the rate, the burst is %d", now, v.level, v.limit.Burst)
	}
	return nil
}

// worst is the most that came in any window of w, as a part of R*w + b.
func (v *vendor) worst(w time.Duration) float64 {
	var in, most float64
	first := 0
	for i, at := range v.times {
		in += v.costs[i]
		for v.times[first] <= at-w {
			in -= v.costs[first]
			first++
		}
		most = max(most, in)
	}
	return most / (float64(v.limit.Rate)*w.Seconds() + float64(v.limit.Burst))
}

// used is what came from a time on, as a part of what the rate allows.
func (v *vendor) used(from, to time.Duration) float64 {
	var n float64
	for i, at := range v.times {
		if at >= from && at < to {
			n += v.costs[i]
		}
	}
	return n / (float64(v.limit.Rate) * (to - from).Seconds())
}
