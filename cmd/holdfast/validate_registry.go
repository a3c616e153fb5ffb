package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/twmb/franz-go/pkg/sr"

	"holdfast.internal/internal/config"
	"holdfast.internal/internal/registry"
	"holdfast.internal/schemas"
)

// askRegistry compares the subjects of a configuration's topics with what is
// compiled in: the level, and the newest version.
func askRegistry(ctx context.Context, cfg *config.Config) ([]finding, error) {
	client, err := registry.NewClient(registryConfig(cfg))
	if err != nil {
		return nil, err
	}
	have, err := registry.List(ctx, client)
	if err != nil {
		return nil, registryError(err)
	}
	var found []finding
	tell := func(format string, args ...any) {
		found = append(found, finding{File: cfg.File, Message: fmt.Sprintf(format, args...) + ": run `holdfast schema register`"})
	}
	for _, t := range usedTopics(cfg) {
		i := slices.IndexFunc(have, func(s registry.Subject) bool { return s.Name == t.Subject() })
		if i < 0 {
			tell("subject %s is not registered", t.Subject())
			continue
		}
		if have[i].Level != string(t.Level) {
			tell("subject %s has level %q, not %s", t.Subject(), have[i].Level, t.Level)
		}
		newest, err := schemas.Latest(t.Record)
		if err != nil {
			return nil, err
		}
		_, err = client.LookupSchema(sr.WithParams(ctx, sr.Normalize), t.Subject(), sr.Schema{Schema: newest.Text, Type: sr.TypeAvro})
		var answer *sr.ResponseError
		switch {
		case errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound:
			tell("subject %s does not have %s", t.Subject(), newest.Path)
		case err != nil:
			return nil, registryError(err)
		}
	}
	return found, nil
}
