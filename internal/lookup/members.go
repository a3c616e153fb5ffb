package lookup

import (
	"context"
	"errors"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"

	"holdfast.internal/internal/dlq"
)

// membersTimeout bounds the question who works: while the coordinator of a
// group is dead or deaf nobody knows, and everything else can be told.
const membersTimeout = 3 * time.Second

// Busy reports whether a consumer group has members, as far as is known.
func Busy(ctx context.Context, admin *kadm.Client, name string) bool {
	return Members(ctx, admin, name)[name] > 0
}

// Members counts the members of consumer groups. A group is left out if it is
// not known: nobody may ask, or its coordinator does not answer.
func Members(ctx context.Context, admin *kadm.Client, names ...string) map[string]int {
	ctx, cancel := context.WithTimeout(ctx, membersTimeout)
	defer cancel()
	count := map[string]int{}
	note := func(name string, members int, err error) {
		if err == nil || errors.Is(err, kerr.GroupIDNotFound) {
			count[name] = max(count[name], members)
		}
	}
	classic, _ := admin.DescribeGroups(ctx, names...) // what is not in it is not known
	for name, g := range classic {
		note(name, len(g.Members), g.Err)
	}
	next, _ := admin.DescribeConsumerGroups(ctx, names...) // KIP-848
	for name, g := range next {
		note(name, len(g.Members), g.Err)
	}
	return count
}

// workers counts the members of every target's group, as [Members] does.
func (l *Lookup) workers(ctx context.Context) func(dlq.Target) *int {
	names := make([]string, len(l.Targets))
	for i, t := range l.Targets {
		names[i] = t.Group()
	}
	count := Members(ctx, l.admin(), names...)
	return func(t dlq.Target) *int {
		n, known := count[t.Group()]
		if !known {
			return nil
		}
		return &n
	}
}
