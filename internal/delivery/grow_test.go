//go:build synctests

package delivery

import (
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/growth"
	"holdfast.internal/internal/topics"
	"holdfast.internal/sinks"
)

// orderBook is a vendor that watches the order of keys: the events of a key
// are numbered, and one may be tried only once all before it were taken.
type orderBook struct {
	mu     sync.Mutex
	taken  map[string]int // by key
	broken []string
	again  int // taken twice
	last   map[string]time.Time
}

func newOrderBook() *orderBook {
	return &orderBook{taken: map[string]int{}, last: map[string]time.Time{}}
}

// deliver refuses every fortieth event of a key twice, so that its key waits in
// the tiers.
func (b *orderBook) deliver(a *sinks.Attempt, nth int) error {
	key, no, _ := strings.Cut(a.Event.ID, ":")
	n, err := strconv.Atoi(no)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case n > b.taken[key]:
		b.broken = append(b.broken, fmt.Sprintf("%s was tried after %d of its key", a.Event.ID, b.taken[key]))
	case n < b.taken[key]:
		b.again++
		return nil
	}
	if n%40 == 20 && nth <= 2 {
		return conflict()
	}
	b.taken[key] = n + 1
	b.last[key] = time.Now()
	return nil
}

func (b *orderBook) total() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, taken := range b.taken {
		n += taken
	}
	return n
}

// keyedProducer spreads keys over partitions by their hash, as all producers
// do; it hears of new ones when it is told.
type keyedProducer struct {
	world      *world
	partitions uint32
	sent       map[string]int
}

const orderKeys = 8

func (p *keyedProducer) round() {
	for i := range orderKeys {
		key := "k" + strconv.Itoa(i)
		h := fnv.New32a()
		_, _ = h.Write([]byte(key))
		p.world.send(&kgo.Record{
			Topic: source, Partition: int32(h.Sum32() % p.partitions), Key: []byte(key), Value: []byte{0},
			Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(fmt.Sprintf("%s:%d", key, p.sent[key]))}},
		})
		p.sent[key]++
	}
}

// rounds sends for a while, every second.
func (p *keyedProducer) rounds(n int) {
	for range n {
		p.round()
		pass(time.Second)
	}
}

func (p *keyedProducer) total() (n int) {
	for _, sent := range p.sent {
		n += sent
	}
	return n
}

func (w *world) grow(to int, names ...string) {
	w.t.Helper()
	answer, err := kadm.NewClient(w.client).UpdatePartitions(w.t.Context(), to, names...)
	if err == nil {
		err = answer.Error()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	w.client.ForceMetadataRefresh()
	pass(time.Second)
}

// apply is what `topic apply` does for a source that has grown.
func (w *world) apply(to int) {
	w.t.Helper()
	if err := growth.Mark(w.t.Context(), w.client, "s", source); err != nil {
		w.t.Fatal(err)
	}
	w.grow(to, append(newLayout(w.cfg).names[1:], topics.DeadLetters("s"))...)
}

func (w *world) settles(b *orderBook, want int) {
	w.t.Helper()
	for range 60 {
		if b.total() == want {
			break
		}
		pass(time.Minute)
	}
	if got := b.total(); got != want {
		w.t.Errorf("%d of %d events were delivered", got, want)
	}
	if len(b.broken) > 0 {
		w.t.Errorf("%d order violations, the first: %s", len(b.broken), b.broken[0])
	}
	if b.again > 0 {
		w.t.Errorf("%d events were sent again", b.again)
	}
}

// TestP3OrderIsKeptWhileTheSourceGrows: two workers, keys that wait in tiers
// when the source doubles, and a producer that hears of it 4.6 minutes later.
func TestP3OrderIsKeptWhileTheSourceGrows(t *testing.T) {
	t.Parallel()
	book := newOrderBook()
	inWorld(t, Config{}, book.deliver, func(w *world) {
		first, stopFirst := w.start()
		second, stopSecond := w.start()
		defer stopSecond()
		defer stopFirst()
		p := &keyedProducer{world: w, partitions: 2, sent: map[string]int{}}
		p.rounds(30)
		w.grow(4, source)
		p.rounds(60)
		for _, worker := range []*Worker{first, second} {
			if got := worker.Trouble(); !strings.Contains(got, "orders.v1 has 4 partitions") || !strings.Contains(got, "holdfast topic apply") {
				t.Errorf("grown and not applied: %q", got)
			}
		}
		pass(150 * time.Second)
		before := book.total()
		if before < 30*orderKeys || before > 34*orderKeys {
			t.Errorf("%d events were delivered, want those up to the growth: %d to %d", before, 30*orderKeys, 34*orderKeys)
		}
		w.apply(4)
		pass(5 * time.Second)
		if got := first.Trouble() + second.Trouble(); got != "" {
			t.Errorf("after apply: %q", got)
		}
		p.rounds(60)
		p.partitions = 4
		p.rounds(60)
		w.settles(book, p.total())
		if cut, err := growth.Read(w.t.Context(), w.client, "s", source); err != nil || cut != nil {
			t.Errorf("left behind: %v, %v", cut, err)
		}
		p.rounds(10)
		pass(10 * time.Minute)
		w.settles(book, p.total())
	})
}

// TestP3OrderIsKeptAcrossAGrowthThatNobodySaw: the source grows while no worker
// runs, `topic apply` marks where it stood, and workers come and go on the way.
func TestP3OrderIsKeptAcrossAGrowthThatNobodySaw(t *testing.T) {
	t.Parallel()
	book := newOrderBook()
	inWorld(t, Config{}, book.deliver, func(w *world) {
		p := &keyedProducer{world: w, partitions: 2, sent: map[string]int{}}
		stop := w.worker()
		p.rounds(30)
		stop()
		p.rounds(10)
		w.grow(4, source)
		p.partitions = 4
		p.rounds(30)
		w.apply(4)
		for range 4 {
			stop = w.worker()
			p.rounds(20)
			stop()
		}
		_, stop = w.start()
		defer stop()
		w.settles(book, p.total())
	})
}

// TestAGrowthIsNoMatterForASinkWithoutOrder: it goes on as soon as its topics
// have grown.
func TestAGrowthIsNoMatterForASinkWithoutOrder(t *testing.T) {
	t.Parallel()
	failing := func(a *sinks.Attempt, _ int) error {
		if a.Event.ID == "k0:0" {
			return conflict()
		}
		return nil
	}
	inWorld(t, Config{}, failing, func(w *world) {
		w.cfg.Ordered = false
		stop := w.worker()
		defer stop()
		p := &keyedProducer{world: w, partitions: 2, sent: map[string]int{}}
		p.rounds(2)
		w.grow(4, source)
		pass(5 * time.Second)
		p.partitions = 4
		p.rounds(2)
		w.apply(4)
		pass(10 * time.Second)
		if got, want := w.delivered(), p.total()-1; got != want {
			t.Errorf("%d delivered, want %d", got, want)
		}
	})
}

// TestP1NewPartitionsAreReadFromTheirStart: `start: latest` says where a new
// sink begins, not where new partitions do.
func TestP1NewPartitionsAreReadFromTheirStart(t *testing.T) {
	t.Parallel()
	book := newOrderBook()
	inWorld(t, Config{FromLatest: true}, book.deliver, func(w *world) {
		stop := w.worker()
		defer stop()
		pass(5 * time.Second)
		p := &keyedProducer{world: w, partitions: 2, sent: map[string]int{}}
		p.rounds(2)
		w.grow(4, source)
		p.partitions = 4
		p.rounds(2)
		w.apply(4)
		w.settles(book, p.total())
	})
}

// TestATopicThatIsMadeAnewStopsTheSink: nothing of the new one is taken for the
// old one's, and the sink says why it stands still (fault-matrix row 30).
func TestATopicThatIsMadeAnewStopsTheSink(t *testing.T) {
	t.Parallel()
	inWorld(t, Config{}, func(*sinks.Attempt, int) error { return nil }, func(w *world) {
		w.opts = append(w.opts, kgo.Dialer((&wire{dial: w.dial, more: 10 * time.Millisecond}).dialContext)) // the client asks for the old one again and again
		worker, stop := w.start()
		defer stop()
		w.event("before", "a", "")
		pass(10 * time.Second)
		admin := kadm.NewClient(w.client)
		if _, err := admin.DeleteTopics(w.t.Context(), source); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Second)
		if got := worker.Trouble(); !strings.Contains(got, "was deleted") {
			t.Errorf("a deleted topic: %q", got)
		}
		if _, err := admin.CreateTopics(w.t.Context(), 2, 1, nil, source); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Second)
		if got := worker.Trouble(); !strings.Contains(got, source+" was deleted and made anew") {
			t.Errorf("a topic that was made anew: %q", got)
		}
		if n := len(w.all()); n != 1 {
			t.Errorf("%d attempts, want the one before", n)
		}
	})
}
