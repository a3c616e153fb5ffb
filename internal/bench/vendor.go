package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"holdfast.internal/internal/embedded"
)

// What the helpers of a run are.
const (
	beVendor = "vendor"
	beBroker = "broker"
)

// serveVendor answers every request with 200 after the time that its path
// says, such as /2.5ms, and prints its address. The time varies by a tenth
// either way: in lockstep all requests in flight would queue for the processor
// at once, which no crowd of real requests does.
func serveVendor(ctx context.Context) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(answer)}
	go func() {
		untilOrphaned(ctx)
		_ = server.Close()
	}()
	fmt.Println("http://" + l.Addr().String())
	_ = server.Serve(l)
	return nil
}

func answer(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	if latency, err := time.ParseDuration(strings.TrimPrefix(r.URL.Path, "/")); err == nil && latency > 0 {
		timer := time.NewTimer(latency*9/10 + rand.N(latency/5)) //nolint:gosec // chance, not secrecy
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
	}
	w.WriteHeader(http.StatusOK)
}

// serveBroker is an embedded broker that prints its address.
func serveBroker(ctx context.Context) error {
	broker, err := embedded.StartBroker(embedded.BrokerOptions{})
	if err != nil {
		return err
	}
	defer broker.Close()
	fmt.Println(strings.Join(broker.Addrs(), ","))
	untilOrphaned(ctx)
	return nil
}

// untilOrphaned returns when ctx ends or the parent closes the pipe, which it
// does however it dies.
func untilOrphaned(ctx context.Context) {
	gone := make(chan struct{})
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		close(gone)
	}()
	select {
	case <-ctx.Done():
	case <-gone:
	}
}
