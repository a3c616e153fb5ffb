package main

import "testing"

func TestLocalAddress(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ listen, want string }{
		"one address":          {"10.1.2.3:8080", "10.1.2.3:8080"},
		"all of IPv4":          {"0.0.0.0:8080", "localhost:8080"},
		"all of IPv6":          {"[::]:8080", "localhost:8080"},
		"all, spelt in short":  {":8080", "localhost:8080"},
		"a port of any number": {"127.0.0.1:0", ""},
		"nowhere":              {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := localAddress(c.listen)
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("got %q, %v; want %q", got, err, c.want)
			}
		})
	}
}
