//go:build synctests

package delivery

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal"
	"holdfast.internal/internal/quota"
	"holdfast.internal/internal/vendorsim"
	"holdfast.internal/sinks"
	web "holdfast.internal/sinks/http"
	"holdfast.internal/sinks/sinktest"
)

// daily is a vendor that counts requests per day, whoever sends them.
type daily struct {
	mu   sync.Mutex
	used int
	max  int
	ours counted
}

func (d *daily) sends(r *http.Request, at time.Duration) *http.Response {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.used++
	d.ours.add(at, 1)
	return &http.Response{
		StatusCode: http.StatusOK, Request: r, Body: io.NopCloser(strings.NewReader("")),
		Header: http.Header{"Sforce-Limit-Info": {fmt.Sprintf("api-usage=%d/%d", d.used, d.max)}},
	}
}

func (d *daily) set(used int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.used = used
}

func (d *daily) sent(from, to time.Duration) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return int(d.ours.sum(from, to))
}

// quotaed starts a replica that minds a daily quota; what it returns stops it.
func (f *fleet) quotaed(l quota.Limit, d *daily) (stop func()) {
	f.t.Helper()
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		pass(30 * time.Millisecond)
		return d.sends(r, time.Since(f.began)), nil
	})
	sink, err := web.New(web.Config{URL: "http://127.0.0.1:1/"}, sinks.Deps{
		Name: "s", HTTP: sinks.ClientOver(transport, 30*time.Second), Concurrency: 16, DailyHeader: "Sforce-Limit-Info",
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return f.replica(fleetConfig(), func(deps *Deps, shares *quota.Shares, share func() float64) {
		deps.Sink, deps.Limit = sink, shares.Bucket(l, share)
		deps.Open = func(context.Context, string, []byte, []holdfast.Header) (holdfast.Value, error) {
			return sinktest.Value{Name: "v", Record: map[string]any{"id": "1"}}, nil
		}
	})
}

// spread writes n events evenly over all partitions.
func (f *fleet) spread(n int) {
	f.t.Helper()
	for i := range n {
		text := []byte(strconv.Itoa(i))
		f.client.Produce(f.t.Context(), &kgo.Record{Topic: source, Partition: int32(i % fleetPartitions), Key: text, Value: text}, nil)
	}
	if err := f.client.Flush(f.t.Context()); err != nil {
		f.t.Fatal(err)
	}
}

// TestP6ReplicasLeaveTheReserveOfADay: each hears the count in its own
// answers alone, and together they slow down, stop, and go on.
func TestP6ReplicasLeaveTheReserveOfADay(t *testing.T) {
	t.Parallel()
	const perSecond, most = 20, 2000 // 5 % are the others', slow from 80 % on
	inFleet(t, vendorsim.Options{}, func(f *fleet) {
		f.spread(5000)
		d := &daily{max: most}
		for range 2 {
			defer f.quotaed(quota.Limit{Name: "s", Rate: perSecond, Burst: 5, Reserve: 0.05}, d)()
		}
		pass(2 * time.Minute)
		// 300 over a day from here on.
		at := time.Since(f.began)
		if got := d.sent(0, at); got < most*80/100 || got > most*80/100+10 {
			t.Errorf("%d of %d sent in two minutes, want 80 %% and hardly more", got, most)
		}
		pass(5 * time.Minute)
		slow := time.Since(f.began)
		if got := d.sent(at, slow); got > 3 {
			t.Errorf("%d sent in five minutes, where 300 are left for a day", got)
		}
		d.set(most * 96 / 100) // the others
		pass(16 * time.Minute)
		stopped := time.Since(f.began)
		if got := d.sent(slow, stopped); got == 0 || got > 4 {
			t.Errorf("%d sent in sixteen minutes, want a probe each quarter of an hour", got)
		}
		d.set(0) // a day later
		pass(31 * time.Minute)
		first := slices.IndexFunc(d.ours.at, func(at time.Duration) bool { return at > stopped })
		if first < 0 {
			t.Fatal("no probe in half an hour of two replicas")
		}
		probe := d.ours.at[first]
		if got := d.sent(probe, probe+time.Minute); got < 59*perSecond*95/100 {
			t.Errorf("%d sent in the minute after a probe found the count low", got)
		}
		t.Logf("sent %d until slow, %d in 5 min, %d in 16 min of the reserve", d.sent(0, at), d.sent(at, slow), d.sent(slow, stopped))
	})
}
