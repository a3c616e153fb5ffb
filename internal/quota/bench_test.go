package quota

import (
	"testing"
	"time"

	"golang.org/x/time/rate"
)

// BenchmarkRequest is what a limit costs a request that it lets pass: a token is
// taken, the request is sent, the vendor takes it. Beside it the limiter alone
// that counts the tokens.
func BenchmarkRequest(b *testing.B) {
	const plenty = 1 << 30
	b.Run("yardstick=rate.Limiter", func(b *testing.B) {
		l := rate.NewLimiter(plenty, plenty)
		for b.Loop() {
			if !l.AllowN(time.Now(), 1) {
				b.Fatal("no token")
			}
		}
	})
	for name, l := range map[string]Limit{
		"limited":  {Rate: plenty, Burst: plenty / perToken},
		"no limit": {Rate: rate.Inf, Burst: 64},
	} {
		b.Run(name, func(b *testing.B) {
			bucket := Full(l)
			for b.Loop() {
				now := time.Now()
				if ok, _ := bucket.TakeAhead(now, 1); !ok {
					b.Fatal("no token")
				}
				bucket.Sent(now, 1)
				bucket.Accepted(1)
			}
		})
	}
}
