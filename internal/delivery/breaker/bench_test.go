package breaker

import "testing"

// BenchmarkAttempt is what the breaker adds to each attempt.
func BenchmarkAttempt(b *testing.B) {
	br := New(Config{}, 64)
	now := at(0)
	b.ReportAllocs()
	for b.Loop() {
		now = now.Add(1000)
		if !one(br, now, Answered) {
			b.Fatal("not allowed")
		}
	}
}
