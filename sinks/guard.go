package sinks

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"syscall"
)

// Egress says which destinations clients may reach. The zero value is the
// strictest: https, public addresses.
type Egress struct {
	// AllowHTTP admits plain http.
	AllowHTTP bool `yaml:"allow_http"`
	// AllowCIDRs are networks that are admitted though they are not public, such as 127.0.0.0/8; none by default.
	AllowCIDRs []netip.Prefix `yaml:"allow_cidrs"`
}

var (
	errBlocked = errors.New("address is not public and not in egress.allow_cidrs")
	errScheme  = errors.New("only https is allowed (egress.allow_http admits http)")
)

// control is a net.Dialer's Control. It runs after DNS with the very address
// that is about to be dialled, so that rebinding and odd spellings of an
// address make no difference.
func (e Egress) control(network, address string, _ syscall.RawConn) error {
	if network != "tcp4" && network != "tcp6" {
		return errBlocked
	}
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return errBlocked
	}
	if ip := ap.Addr(); !e.permits(ip) {
		return fmt.Errorf("%w: %s", errBlocked, ip.WithZone(""))
	}
	return nil
}

func (e Egress) permits(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	allowed := slices.ContainsFunc(e.AllowCIDRs, func(p netip.Prefix) bool { return p.Contains(ip) })
	return allowed || public(ip)
}

// public reports whether ip can belong to a server on the Internet. For IPv6
// only 2000::/3 is global unicast; what is carved out of it embeds or
// tunnels to other addresses.
func public(ip netip.Addr) bool {
	if !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return false
	}
	if ip.Is6() && !netip.MustParsePrefix("2000::/3").Contains(ip) {
		return false
	}
	return !slices.ContainsFunc(reserved(), func(p netip.Prefix) bool { return p.Contains(ip) })
}

// reserved lists IANA's special-purpose blocks that IsGlobalUnicast and
// IsPrivate let through.
func reserved() []netip.Prefix {
	return []netip.Prefix{
		netip.MustParsePrefix("0.0.0.0/8"),       // this network
		netip.MustParsePrefix("100.64.0.0/10"),   // carrier-grade NAT
		netip.MustParsePrefix("127.0.0.0/8"),     // loopback
		netip.MustParsePrefix("169.254.0.0/16"),  // link local: metadata services
		netip.MustParsePrefix("192.0.0.0/24"),    // IETF protocol assignments
		netip.MustParsePrefix("192.0.2.0/24"),    // documentation
		netip.MustParsePrefix("192.31.196.0/24"), // AS112
		netip.MustParsePrefix("192.52.193.0/24"), // AMT
		netip.MustParsePrefix("192.88.99.0/24"),  // 6to4 relays
		netip.MustParsePrefix("192.175.48.0/24"), // AS112
		netip.MustParsePrefix("198.18.0.0/15"),   // benchmarks
		netip.MustParsePrefix("198.51.100.0/24"), // documentation
		netip.MustParsePrefix("203.0.113.0/24"),  // documentation
		netip.MustParsePrefix("240.0.0.0/4"),     // reserved, broadcast
		netip.MustParsePrefix("2001::/23"),       // Teredo, ORCHID, benchmarks
		netip.MustParsePrefix("2001:db8::/32"),   // documentation
		netip.MustParsePrefix("2002::/16"),       // 6to4 embeds an IPv4 address
		netip.MustParsePrefix("3fff::/20"),       // documentation
		netip.MustParsePrefix("2620:4f:8000::/48"),
	}
}

// noPlainHTTP is the transport of http where egress does not allow it: it
// refuses before a connection is looked for.
type noPlainHTTP struct{}

// RoundTrip implements [http.RoundTripper].
func (noPlainHTTP) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Body != nil {
		_ = req.Body.Close()
	}
	return nil, errScheme
}
