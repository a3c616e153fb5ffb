// Command chaos proves the engine's promises where they are hardest to keep:
// on three real brokers, with three workers of the real binary that are killed
// with SIGKILL every few seconds, a broker that dies too, and a vendor that
// fails a fifth of the requests in all the ways in which vendors fail.
//
// The vendor writes down every request. From that, and from what the producer
// was told, it is judged whether events were lost, applied twice, overtaken by
// later ones of their key, sent again beyond what a kill explains, or sent
// faster than the limit; and how soon a killed worker's keys go on.
//
// Other acts than killing: -act restart restarts the workers one by one, freeze
// stops one past its session and lets it go on, outage kills all brokers at
// once, roll restarts them one by one.
//
// Progress goes to stderr, one JSON object to stdout. Exit 1: a promise is broken.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		os.Exit(1)
	}
}

// options are the flags of a run.
type options struct {
	act         string
	lasting     time.Duration
	short       bool
	busy        bool // times are not judged
	length      time.Duration
	kills       int
	every       time.Duration
	rate        int     // events a second
	keys        int     // that they are spread over
	faults      float64 // share of requests
	limit       int     // requests a second, of all workers together
	burst       int
	concurrency int
	services    string
	binary      string
	logs        string
	seed        uint64
}

var errAct = errors.New("must be one of " + strings.Join(acts(), ", "))

var errBroken = errors.New("a promise is broken")

func run(ctx context.Context, args []string) error {
	var o options
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.StringVar(&o.act, "act", actKill, "what happens: `kill`, restart, freeze, outage or roll")
	flags.DurationVar(&o.lasting, "lasting", 30*time.Second, "how long a worker is frozen, or all brokers are dead")
	flags.BoolVar(&o.short, "short", false, "20 s and one broker, for continuous integration")
	flags.BoolVar(&o.busy, "busy", false, "print times, and windows shorter than a second, and do not judge them: the machine does other things too")
	flags.DurationVar(&o.length, "for", time.Minute, "how long workers are killed")
	flags.IntVar(&o.kills, "kills", 20, "or how many times")
	flags.DurationVar(&o.every, "every", 3*time.Second, "time between kills")
	flags.IntVar(&o.rate, "rate", 100, "events a second")
	flags.IntVar(&o.keys, "keys", 200, "keys that the events are spread over")
	flags.Float64Var(&o.faults, "faults", 0.2, "share of requests that the vendor fails")
	flags.IntVar(&o.limit, "limit", 200, "requests a second of all workers together (limits.rate with limits.account); 0 for no limit")
	flags.IntVar(&o.burst, "burst", 20, "limits.burst")
	flags.IntVar(&o.concurrency, "concurrency", 32, "requests in flight of one worker")
	flags.StringVar(&o.services, "services", ".cache/chaos-services", "folder of deploy/local/services.sh; services that run there are used and left")
	flags.StringVar(&o.binary, "binary", "", "holdfast to run (default: built from this module)")
	flags.StringVar(&o.logs, "logs", "", "keep the workers' logs and the configuration in this folder")
	flags.Uint64Var(&o.seed, "seed", uint64(time.Now().Unix()), "of events and kills") //nolint:gosec // the clock is positive
	if err := flags.Parse(args); err != nil {
		return err
	}
	if !slices.Contains(acts(), o.act) {
		return fmt.Errorf("-act %s: %w", o.act, errAct)
	}
	if o.short {
		o.length = min(o.length, 20*time.Second)
	}
	r, err := play(ctx, o)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(os.Stdout).Encode(r); err != nil {
		return err
	}
	if len(r.Broken) > 0 {
		return errBroken
	}
	return nil
}

// say tells those who watch what happens.
func say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, time.Now().Format("15:04:05.0 ")+format+"\n", args...)
}
