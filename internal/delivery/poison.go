package delivery

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/zap"

	"holdfast.internal"
	"holdfast.internal/internal/record"
)

// errBatch is what the dead letter says of a batch that nobody can read.
var errBatch = errors.New("the batch cannot be read")

// poison deals with a batch that can never be read: one that inflates beyond
// the bound, is corrupt, or fails its checksum. It would stop its partition for
// good. A pointer to it goes to the dead letters, and reading goes on behind
// it. poison reports whether err is of this kind.
func (w *Worker) poison(ctx context.Context, topic string, num int32, err error) bool {
	var tooLarge *kgo.ErrDecompressTooLarge
	isTooLarge := errors.As(err, &tooLarge)
	if !isTooLarge && !corrupt(err) {
		return false
	}
	at := holdfast.Coordinates{Topic: topic, Partition: num}
	if !w.stepping.begin(at) {
		return true
	}
	w.moves.Go(func() {
		defer w.stepping.end(at)
		for w.life.Err() == nil && ctx.Err() == nil && w.sched.ownsNumber(num) {
			var first, next int64
			if isTooLarge {
				first, next = tooLarge.Offset, tooLarge.NextOffset
			} else {
				first, next = w.batchAt(ctx, topic, num)
			}
			if next > 0 && w.stepOver(ctx, topic, num, first, next, err) {
				return
			}
			_ = sleep(ctx, moveRetryAfter)
		}
	})
	return true
}

// steppers are the partitions that step over a batch just now: while they do,
// the client meets it again and again.
type steppers struct {
	mu sync.Mutex
	at map[holdfast.Coordinates]struct{}
}

// begin reports false where that is under way.
func (s *steppers) begin(at holdfast.Coordinates) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, busy := s.at[at]; busy {
		return false
	}
	if s.at == nil {
		s.at = map[holdfast.Coordinates]struct{}{}
	}
	s.at[at] = struct{}{}
	return true
}

func (s *steppers) end(at holdfast.Coordinates) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.at, at)
}

// corrupt recognises what franz-go says of batches that it cannot read; it has
// no types for these.
func corrupt(err error) bool {
	text := err.Error()
	for _, sign := range []string{"encoded crc", "decompress", "too short to allow for a crc", "unable to read"} {
		if strings.Contains(text, sign) {
			return true
		}
	}
	return false
}

// batchAt returns the offsets of the first batch that was not read: its first
// and the one after its last. 0 for next if it cannot be had now.
func (w *Worker) batchAt(ctx context.Context, topic string, num int32) (first, next int64) {
	at, ok := w.sched.position(topic, num)
	if !ok {
		return 0, 0
	}
	raw, err := w.fetchRaw(ctx, topic, num, max(at, 0))
	if err != nil || raw == nil || len(raw.RecordBatches) < 27 {
		return 0, 0
	}
	// base offset 8, length 4, leader epoch 4, magic 1, crc 4, attributes 2, last offset delta 4
	first = int64(binary.BigEndian.Uint64(raw.RecordBatches))                               //nolint:gosec // an offset
	return first, first + int64(int32(binary.BigEndian.Uint32(raw.RecordBatches[23:]))) + 1 //nolint:gosec // an int32 on the wire
}

// stepOver writes the pointer and moves on; false where the broker did not take it.
func (w *Worker) stepOver(ctx context.Context, topic string, num int32, first, next int64, cause error) bool {
	w.log.Error("a batch cannot be read; it is stepped over", zap.String("topic", topic), zap.Int32("partition", num),
		zap.Int64("first_offset", first), zap.Int64("next_offset", next), zap.String("reason", "poison_batch"), zap.Error(cause))
	at := holdfast.Coordinates{Topic: topic, Partition: num, Offset: first}
	env := &record.Envelope{Event: holdfast.Event{ID: at.String(), Origin: at, Time: time.Now()}, At: at, Sink: w.cfg.Sink}
	env.Fail(holdfast.Failure{
		Class: holdfast.ClassPoison, Code: "undecodable",
		Err: fmt.Errorf("%w: %d records from %s on: %w", errBatch, next-first, at, cause),
	}, time.Now())
	_, epoch := w.client.GroupMetadata()
	r := w.letter(env, num, epoch)
	ctx, cancel := context.WithTimeout(ctx, measureTimeout)
	defer cancel()
	if err := w.client.ProduceSync(ctx, r).FirstErr(); err != nil {
		return false
	}
	w.meters.bury(env)
	w.commits <- struct{}{} // no revoke ends meanwhile, and no commit runs
	defer func() { <-w.commits }()
	if w.sched.skipTo(topic, num, next) {
		w.client.SetOffsets(map[string]map[int32]kgo.EpochOffset{topic: {num: {Epoch: -1, Offset: next}}})
	}
	return true
}
