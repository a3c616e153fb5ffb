package sinks

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"holdfast.internal"
)

// spellings of addresses that no request may reach without leave.
func spellings() []string {
	return []string{
		"127.0.0.1", "127.1", "127.0.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "127.255.255.254",
		"0.0.0.0", "0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.1.1",
		"169.254.169.254", "0xa9fea9fe", "2852039166", "0251.0376.0251.0376", "100.64.0.1", "100.100.100.200", "192.0.0.1",
		"192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.7", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255",
		"192.88.99.1", "[::]", "[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:10.0.0.1]", "[::127.0.0.1]",
		"[64:ff9b::7f00:1]", "[64:ff9b:1::a00:1]", "[2002:7f00:1::]", "[2001::1]", "[fe80::1]", "[fe80::1%25lo]", "[fc00::1]",
		"[fd00:ec2::254]", "[ff02::1]", "[fec0::1]", "[100::1]", "[2001:db8::1]", "[3fff::1]", "[5f00::1]",
	}
}

func TestNoSpellingOfAnInternalAddressIsReached(t *testing.T) {
	t.Parallel()
	forms := spellings()
	if len(forms) < 40 {
		t.Fatalf("%d spellings, want 40 at least", len(forms))
	}
	var reached atomic.Int64
	client := guardedFakeClient(Egress{AllowHTTP: true}, &reached)
	for _, host := range forms {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+host+":80/x", nil)
		if err != nil {
			continue // not even a URL
		}
		if _, err = client.do(req.Context(), req, Call{}, nil); err == nil {
			t.Errorf("%s: answered", host)
		}
	}
	if n := reached.Load(); n != 0 {
		t.Fatalf("%d connections were made, want 0", n)
	}
}

func TestOnlyWebSchemesAreSent(t *testing.T) {
	t.Parallel()
	var reached atomic.Int64
	client := guardedFakeClient(Egress{AllowCIDRs: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}}, &reached)
	for _, raw := range []string{
		"http://93.184.216.34/", "file:///etc/passwd", "gopher://93.184.216.34/", "ftp://93.184.216.34/", "//93.184.216.34/", "unix:/run/s",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		_, err = client.do(t.Context(), &http.Request{Method: http.MethodGet, URL: u, Header: http.Header{}}, Call{}, nil)
		if err == nil {
			t.Errorf("%s: answered", raw)
		}
	}
	if n := reached.Load(); n != 0 {
		t.Fatalf("%d connections were made, want 0", n)
	}
}

// guardedFakeClient dials nothing: literal addresses go through the guard as
// the system's resolver would spell them, and what passes is counted. Names
// that are no canonical literal are spelled by hand as C libraries do, which
// is more than Go's resolver would let through.
func guardedFakeClient(e Egress, reached *atomic.Int64) *Client {
	client := NewClient(e, ClientOptions{})
	transport := transportOf(client)
	transport.DialContext = func(_ context.Context, _, addr string) (net.Conn, error) {
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		ip, err := netip.ParseAddr(host)
		if err != nil {
			if ip, err = inetAton(host); err != nil {
				return nil, err
			}
		}
		network := "tcp4"
		if ip.Is6() {
			network = "tcp6"
		}
		if err := e.control(network, net.JoinHostPort(ip.String(), port), nil); err != nil {
			return nil, &net.OpError{Op: "dial", Net: network, Err: err}
		}
		reached.Add(1)
		return nil, io.EOF
	}
	return client
}

// inetAton is the lenient parser of C: octal, hexadecimal, fewer than four parts.
func inetAton(s string) (netip.Addr, error) {
	parts := strings.Split(s, ".")
	var value uint64
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 0, 32)
		if err != nil {
			return netip.Addr{}, err
		}
		if i == len(parts)-1 {
			value |= n
		} else {
			value |= n << (24 - 8*i)
		}
	}
	return netip.AddrFrom4([4]byte{byte(value >> 24), byte(value >> 16), byte(value >> 8), byte(value)}), nil
}

func TestGuardPermits(t *testing.T) {
	t.Parallel()
	loopback := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	tests := map[string]struct {
		network, addr string
		allow         []netip.Prefix
		ok            bool
	}{
		"a public address":                        {"tcp4", "93.184.216.34:443", nil, true},
		"a public IPv6 address":                   {"tcp6", "[2606:2800:220:1::1]:443", nil, true},
		"loopback where the configuration admits": {"tcp4", "127.0.0.1:80", loopback, true},
		"its IPv4-mapped spelling too":            {"tcp6", "[::ffff:127.0.0.1]:80", loopback, true},
		"but no other private address":            {"tcp4", "10.0.0.1:80", loopback, false},
		"nothing but TCP":                         {"udp4", "93.184.216.34:443", nil, false},
		"no Unix socket":                          {"unix", "/run/docker.sock", nil, false},
		"no address that does not parse":          {"tcp4", "localhost:80", loopback, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c syscall.RawConn
			if err := (Egress{AllowCIDRs: tt.allow}).control(tt.network, tt.addr, c); (err == nil) != tt.ok {
				t.Errorf("control(%s, %s) = %v", tt.network, tt.addr, err)
			}
		})
	}
}

func TestABlockedAddressBurnsNoRecord(t *testing.T) {
	t.Parallel()
	client := NewClient(Egress{AllowHTTP: true}, ClientOptions{})
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://127.0.0.1:9/secret-path", strings.NewReader("x"))
	if err != nil {
		t.Fatal(err)
	}
	_, err = client.do(req.Context(), req, Call{}, nil)
	verdict, f := holdfast.Judge(err)
	if verdict != holdfast.VerdictUnavailable || f.Class != holdfast.ClassConfig || f.Code != "blocked_address" {
		t.Fatalf("got %s %s %s", verdict, f.Class, f.Code)
	}
	if strings.Contains(err.Error(), "secret-path") {
		t.Fatalf("the error names the URL: %v", err)
	}
}
