package delivery

import (
	"context"
	"errors"
	"testing"
	"time"
)

// TestACallEndsItsContext: over HTTP/2 net/http writes the body of a request that
// was answered early for as long as its context lives. One that is used for the
// next call would leave a stream open for each.
func TestACallEndsItsContext(t *testing.T) {
	t.Parallel()
	var c calls
	first := c.begin(t.Context(), time.Now().Add(time.Hour))
	second := c.begin(t.Context(), time.Now().Add(time.Hour))
	c.end(first)
	if !errors.Is(first.Err(), context.Canceled) {
		t.Errorf("a call that has returned left its context: %v", first.Err())
	}
	if err := second.Err(); err != nil {
		t.Errorf("another one's has ended: %v", err)
	}
	c.end(second)
}
