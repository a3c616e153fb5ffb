package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"time"
)

// vendor is an HTTP destination that fails often, forgets nothing, and writes
// down what it saw.
type vendor struct {
	book   *book
	server *http.Server
	url    string
}

// headerWorker tells the vendor which worker sends.
const headerWorker = "Chaos-Worker"

func startVendor(ctx context.Context, b *book) (*vendor, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	v := &vendor{book: b, url: "http://" + l.Addr().String()}
	v.server = &http.Server{Handler: v, ReadHeaderTimeout: time.Minute}
	go func() { _ = v.server.Serve(l) }()
	return v, nil
}

func (v *vendor) close() { _ = v.server.Close() }

// invoice is the part of a request's body that the vendor looks at.
type invoice struct {
	ID       string `json:"id"`
	Metadata struct {
		Seq string `json:"seq"` // of the key
	} `json:"metadata"`
}

var errRequest = errors.New("not an invoice of this run")

// ServeHTTP answers one request, or fails to.
func (v *vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	sent, err := read(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	switch kind := v.book.arrived(sent); kind {
	case faultNone:
		v.book.applied(sent)
		v.book.answered(sent) // before the answer leaves: the next record of the key may be quicker than we
		w.WriteHeader(http.StatusOK)
	case faultThrottle:
		until, all := throttle(w, sent.seq)
		who := sent.worker
		if all {
			who = everybody
		}
		v.book.asked(who, span{from: sent.at, to: until})
	case faultError:
		http.Error(w, "upstream failure", http.StatusInternalServerError)
	case faultReset:
		reset(w)
	case faultHang:
		hang(r.Context())
	case faultApplied:
		v.book.applied(sent)
		hang(r.Context())
	default: // faults counts the kinds and is none
	}
}

// request is one request as the book keeps it.
type request struct {
	at     time.Time
	id     string // the event's
	key    string // the record's
	seq    int    // within the key
	idem   string // idempotency key
	worker string
}

// maxBody bounds a request's body.
const maxBody = 1 << 20

func read(r *http.Request) (request, error) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody))
	if err != nil {
		return request{}, err
	}
	var in invoice
	if err := json.Unmarshal(body, &in); err != nil {
		return request{}, err
	}
	seq, err := strconv.Atoi(in.Metadata.Seq)
	if err != nil {
		return request{}, errRequest
	}
	return request{
		at: time.Now(), id: in.ID, seq: seq, key: r.Header.Get("Holdfast-Key"),
		idem: r.Header.Get("Idempotency-Key"), worker: r.Header.Get(headerWorker),
	}, nil
}

// throttle says 429 in one of the forms in which vendors do, and returns until
// when the worker is to wait; now where none is named. What is left of a window
// is left to all who share the limit, and workers tell it to each other.
func throttle(w http.ResponseWriter, n int) (until time.Time, all bool) {
	until = time.Now()
	switch n % 5 {
	case 0:
		w.Header().Set("Retry-After", "1")
		until = until.Add(time.Second)
	case 1:
		w.Header().Set("Retry-After", "0.3")
		until = until.Add(300 * time.Millisecond)
	case 2:
		until = until.Add(time.Second).Truncate(time.Second)
		w.Header().Set("Retry-After", until.UTC().Format(http.TimeFormat))
	case 3:
		w.Header().Set("RateLimit", `"default";r=0;t=1`)
		until, all = until.Add(time.Second), true
	}
	http.Error(w, "slow down", http.StatusTooManyRequests)
	return until, all
}

// reset cuts the connection without an answer.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// hang answers nobody until the client has given up.
func hang(ctx context.Context) {
	timer := time.NewTimer(time.Minute)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
