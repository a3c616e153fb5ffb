package processing

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/record"
	"holdfast.internal/internal/topics"
)

// maxLetter is the largest dead letter: the largest batch that can be read and
// what is added to it. The client counts bytes before compression, the broker
// after it: an input may have come compressed, many times as large as its topic
// seems to take.
const maxLetter = kafka.MaxBatch + record.Headroom

// maxRefused bounds what is remembered of letters that the broker refused.
const maxRefused = 1000

// oversize brings dead letters of every size to their topic: one that is larger
// than the topic's limit goes in a batch of its own, and one that is too large
// compressed as well goes without its value, which is found at its origin.
type oversize struct {
	log *zap.Logger

	mu      sync.Mutex
	refused map[string]struct{} // origins
}

// apart flushes where the next letter would make a batch larger than the topic
// takes. held is what may be in one batch already; the new sum is returned.
func (r *Runtime) apart(ctx context.Context, client *kgo.Client, held int, letter *kgo.Record) int {
	limit := r.letterLimit()
	size := sizeOf(letter)
	if held > 0 && held+size > limit {
		_ = client.Flush(ctx) // its error is that of the records
		held = 0
	}
	return held + size
}

func (r *Runtime) letterLimit() int {
	if n := r.limits.dead.Load(); n > 0 {
		return int(n)
	}
	return defaultMaxMessage + record.Headroom
}

// watch notes a letter that the broker refuses for its size.
func (l *oversize) watch(letter *kgo.Record, next func(*kgo.Record, error)) func(*kgo.Record, error) {
	return func(done *kgo.Record, err error) {
		if errors.Is(err, kerr.MessageTooLarge) {
			l.refuse(originOf(letter))
		}
		next(done, err)
	}
}

func (l *oversize) refuse(origin string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.refused) >= maxRefused {
		clear(l.refused)
	}
	l.refused[origin] = struct{}{}
	l.log.Error("a dead letter is larger than its topic takes: it goes without its value", zap.String("origin", origin))
}

// cut leaves the value and the producer's headers out of a letter that was refused.
func (l *oversize) cut(env *record.Envelope) {
	l.mu.Lock()
	_, refused := l.refused[env.Event.Origin.String()]
	l.mu.Unlock()
	if !refused {
		return
	}
	env.Message = fmt.Sprintf("%s; the value, %d bytes, is too large for this topic and lies at %s", env.Message, len(env.Payload), env.Event.Origin)
	env.Payload, env.Event.Headers = nil, nil
}

func originOf(letter *kgo.Record) string {
	for _, h := range letter.Headers {
		if h.Key == record.HeaderOrigin {
			return string(h.Value)
		}
	}
	return ""
}

// isLetter reports whether a record goes to the dead-letter topic.
func (r *Runtime) isLetter(out *kgo.Record) bool { return out.Topic == topics.DeadLetters(r.cfg.Name) }
