package kafka

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kgo"
)

// errExpelled ends what a member had of a group that gave it up while it was away.
var errExpelled = errors.New("the group gave this member up while it was away, and it begins anew")

// expelled makes a cooperative member lose what it has when the group has given
// it up. The client hears that from its next heartbeat, and says that the
// partitions are lost; but if it was about to join, it joins again as somebody
// new and keeps them, without having asked what others have committed of them
// since. It would send that again, and commit what lies behind.
//
// An assignment that comes under another name than the one before, for a member
// that still has something, is refused here, and the client gives all up.
type expelled struct {
	kgo.GroupBalancer

	client *kgo.Client
	name   string // that the present assignment came under
	has    bool   // something was assigned when it joined
}

// OnNewClient is for kgo.
func (e *expelled) OnNewClient(client *kgo.Client) { e.client = client }

// JoinGroupMetadata implements [kgo.GroupBalancer].
func (e *expelled) JoinGroupMetadata(interests []string, current map[string][]int32, generation int32) []byte {
	e.has = len(current) > 0
	return e.GroupBalancer.JoinGroupMetadata(interests, current, generation)
}

// ParseSyncAssignment implements [kgo.GroupBalancer].
func (e *expelled) ParseSyncAssignment(assignment []byte) (map[string][]int32, error) {
	was := e.name
	e.name, _ = e.client.GroupMetadata()
	if e.has && e.name != was {
		return nil, errExpelled
	}
	return e.GroupBalancer.ParseSyncAssignment(assignment)
}
