package sinktest

import (
	"bytes"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"holdfast.internal"
)

// hostility is one way in which a destination misbehaves, and what a sink
// must make of it.
type hostility struct {
	answer  http.HandlerFunc
	verdict []holdfast.Verdict // any of them
	class   holdfast.Class     // "" accepts any
}

// hostilities returns every kind of misbehaviour that rows 36 to 42 of the
// fault matrix list.
func hostilities() map[string]hostility {
	unsure := []holdfast.Verdict{holdfast.VerdictTransient}
	// What is cut or garbled behind a 2xx may pass as delivered where the status
	// is all that a sink reads, and never as anything final.
	lenient := []holdfast.Verdict{holdfast.VerdictDelivered, holdfast.VerdictTransient, holdfast.VerdictUnknown}
	return map[string]hostility{
		"silence before the headers":  {hang, unsure, holdfast.ClassUncertain},
		"a reset connection":          {reset, unsure, holdfast.ClassUncertain},
		"a reset within the body":     {resetInBody, unsure, holdfast.ClassUncertain},
		"a half-closed connection":    {halfClose, unsure, holdfast.ClassUncertain},
		"a garbage status line":       {raw("HELO " + CanaryText + "\r\n\r\n"), unsure, holdfast.ClassUncertain},
		"a slow drip":                 {drip, unsure, holdfast.ClassUncertain},
		"8 MiB of headers":            {headerFlood, unsure, holdfast.ClassUncertain},
		"endless interim answers":     {interimFlood, unsure, holdfast.ClassUncertain},
		"a body of 256 MiB":           {giantBody, lenient, ""},
		"a gzip bomb":                 {gzipBomb, lenient, ""},
		"an error page with payloads": {echo(http.StatusBadRequest), []holdfast.Verdict{holdfast.VerdictPermanent, holdfast.VerdictTransient}, ""},
		"a 500 with payloads":         {echo(http.StatusInternalServerError), []holdfast.Verdict{holdfast.VerdictTransient, holdfast.VerdictUnknown}, ""},
	}
}

// hang answers nothing until the client gives up.
func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// seize takes the connection from net/http.
func seize(w http.ResponseWriter) net.Conn {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return conn
}

// reset closes with RST instead of FIN.
func reset(w http.ResponseWriter, _ *http.Request) { abort(seize(w)) }

func abort(conn net.Conn) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func resetInBody(w http.ResponseWriter, _ *http.Request) {
	conn := seize(w)
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"id\":")
	abort(conn)
}

// halfClose ends the answer in the middle of its headers and keeps listening.
func halfClose(w http.ResponseWriter, _ *http.Request) {
	conn := seize(w)
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Le")
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, conn)
	_ = conn.Close()
}

func raw(text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		conn := seize(w)
		_, _ = io.WriteString(conn, text)
		_ = conn.Close()
	}
}

// drip sends one byte at a time until the client gives up.
func drip(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		_, _ = io.WriteString(w, " ")
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

func headerFlood(w http.ResponseWriter, _ *http.Request) {
	conn := seize(w)
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n")
	line := "X-Flood: " + strings.Repeat("x", 1<<10) + "\r\n"
	for range 8 << 10 {
		if _, err := io.WriteString(conn, line); err != nil {
			return
		}
	}
	_, _ = io.WriteString(conn, "Content-Length: 0\r\n\r\n") // whole, for those who read that far
}

func interimFlood(w http.ResponseWriter, _ *http.Request) {
	conn := seize(w)
	defer func() { _ = conn.Close() }()
	for range 200_000 {
		if _, err := io.WriteString(conn, "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"); err != nil {
			return
		}
	}
}

func giantBody(w http.ResponseWriter, _ *http.Request) {
	block := bytes.Repeat([]byte("x"), 64<<10)
	for range 4 << 10 {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

// gzipBomb sends a compressed body nobody asked for; it would inflate to 64 MiB.
func gzipBomb(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Encoding", "gzip")
	w.Header().Set("Content-Type", "application/json")
	z := gzip.NewWriter(w)
	block := make([]byte, 64<<10)
	for range 1 << 10 {
		if _, err := z.Write(block); err != nil {
			return
		}
	}
	_ = z.Close()
}

// echo repeats the request in every place of the answer that a sink reads.
func echo(status int) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		text := strconv.Quote(r.URL.RequestURI() + " " + r.Header.Get("Authorization") + " " + string(body) + " " + CanaryText)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Request-Id", CanarySecret)
		w.WriteHeader(status)
		_, _ = io.WriteString(w, `{"error":{"code":`+strconv.Quote(CanarySecret)+`,"type":"x","message":`+text+`},"message":`+text+`}`)
	}
}
