package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// sized are the figures of a case of size.
type sized struct {
	Case    string `json:"case"`
	Records int    `json:"records"` // that waited
	Keys    int    `json:"keys"`
	Through string `json:"through"`

	// RSSMiB is the worker process's, at its highest, as the kernel tells it.
	RSSMiB float64 `json:"rss_mib"`
	// HeapBytes is the live heap at the end, of each record that waits; with parked records alone.
	HeapBytes float64 `json:"heap_bytes_per_parked,omitempty"`

	// Assigned and First are seconds from the start of the process: to its
	// partitions and to its first send.
	Assigned float64 `json:"assigned_s"`
	First    float64 `json:"first_send_s"`
	// AfterAssigned is the time between the two, in seconds.
	AfterAssigned float64 `json:"first_send_after_assignment_s"`

	Delivered int64 `json:"delivered"`
	// Drain is from the first send to the last, Steady the median of the
	// seconds between them; both in records a second.
	Drain    float64 `json:"drain,omitempty"`
	Steady   float64 `json:"steady,omitempty"`
	OfSteady float64 `json:"drain_of_steady,omitempty"`
	// Quarters are the rates of the four quarters of the time.
	Quarters  []float64 `json:"quarters,omitempty"`
	CPUMicros float64   `json:"cpu_us_per_record,omitempty"` // the process's, from its start to its end, of each record that waited

	// Late is by share of the records, in seconds, where all were due at once.
	Late *lateness `json:"late,omitempty"`

	Load float64 `json:"load"` // of the machine in the minute before the end
}

// lateness of a send behind its due time, in seconds.
type lateness struct {
	Early  int     `json:"early"`
	First  float64 `json:"first"`
	Median float64 `json:"p50"`
	P99    float64 `json:"p99"`
}

// watch starts a worker process and looks at it from outside until it has sent
// what it was to send.
func watch(ctx context.Context, s scale, j job) (sized, error) {
	f := sized{Case: s.Case, Records: s.Records, Keys: s.Keys, Through: s.Through}
	text, err := json.Marshal(j)
	if err != nil {
		return f, err
	}
	self, err := os.Executable()
	if err != nil {
		return f, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience(s.Records))
	defer cancel()
	cmd := exec.CommandContext(ctx, self, "-be", beSized, "-job", string(text))
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return f, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return f, err
	}
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return f, err
	}
	var seen sightings
	err = json.NewDecoder(bufio.NewReader(stdout)).Decode(&seen)
	f.RSSMiB = highestRSS(strconv.Itoa(cmd.Process.Pid))
	f.Load = load()
	_ = stdin.Close() // it ends now
	if ended := cmd.Wait(); ended != nil {
		return f, fmt.Errorf("worker: %w", ended)
	}
	if err != nil {
		return f, fmt.Errorf("worker: %w", err)
	}
	f.fill(began, j, seen, cmd.ProcessState)
	return f, nil
}

func (f *sized) fill(began time.Time, j job, seen sightings, ended *os.ProcessState) {
	f.Assigned = seen.Assigned.Sub(began).Seconds()
	f.First = seen.First.Sub(began).Seconds()
	f.AfterAssigned = seen.First.Sub(seen.Assigned).Seconds()
	f.Delivered = seen.delivered()
	if usage, ok := ended.SysUsage().(*syscall.Rusage); ok {
		f.CPUMicros = float64((usage.Utime.Nano()+usage.Stime.Nano())/1e3) / float64(f.Records)
	}
	if f.Case == parked {
		f.HeapBytes = float64(seen.Heap) / float64(f.Records)
		return
	}
	f.Drain, f.Steady, f.Quarters = seen.rates()
	if f.Steady > 0 { // 0 where it stood still for most of the time
		f.OfSteady = f.Drain / f.Steady
	}
	if !j.Due.IsZero() {
		behind := seen.First.Sub(j.Due)
		f.Late = &lateness{First: behind.Seconds(), Median: (behind + seen.after(0.5)).Seconds(), P99: (behind + seen.after(0.99)).Seconds(), Early: seen.Early}
	}
}

// patience is how long a worker has for its records: it must manage a thousand a second.
func patience(records int) time.Duration {
	return 2*time.Minute + dueAfter(records) + time.Duration(records)*time.Millisecond
}

// load is the machine's load average of the last minute, 0 where it does not say.
func load() float64 {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0
	}
	var one float64
	_, _ = fmt.Sscan(string(text), &one)
	return one
}

// miss names the goals that the case misses.
func (f *sized) miss() (missed []string) {
	check := func(what string, have, most float64) {
		if have > most {
			missed = append(missed, fmt.Sprintf("%s: %s %.2f > %.2f", f.Case, what, have, most))
		}
	}
	check("rss_mib", f.RSSMiB, rssGoal)
	switch f.Case {
	case backlog:
		check("steady over drain", f.Steady/f.Drain, 1/drainGoal)
	case parked:
		check("first_send_after_assignment_s", f.AfterAssigned, firstGoal.Seconds())
	case allDue:
		check("first send behind its due time, in seconds", f.Late.First, latestGoal.Seconds())
		check("sends before the due time", float64(f.Late.Early), 0)
	}
	return missed
}
