package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"

	"github.com/twmb/franz-go/pkg/sr"

	"holdfast.internal/schemas"
)

// Registered is what became of one version.
type Registered struct {
	Subject string `json:"subject"`
	Version int    `json:"version"` // number of the file; registries number on their own
	ID      int    `json:"id"`
	Level   string `json:"level"`
}

// Register sets each topic's level, before its first version (a fresh registry
// lets everything in), and registers every version in order. It is idempotent:
// a version that is there already keeps its id.
func Register(ctx context.Context, client *sr.Client, fsys fs.FS, topics []schemas.Topic) ([]Registered, error) {
	ctx = sr.WithParams(ctx, sr.Normalize)
	var done []Registered
	for _, t := range topics {
		var level sr.CompatibilityLevel
		if err := level.UnmarshalText([]byte(t.Level)); err != nil {
			return done, fmt.Errorf("subject %s: level %s: %w", t.Subject(), t.Level, err)
		}
		for _, r := range client.SetCompatibility(ctx, sr.SetCompatibility{Level: level}, t.Subject()) {
			if r.Err != nil {
				return done, fmt.Errorf("subject %s: set level %s: %w", t.Subject(), t.Level, plain(r.Err))
			}
		}
		versions, err := schemas.Versions(fsys, t.Record)
		if err != nil {
			return done, err
		}
		for _, v := range versions {
			id, err := client.RegisterSchema(ctx, t.Subject(), sr.Schema{Schema: v.Text, Type: sr.TypeAvro}, -1, -1)
			if err != nil {
				return done, fmt.Errorf("subject %s: register %s: %w", t.Subject(), v.Path, plain(err))
			}
			done = append(done, Registered{Subject: t.Subject(), Version: v.Number, ID: id, Level: string(t.Level)})
		}
	}
	return done, nil
}

// Subject is one subject as the registry has it.
type Subject struct {
	Name     string `json:"subject"`
	Level    string `json:"level"`
	Versions []int  `json:"versions"`
}

// List returns every subject of the registry.
func List(ctx context.Context, client *sr.Client) ([]Subject, error) {
	names, err := client.Subjects(ctx)
	if err != nil {
		return nil, fmt.Errorf("list subjects: %w", plain(err))
	}
	subjects := make([]Subject, 0, len(names))
	for _, name := range names {
		versions, err := client.SubjectVersions(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("subject %s: %w", name, plain(err))
		}
		s := Subject{Name: name, Versions: versions}
		for _, r := range client.Compatibility(ctx, name) {
			if r.Err == nil {
				s.Level = r.Level.String()
			}
		}
		subjects = append(subjects, s)
	}
	return subjects, nil
}

// ErrNoSubject answers for a subject, or a version of it, that the registry does not have.
var ErrNoSubject = errors.New("the registry has no such subject or version")

// Get returns one version of a subject; -1 is the latest.
func Get(ctx context.Context, client *sr.Client, subject string, version int) (sr.SubjectSchema, error) {
	s, err := client.SchemaByVersion(ctx, subject, version)
	if unknown(err) {
		return s, fmt.Errorf("subject %s: %w", subject, ErrNoSubject)
	}
	if err != nil {
		return s, fmt.Errorf("subject %s: %w", subject, plain(err))
	}
	return s, nil
}

// unknown reports whether the registry said that it does not have what it was
// asked for (404xx in its own words), as opposed to not answering: a page of a
// proxy that says 404 is an outage.
func unknown(err error) bool {
	var answer *sr.ResponseError
	return errors.As(err, &answer) && answer.StatusCode == http.StatusNotFound && answer.ErrorCode/100 == http.StatusNotFound
}

// unspoken reports an answer of a registry that has no such endpoint.
func unspoken(err error) bool {
	var answer *sr.ResponseError
	if !errors.As(err, &answer) || answer.StatusCode != http.StatusNotFound {
		return false
	}
	var words struct {
		Code *int `json:"error_code"`
	}
	return json.Unmarshal(answer.Raw, &words) == nil && words.Code != nil
}
