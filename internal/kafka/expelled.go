package kafka

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"
)

// errExpelled ends what a member had of a group that gave it up while it was away.
var errExpelled = errors.New("the group gave this member up; it begins anew")

// expelled makes a cooperative member lose what it has when the group has given
// it up. The client hears that from its next heartbeat, and says that the
// partitions are lost; but if it was about to join, it joins again as somebody
// new and keeps them, without having asked what others have committed of them
// since. It would send that again, and commit what lies behind.
//
// An assignment that comes under another member id than the one before, for a
// member that still has something, is refused here, and the client gives all up.
// See docs/decisions/0013-membership-past-the-client.md.
type expelled struct {
	kgo.GroupBalancer

	client *kgo.Client
	member string // the id that the present assignment came under
	owned  bool   // something was assigned when it joined
}

// OnNewClient is for kgo.
func (e *expelled) OnNewClient(client *kgo.Client) { e.client = client }

// JoinGroupMetadata implements [kgo.GroupBalancer].
func (e *expelled) JoinGroupMetadata(interests []string, current map[string][]int32, generation int32) []byte {
	e.owned = len(current) > 0
	return e.GroupBalancer.JoinGroupMetadata(interests, current, generation)
}

// ParseSyncAssignment implements [kgo.GroupBalancer].
func (e *expelled) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	was := e.member
	e.member, _ = e.client.GroupMetadata()
	if e.owned && e.member != was {
		return nil, errExpelled
	}
	return e.GroupBalancer.ParseSyncAssignment(assignment)
}
