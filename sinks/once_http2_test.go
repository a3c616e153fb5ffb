package sinks

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"holdfast.internal"
)

// frames is a vendor that speaks HTTP/2 frame by frame, so that it can do what
// no server of net/http does. answer is called with each request that has
// arrived whole, counted from 1 over all connections.
type frames struct {
	t        *testing.T
	listener net.Listener
	answer   func(c *frameConn, nth int, stream uint32)

	mu      sync.Mutex
	bodies  []string // of the requests that arrived
	conns   []net.Conn
	serving sync.WaitGroup
}

type frameConn struct {
	*http2.Framer

	conn net.Conn
}

// newFrames returns a vendor and a client that trusts it.
func newFrames(t *testing.T, answer func(c *frameConn, nth int, stream uint32)) (*frames, *Client) {
	t.Helper()
	certified := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(certified.Close)
	plain, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &frames{t: t, answer: answer, listener: tls.NewListener(plain, &tls.Config{
		Certificates: certified.TLS.Certificates, NextProtos: []string{"h2"}, MinVersion: tls.VersionTLS12,
	})}
	f.serving.Go(f.serve)
	client := testClient(t)
	trust(client, certified)
	t.Cleanup(func() {
		_ = f.listener.Close()
		f.mu.Lock()
		for _, conn := range f.conns {
			_ = conn.Close()
		}
		f.mu.Unlock()
		f.serving.Wait()
	})
	return f, client
}

func (f *frames) serve() {
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.mu.Lock()
		f.conns = append(f.conns, conn)
		f.mu.Unlock()
		f.serving.Go(func() {
			defer func() { _ = conn.Close() }()
			f.speak(conn)
		})
	}
}

// speak reads one connection until it ends.
func (f *frames) speak(conn net.Conn) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil {
		return
	}
	c := &frameConn{Framer: http2.NewFramer(conn, conn), conn: conn}
	if err := c.WriteSettings(); err != nil {
		return
	}
	bodies := map[uint32]string{}
	for {
		frame, err := c.ReadFrame()
		if err != nil {
			return
		}
		stream, whole := frame.Header().StreamID, false
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = c.WriteSettingsAck()
			}
		case *http2.PingFrame:
			_ = c.WritePing(true, frame.Data)
		case *http2.HeadersFrame:
			whole = frame.StreamEnded()
		case *http2.DataFrame:
			bodies[stream] += string(frame.Data())
			whole = frame.StreamEnded()
		}
		if whole {
			f.mu.Lock()
			f.bodies = append(f.bodies, bodies[stream])
			nth := len(f.bodies)
			f.mu.Unlock()
			f.answer(c, nth, stream)
		}
	}
}

func (f *frames) arrived() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.bodies)
}

// ok answers with 200. What is not whole says that a body follows.
func (c *frameConn) ok(stream uint32, whole bool) {
	var head bytes.Buffer
	_ = hpack.NewEncoder(&head).WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	_ = c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: head.Bytes(), EndHeaders: true, EndStream: whole})
}

// send sends a request with a body, or a GET without one.
func (f *frames) send(client *Client, method, body string) error {
	f.t.Helper()
	req, err := http.NewRequestWithContext(f.t.Context(), method, "https://"+f.listener.Addr().String(), nil)
	if err != nil {
		f.t.Fatal(err)
	}
	req.Header.Set("Idempotency-Key", body)
	if method == http.MethodGet {
		body = ""
	}
	_, err = client.do(f.t.Context(), req, Call{Body: []byte(body)}, nil)
	return err
}

// TestP6ARequestIsSentOnceOverHTTP2: the first request of a connection is
// answered, and what comes of the second is what the vendor says of it. Nothing
// is sent again behind the engine's back; where the vendor ended that request
// alone, the engine is told to ask again at once.
func TestP6ARequestIsSentOnceOverHTTP2(t *testing.T) {
	t.Parallel()
	reset := func(code http2.ErrCode) func(*frameConn, uint32) {
		return func(c *frameConn, stream uint32) { _ = c.WriteRSTStream(stream, code) }
	}
	for name, test := range map[string]struct {
		second func(c *frameConn, stream uint32)
		again  bool
	}{
		"the connection is closed": {second: func(c *frameConn, _ uint32) { _ = c.conn.Close() }},
		"the connection is reset": {second: func(c *frameConn, _ uint32) {
			secure, _ := c.conn.(*tls.Conn)
			tcp, _ := secure.NetConn().(*net.TCPConn)
			_ = tcp.SetLinger(0)
			_ = tcp.Close()
		}},
		"it goes away, having begun with the request": {second: func(c *frameConn, stream uint32) {
			_ = c.WriteGoAway(stream, http2.ErrCodeNo, nil)
			_ = c.conn.Close()
		}},
		"it goes away for an error, having begun": {second: func(c *frameConn, stream uint32) {
			_ = c.WriteGoAway(stream, http2.ErrCodeInternal, nil)
			_ = c.conn.Close()
		}},
		"the stream ends for an error": {second: reset(http2.ErrCodeInternal)},
		"the stream is cancelled":      {second: reset(http2.ErrCodeCancel)},
		"it is asked for calm":         {second: reset(http2.ErrCodeEnhanceYourCalm)},
		"half an answer, and the stream ends": {second: func(c *frameConn, stream uint32) {
			c.ok(stream, false)
			reset(http2.ErrCodeRefusedStream)(c, stream)
		}},
		"half an answer, and it goes away": {second: func(c *frameConn, stream uint32) { c.ok(stream, false); _ = c.WriteGoAway(0, http2.ErrCodeNo, nil) }},
		"the stream is refused":            {second: reset(http2.ErrCodeRefusedStream), again: true},
		"the stream ends for our error":    {second: reset(http2.ErrCodeProtocol), again: true},
		"it goes away, not having begun with it": {again: true, second: func(c *frameConn, stream uint32) {
			_ = c.WriteGoAway(stream-2, http2.ErrCodeNo, nil)
			_ = c.conn.Close()
		}},
	} {
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			t.Run(method+", "+name, func(t *testing.T) {
				t.Parallel()
				vendor, client := newFrames(t, func(c *frameConn, nth int, stream uint32) {
					if nth == 2 {
						test.second(c, stream)
						return
					}
					c.ok(stream, true)
				})
				if err := vendor.send(client, method, "one"); err != nil {
					t.Fatal(err)
				}
				err := vendor.send(client, method, "two")
				want := []string{"one", "two"}
				if method == http.MethodGet {
					want = make([]string, len(want))
				}
				if got := vendor.arrived(); strings.Join(got, " ") != strings.Join(want, " ") {
					t.Errorf("arrived: %q, want %q", got, want)
				}
				verdict, ok := errors.AsType[*holdfast.TransientError](err)
				if !ok || verdict.Class != holdfast.ClassUncertain || verdict.Again != test.again {
					t.Errorf("%#v, want one that is uncertain, asked again: %t", err, test.again)
				}
			})
		}
	}
}

// TestP6AConnectionOfManyIsSentOnce: over HTTP/2 many requests share a
// connection, and all of them are in doubt when it dies.
func TestP6AConnectionOfManyIsSentOnce(t *testing.T) {
	t.Parallel()
	const many = 20
	vendor, client := newFrames(t, func(c *frameConn, nth int, stream uint32) {
		switch nth {
		case 1:
			c.ok(stream, true)
		case 1 + many:
			_ = c.conn.Close()
		}
	})
	if err := vendor.send(client, http.MethodPost, "first"); err != nil {
		t.Fatal(err)
	}
	var sending sync.WaitGroup
	for i := range many {
		sending.Go(func() {
			if _, f := holdfast.Judge(vendor.send(client, http.MethodPost, strconv.Itoa(i))); f.Class != holdfast.ClassUncertain {
				t.Errorf("request %d: class %q", i, f.Class)
			}
		})
	}
	sending.Wait()
	got := vendor.arrived()
	slices.Sort(got)
	if len(slices.Compact(got)) != 1+many || len(vendor.arrived()) != 1+many {
		t.Errorf("%d requests arrived of %d that were sent", len(vendor.arrived()), 1+many)
	}
}

// TestP4ADeafConnectionIsLeft: over HTTP/2 a time-out ends a request and not its
// connection. One whose peer has gone without a word must not be kept.
func TestP4ADeafConnectionIsLeft(t *testing.T) {
	t.Parallel()
	deaf := make(chan struct{})
	vendor, client := newFrames(t, func(c *frameConn, nth int, stream uint32) {
		if nth == 2 {
			<-deaf // reads no frame any more, pings included
			return
		}
		c.ok(stream, true)
	})
	t.Cleanup(func() { close(deaf) })
	transportOf(client).HTTP2.SendPingTimeout, transportOf(client).HTTP2.PingTimeout = 200*time.Millisecond, 200*time.Millisecond
	client.timeout = 300 * time.Millisecond
	if err := vendor.send(client, http.MethodPost, "one"); err != nil {
		t.Fatal(err)
	}
	failed := 0
	for began := time.Now(); vendor.send(client, http.MethodPost, "two") != nil; failed++ {
		if time.Since(began) > 10*time.Second {
			t.Fatalf("%d requests failed over a connection that nobody listens to", failed)
		}
	}
	if failed == 0 {
		t.Error("no request met a deaf connection: nothing was shown")
	}
}
