//go:build synctests

package delivery

import (
	"context"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/quota"
	"holdfast.internal/internal/vendorsim"
	"holdfast.internal/sinks"
)

// eachTenant gives every tenant a limit of its own, shared where there is
// somebody to share with.
type eachTenant struct {
	limit  quota.Limit
	shares *quota.Shares
	share  func() float64
}

func (e *eachTenant) Limit(tenant string) *quota.Bucket {
	l := e.limit
	l.Name = tenant
	if e.shares == nil {
		return quota.Full(l)
	}
	return e.shares.Bucket(l, e.share)
}

func (e *eachTenant) Forget(b *quota.Bucket) {
	if e.shares != nil {
		e.shares.Forget(b)
	}
}

// tenanted starts a replica that shares the limit of each tenant; what it
// returns stops it.
func (f *fleet) tenanted(l quota.Limit, seen map[string]*counted) (stop func()) {
	cfg := fleetConfig()
	cfg.TenantHeader = "tenant"
	return f.replica(cfg, func(d *Deps, shares *quota.Shares, share func() float64) {
		d.Tenants = &eachTenant{l, shares, share}
		d.Sink = sinks.Func(func(ctx context.Context, a *sinks.Attempt) error {
			if err := a.Pass(ctx, "", 1); err != nil {
				return err
			}
			f.mu.Lock()
			seen[a.Event.Header("tenant")].add(time.Since(f.began), 1)
			f.mu.Unlock()
			pass(30 * time.Millisecond)
			return nil
		})
	})
}

// TestP6ReplicasKeepTheLimitOfEachTenant, also while one joins and one leaves.
// All of one tenant's records are in one partition, the other's in all.
func TestP6ReplicasKeepTheLimitOfEachTenant(t *testing.T) {
	t.Parallel()
	const perSecond, burst, events = 20, 5, 2000
	inFleet(t, vendorsim.Options{}, func(f *fleet) {
		seen := map[string]*counted{"one": {}, "all": {}}
		for i := range events {
			for tenant, partition := range map[string]int32{"one": 0, "all": int32(i % fleetPartitions)} {
				id := tenant + strconv.Itoa(i)
				f.client.Produce(f.t.Context(), &kgo.Record{
					Topic: source, Partition: partition, Key: []byte(id), Value: []byte{0},
					Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(id)}, {Key: "tenant", Value: []byte(tenant)}},
				}, nil)
			}
		}
		if err := f.client.Flush(f.t.Context()); err != nil {
			t.Fatal(err)
		}
		limit := quota.Limit{Rate: perSecond, Burst: burst}
		leaves := f.tenanted(limit, seen)
		defer f.tenanted(limit, seen)()
		pass(20 * time.Second)
		defer f.tenanted(limit, seen)()
		pass(40 * time.Second)
		leaves()
		pass(20 * time.Second)
		f.mu.Lock()
		defer f.mu.Unlock()
		for tenant, c := range seen {
			c.keeps(t, "tenant "+tenant, perSecond, burst)
			used := c.sum(30*time.Second, 60*time.Second) / (30 * perSecond)
			t.Logf("tenant %s: %.3f of its limit used while nobody came or went, %.3f in all", tenant, used, c.sum(0, 80*time.Second)/(80*perSecond))
			if used < 0.95 {
				t.Errorf("tenant %s: %.3f of its limit used", tenant, used)
			}
		}
	})
}

// TestP6ATenantThatIsForgottenGetsNoSecondBurst: there are more tenants than
// are remembered, and what one has used stays used.
func TestP6ATenantThatIsForgottenGetsNoSecondBurst(t *testing.T) {
	t.Parallel()
	s := newScheduler(Config{Sink: "s", Source: source, TenantHeader: "tenant"}.withDefaults(), nil, nil,
		&eachTenant{limit: quota.Limit{Rate: 1, Burst: 3}})
	now := time.Now()
	for i := range 2 * maxIdleTenants {
		s.tenantOf(strconv.Itoa(i))
	}
	if ok, _ := s.tenantOf("7").limit.TakeAhead(now, 3); !ok {
		t.Fatal("a tenant does not begin with its burst")
	}
	s.forgetTenants(now)
	if len(s.tenants) > 2 {
		t.Errorf("%d tenants are remembered for nothing", len(s.tenants))
	}
	if ok, _ := s.tenantOf("7").limit.TakeAhead(now, 1); ok {
		t.Error("a tenant got more than its burst, since it was forgotten")
	}
}

// forgetful gives each tenant a bucket that gives nothing any more once it was
// forgotten.
type forgetful struct {
	mu      sync.Mutex
	buckets map[*quota.Bucket]bool
}

func (f *forgetful) Limit(name string) *quota.Bucket {
	b := quota.Full(quota.Limit{Name: name, Rate: 100, Burst: 10})
	f.mu.Lock()
	defer f.mu.Unlock()
	f.buckets[b] = true
	return b
}

func (f *forgetful) Forget(b *quota.Bucket) {
	b.SetRate(1e-9)
	b.TakeAhead(time.Now(), 10)
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.buckets, b)
}

// TestARecordOutlivesItsForgottenTenant: while it waits for its tier nothing
// else of its tenant may be there, and there are thousands of others.
func TestARecordOutlivesItsForgottenTenant(t *testing.T) {
	t.Parallel()
	fails := func(a *sinks.Attempt, nth int) error {
		switch {
		case a.Event.ID == "0" && nth == 1:
			return conflict()
		case a.Event.ID == "1" && nth == 1: // so that somebody looks meanwhile who may be forgotten
			return trouble{kind: alone, wait: 5 * time.Second}.verdict()
		}
		return nil
	}
	inWorld(t, Config{TenantHeader: "tenant", Tiers: []time.Duration{time.Minute}}, fails, func(w *world) {
		f := &forgetful{buckets: map[*quota.Bucket]bool{}}
		w.tenants = f
		stop := w.worker()
		defer stop()
		const many = 3 * maxIdleTenants
		for i := range many {
			id := strconv.Itoa(i)
			w.send(&kgo.Record{
				Topic: source, Partition: 0, Key: []byte(id), Value: []byte{0},
				Headers: []kgo.RecordHeader{{Key: "ce_id", Value: []byte(id)}, {Key: "tenant", Value: []byte(id)}},
			})
		}
		pass(2 * time.Minute)
		if n := w.delivered(); n != many {
			t.Errorf("%d of %d delivered; event 0 was tried at %v", n, many, w.times("0"))
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		if len(f.buckets) > maxIdleTenants+1 {
			t.Errorf("%d tenants are remembered", len(f.buckets))
		}
	})
}
