package sinks

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"holdfast.internal"
)

// blunt is a server that answers every request with the same bytes, and
// allocates next to nothing, so that what is measured is the client.
func blunt(t *testing.T, head string, block []byte, times int) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() {
		_ = l.Close()
		<-done
	})
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			blurt(conn, head, block, times)
		}
	}()
	return "http://" + l.Addr().String()
}

// blurt reads one request and answers without end.
func blurt(conn net.Conn, head string, block []byte, times int) {
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	if _, err := io.Copy(io.Discard, req.Body); err != nil {
		return
	}
	if _, err := io.WriteString(conn, head); err != nil {
		return
	}
	for range times {
		if _, err := conn.Write(block); err != nil {
			return
		}
	}
}

// bomb inflates to 256 MiB: 256 members of a megabyte each.
func bomb(t *testing.T) []byte {
	t.Helper()
	var small bytes.Buffer
	z := gzip.NewWriter(&small)
	if _, err := z.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return bytes.Repeat(small.Bytes(), 256)
}

// TestP11WhatHostileAnswersCost (fault matrix 39, 40, 42): what the client
// allocates for answers that are made to fill memory.
func TestP11WhatHostileAnswersCost(t *testing.T) { //nolint:paralleltest // measures the process's allocations
	const ok, kib, mib = "HTTP/1.1 200 OK\r\n", 1 << 10, 1 << 20
	block := bytes.Repeat([]byte("x"), 64*kib)
	inflating := bomb(t)
	tests := map[string]struct {
		head    string
		block   []byte
		times   int
		most    uint64
		refused bool // nothing of the answer is used
	}{
		"a body of 256 MiB":       {ok + "Content-Length: 268435456\r\n\r\n", block, 4 * kib, 2 * mib, false},
		"a body without an end":   {ok + "\r\n", block, 4 * kib, 2 * mib, false},
		"a chunk of 256 MiB":      {ok + "Transfer-Encoding: chunked\r\n\r\n10000000\r\n", block, 4 * kib, 2 * mib, false},
		"a gzip bomb of 256 MiB":  {ok + "Content-Encoding: gzip\r\nConnection: close\r\n\r\n", inflating, 1, mib, false},
		"8 MiB of headers":        {ok, []byte("X-Flood: " + strings.Repeat("x", kib) + "\r\n"), 8 * kib, 2 * mib, true},
		"a header of 8 MiB":       {ok + "X-Flood: ", block, 128, 2 * mib, true},
		"a status line of 8 MiB":  {"HTTP/1.1 200 ", block, 128, 2 * mib, true},
		"200,000 interim answers": {"", []byte("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"), 200_000, 2 * mib, true},
	}
	for name, test := range tests { //nolint:paralleltest // memory is measured, of this test alone
		t.Run(name, func(t *testing.T) {
			client, url := testClient(t), blunt(t, test.head, test.block, test.times)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			got, err := post(t, client, url)
			runtime.ReadMemStats(&after)
			used := after.TotalAlloc - before.TotalAlloc
			t.Logf("%d KiB allocated", used/kib)
			if used > test.most {
				t.Errorf("allocated %d KiB, want %d at most", used/kib, test.most/kib)
			}
			if test.refused {
				if verdict, f := holdfast.Judge(err); verdict != holdfast.VerdictTransient || f.Class != holdfast.ClassUncertain {
					t.Errorf("%s %s: %v", verdict, f.Class, err)
				}
				return
			}
			if err != nil || len(got.Body) > MaxBody {
				t.Errorf("%d bytes, %v", len(got.Body), err)
			}
			if test.times == 1 && bytes.Count(got.Body, []byte{0}) == len(got.Body) {
				t.Error("the body was inflated")
			}
		})
	}
}

// TestADripEndsAtTheDeadline (36, 37): the limit is on the whole exchange, not
// on each byte of it.
func TestADripEndsAtTheDeadline(t *testing.T) {
	t.Parallel()
	for name, head := range map[string]string{
		"within the body": "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "within the headers": "HTTP/1.1 200 OK\r\nX-Drip: ", "before everything": "",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			done := make(chan struct{})
			go func() {
				defer close(done)
				conn, err := l.Accept()
				if err != nil {
					return
				}
				defer func() { _ = conn.Close() }()
				if _, err := http.ReadRequest(bufio.NewReader(conn)); err != nil {
					return
				}
				_, _ = io.WriteString(conn, head)
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for range tick.C {
					if _, err := conn.Write([]byte("x")[:min(1, len(head))]); err != nil || closed(conn, head) {
						return
					}
				}
			}()
			const limit = 400 * time.Millisecond
			client := NewClient(loopback(), ClientOptions{Timeout: limit})
			began := time.Now()
			_, err = post(t, client, "http://"+l.Addr().String())
			took := time.Since(began)
			client.Close()
			_ = l.Close()
			<-done
			if verdict, f := holdfast.Judge(err); verdict != holdfast.VerdictTransient || f.Class != holdfast.ClassUncertain {
				t.Errorf("%s %s: %v", verdict, f.Class, err)
			}
			if took < limit || took > 20*limit {
				t.Errorf("took %s, the limit is %s", took, limit)
			}
		})
	}
}

// closed reports whether the client has left a server that says nothing.
func closed(conn net.Conn, head string) bool {
	if head != "" {
		return false
	}
	_ = conn.SetReadDeadline(time.Now().Add(time.Millisecond))
	_, err := io.Copy(io.Discard, conn)
	return err == nil // the end, and not the deadline
}
