package copartition

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
)

// RemoveStatic ends the membership of a static name, so that the others have
// its numbers after one rebalance instead of after its session. It is called
// after the member's client was closed, which keeps the membership of a static
// name. A group that does not know the name is no error: the membership has
// ended.
func RemoveStatic(ctx context.Context, adm *kadm.Client, group, instance string) error {
	left, err := adm.LeaveGroup(ctx, kadm.LeaveGroup(group).InstanceIDs(instance).Reason("the worker has left for good"))
	if err == nil {
		err = left.Error()
	}
	if err != nil && !errors.Is(err, kerr.UnknownMemberID) {
		return fmt.Errorf("remove static member %s of group %s: %w", instance, group, err)
	}
	return nil
}
