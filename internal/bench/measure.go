package main

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// figures are what one contender showed.
type figures struct {
	Contender string `json:"contender"`
	Records   int64  `json:"records"`
	// Rate is records a second.
	Rate      float64 `json:"rate"`
	CPUMicros float64 `json:"cpu_us_per_record"`
	Allocs    float64 `json:"allocs_per_record"`
	AllocKiB  float64 `json:"alloc_kib_per_record"`
	RSSMiB    float64 `json:"rss_mib"` // at its highest
	// Ratios to the others of its case; 0 where there is nothing to compare with.
	OfRaw    float64 `json:"of_raw,omitempty"`
	OfLanes  float64 `json:"of_lanes,omitempty"`
	OfIdeal  float64 `json:"of_ideal,omitempty"`
	CPULanes float64 `json:"cpu_of_lanes,omitempty"`
}

// meter counts settled records and looks at the process after the warm-up and
// at the end.
type meter struct {
	warm, end int64
	count     atomic.Int64
	started   chan moment
	ended     chan moment
}

// moment is the state of the process at one count.
type moment struct {
	at     time.Time
	cpu    time.Duration
	allocs uint64
	bytes  uint64
	count  int64
}

func newMeter(warm, records int) *meter {
	return &meter{warm: int64(warm), end: int64(warm + records), started: make(chan moment, 1), ended: make(chan moment, 1)}
}

// tick counts one settled record.
func (m *meter) tick() {
	switch n := m.count.Add(1); n {
	case m.warm:
		m.started <- look(n)
	case m.end:
		m.ended <- look(n)
	}
}

// result waits for the measurement, which ends with its records or its time.
func (m *meter) result(ctx context.Context) (figures, error) {
	var from, to moment
	select {
	case from = <-m.started:
	case <-ctx.Done():
		return figures{}, fmt.Errorf("%d records in the warm-up: %w", m.count.Load(), ctx.Err())
	}
	limit := time.NewTimer(longest)
	defer limit.Stop()
	select {
	case to = <-m.ended:
	case <-limit.C:
		to = look(m.count.Load())
	case <-ctx.Done():
		return figures{}, ctx.Err()
	}
	n := float64(to.count - from.count)
	return figures{
		Records:   to.count - from.count,
		Rate:      n / to.at.Sub(from.at).Seconds(),
		CPUMicros: float64((to.cpu - from.cpu).Nanoseconds()) / 1e3 / n,
		Allocs:    float64(to.allocs-from.allocs) / n,
		AllocKiB:  float64(to.bytes-from.bytes) / 1024 / n,
		RSSMiB:    highestRSS("self"),
	}, nil
}

func look(count int64) moment {
	m := moment{at: time.Now(), count: count}
	var usage syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &usage) == nil {
		m.cpu = time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
	}
	var mem runtime.MemStats
	runtime.ReadMemStats(&mem)
	m.allocs, m.bytes = mem.Mallocs, mem.TotalAlloc
	return m
}

// highestRSS is a process's peak in MiB, 0 where the kernel does not say.
func highestRSS(pid string) float64 {
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, _ := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")), 64)
			return kib / 1024
		}
	}
	return 0
}
