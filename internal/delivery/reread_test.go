//go:build synctests

package delivery

import (
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"holdfast.internal"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/topics"
	"holdfast.internal/sinks"
)

// TestABrokerThatDoesNotAnswer delays the retries of its own partitions alone,
// also where they do not fit into memory.
func TestABrokerThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	inWorldOf(t, 2, Config{Concurrency: 64}, func(*sinks.Attempt, int) error { return nil }, func(w *world) {
		const n = maxHeldRecords
		tier := topics.Retry("s", time.Minute)
		due := time.Now().Add(time.Minute).Truncate(time.Millisecond)
		var parked []*kgo.Record
		for num := range int32(2) {
			if err := w.cluster.MoveTopicPartition(tier, num, num); err != nil {
				w.t.Fatal(err)
			}
			for i := range n {
				id := strconv.Itoa(int(num)) + "/" + strconv.Itoa(i)
				at := holdfast.Coordinates{Topic: "former.v1", Partition: num, Offset: int64(i)}
				env := &record.Envelope{
					Event:   holdfast.Event{ID: id, Key: []byte(id), Origin: at, Time: time.Now()},
					Payload: []byte{0}, At: at, Sink: "s", Due: due,
				}
				parked = append(parked, env.To(tier, num, 0))
			}
		}
		if err := w.client.ProduceSync(w.t.Context(), parked...).FirstErr(); err != nil {
			w.t.Fatal(err)
		}
		w.cluster.ControlKey(int16(kmsg.Fetch), func(req kmsg.Request) (kmsg.Response, error, bool) {
			w.cluster.KeepControl()
			again := req.(*kmsg.FetchRequest).MaxWaitMillis == 0 //nolint:forcetypeassert // by its key
			if again && w.cluster.CurrentNode() == 0 && time.Since(due) < time.Minute {
				w.cluster.SleepControl(func() { pass(time.Minute) })
			}
			return nil, nil, false
		})
		stop := w.worker()
		defer stop()
		at := func(prefix string) (delivered int) {
			for _, a := range w.all() {
				if strings.HasPrefix(a.id, prefix) {
					delivered++
				}
			}
			return delivered
		}
		pass(time.Minute + 3*time.Second)
		if got := at("1/"); got != n {
			t.Errorf("%d of %d are delivered of the broker that answers; of the other %d", got, n, at("0/"))
		}
		if at("0/") == n {
			t.Error("the other broker answered, too")
		}
		pass(2 * time.Minute)
		if got := at("0/"); got != n {
			t.Errorf("%d of %d are delivered of the broker that answers again", got, n)
		}
	})
}
