package topics

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
)

// ErrMissing reports topics that are not there, or have fewer partitions than
// their source.
var ErrMissing = errors.New("topics are missing or smaller than their source")

// Check reports whether all topics are there with the counts they need:
// nothing may start otherwise, as a record keeps its partition number from
// topic to topic. The error ([ErrMissing] or [ErrUnequal]) names the command
// that mends it.
func Check(ctx context.Context, admin *kadm.Client, sinks []Sink, processors []Processor) error {
	changes, err := Plan(ctx, admin, sinks, processors, DefaultPartitions)
	if err != nil {
		return err
	}
	var bad []string
	for _, c := range changes {
		switch c.Action {
		case Create:
			bad = append(bad, c.Topic)
		case Grow:
			bad = append(bad, c.Topic+" ("+c.Reason+")")
		case Configure: // works, if not for ever
		}
	}
	if len(bad) > 0 {
		return fmt.Errorf("%w: %s; run `holdfast topic apply --config FILE --yes`", ErrMissing, strings.Join(bad, ", "))
	}
	return nil
}
