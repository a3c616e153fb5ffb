package main

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"

	"golang.org/x/time/rate"

	"holdfast.internal/internal/config"
	"holdfast.internal/internal/quota"
)

// shareLimits makes the limits of this process parts of those of all replicas,
// where a sink that it runs has one.
func (a *app) shareLimits(cfg *config.Config, sel selection) error {
	limited := slices.ContainsFunc(cfg.Sinks, func(s config.Sink) bool {
		return sel.sink(s.Name) && (s.Limits.Rate.PerSecond() > 0 || len(s.Limits.Endpoints) > 0 || s.Limits.PerTenant.Rate.PerSecond() > 0)
	})
	if sel.alone || !limited {
		return nil
	}
	var err error
	a.shares, err = quota.New(quota.Config{Instance: sel.instance, Kafka: a.conn.opts, Log: a.log})
	return err
}

// limits are the buckets of a sink and of its endpoints; nil for none. share
// says which part of the sink's source this process reads.
func (a *app) limits(cfg *config.Config, s config.Sink, sel selection, share func() float64) (*quota.Bucket, map[string]*quota.Bucket) {
	account := s.Name
	if s.Limits.Account != "" {
		account = s.Limits.Account
	}
	var whole *quota.Bucket
	if r := s.Limits.Rate; r.PerSecond() > 0 {
		l := quota.Limit{Name: account, Rate: rate.Limit(r.PerSecond()), Burst: s.Limits.Burst, Reserve: reserve(s)}
		sharers := sharing(cfg, s, func(config.Limits) bool { return true })
		whole = a.bucket(l, sel, func() float64 { return share() / sharers })
	}
	endpoints := map[string]*quota.Bucket{}
	for name, e := range s.Limits.Endpoints {
		l := quota.Limit{Name: account + "/" + name, Rate: rate.Limit(e.Rate.PerSecond()), Burst: e.Burst}
		sharers := sharing(cfg, s, func(l config.Limits) bool { _, ok := l.Endpoints[name]; return ok })
		endpoints[name] = a.bucket(l, sel, func() float64 { return share() / sharers })
	}
	return whole, endpoints
}

// tenantLimits are the limits of the tenants of one sink.
type tenantLimits struct {
	sink    string
	limit   quota.Limit
	buckets func(quota.Limit) *quota.Bucket
	shares  *quota.Shares // nil where nothing is shared
}

func (a *app) tenantLimits(s config.Sink, sel selection, share func() float64) *tenantLimits {
	t := &tenantLimits{sink: s.Name, buckets: quota.Full, limit: quota.Limit{Rate: rate.Inf, Burst: s.Limits.PerTenant.Concurrency, Reserve: reserve(s)}}
	if r := s.Limits.PerTenant.Rate; r.PerSecond() > 0 {
		t.limit.Rate, t.limit.Burst = rate.Limit(r.PerSecond()), max(1, s.Limits.PerTenant.Burst)
		if !sel.alone {
			t.shares = a.shares
			t.buckets = func(l quota.Limit) *quota.Bucket { return a.shares.Bucket(l, share) }
		}
	}
	return t
}

// Limit implements [delivery.TenantLimits]. What a tenant is called stays here:
// the others know it by a hash.
func (t *tenantLimits) Limit(tenant string) *quota.Bucket {
	l := t.limit
	sum := sha256.Sum256([]byte(tenant))
	l.Name = t.sink + "/tenant/" + hex.EncodeToString(sum[:8])
	return t.buckets(l)
}

// Forget implements [delivery.TenantLimits].
func (t *tenantLimits) Forget(b *quota.Bucket) {
	if t.shares != nil {
		t.shares.Forget(b)
	}
}

// sharing counts the sinks that share a limit with s, s among them.
func sharing(cfg *config.Config, s config.Sink, has func(config.Limits) bool) float64 {
	if s.Limits.Account == "" {
		return 1
	}
	n := 0.0
	for _, other := range cfg.Sinks {
		if other.Limits.Account == s.Limits.Account && has(other.Limits) {
			n++
		}
	}
	return n
}

// bucket makes the bucket of a limit, or returns the one that there is.
func (a *app) bucket(l quota.Limit, sel selection, share func() float64) *quota.Bucket {
	if !sel.alone {
		return a.shares.Bucket(l, share)
	}
	if a.local == nil {
		a.local = map[string]*quota.Bucket{}
	}
	if a.local[l.Name] == nil {
		a.local[l.Name] = quota.Local(l)
	}
	return a.local[l.Name]
}

// reserve is the part of a daily quota that a sink leaves to others; 0 where
// none is looked at.
func reserve(s config.Sink) float64 {
	if s.Limits.Daily.Header == "" {
		return 0
	}
	return float64(s.Limits.Daily.Reserve) / 100
}
