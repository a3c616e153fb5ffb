package embedded_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"go.uber.org/goleak"

	"holdfast.internal/internal/embedded"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	subject = "orders.v1-value"

	base     = `{"type":"record","name":"R","fields":[{"name":"a","type":"string"}]}`
	added    = `{"type":"record","name":"R","fields":[{"name":"a","type":"string"},{"name":"b","type":"int","default":0}]}`
	required = `{"type":"record","name":"R","fields":[{"name":"a","type":"string"},{"name":"b","type":"int"}]}`
	removed  = `{"type":"record","name":"R","fields":[]}`
	other    = `{"type":"record","name":"R","fields":[{"name":"z","type":"int"}]}`
)

// registry starts one on dir ("" keeps nothing), with a client of its own.
func registry(t *testing.T, dir string) (*embedded.Registry, *sr.Client) {
	t.Helper()
	r, err := embedded.StartRegistry(embedded.RegistryOptions{Addr: "127.0.0.1:0", DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client, err := sr.NewClient(sr.URLs(r.URL()), sr.HTTPClient(&http.Client{Transport: transport}))
	if err != nil {
		t.Fatal(err)
	}
	return r, client
}

func register(t *testing.T, client *sr.Client, subject, schema string) int {
	t.Helper()
	id, err := client.RegisterSchema(t.Context(), subject, sr.Schema{Schema: schema}, -1, -1)
	if err != nil {
		t.Fatalf("register %s: %v", subject, err)
	}
	return id
}

func setLevel(t *testing.T, client *sr.Client, subject, level string) {
	t.Helper()
	var l sr.CompatibilityLevel
	if err := l.UnmarshalText([]byte(level)); err != nil {
		t.Fatal(err)
	}
	for _, r := range client.SetCompatibility(t.Context(), sr.SetCompatibility{Level: l}, subject) {
		if r.Err != nil {
			t.Fatal(r.Err)
		}
	}
}

// TestRegistryChecksCompatibility at the subject's level, on registration and
// where it is only asked.
func TestRegistryChecksCompatibility(t *testing.T) {
	t.Parallel()
	const yes, no = true, false
	tests := map[string]map[string]bool{
		"":                    {added: yes, required: no, removed: yes, other: no}, // the registry's default is BACKWARD
		"NONE":                {added: yes, required: yes, removed: yes, other: yes},
		"BACKWARD":            {added: yes, required: no, removed: yes, other: no},
		"FORWARD":             {added: yes, required: yes, removed: no, other: no},
		"FULL":                {added: yes, required: no, removed: no, other: no},
		"FULL_TRANSITIVE":     {added: yes, required: no, removed: no, other: no},
		"BACKWARD_TRANSITIVE": {added: yes, required: no, removed: yes, other: no},
	}
	for level, schemas := range tests {
		t.Run("level "+level, func(t *testing.T) {
			t.Parallel()
			for next, ok := range schemas {
				_, client := registry(t, "")
				if level != "" {
					setLevel(t, client, subject, level)
				}
				register(t, client, subject, base)
				asked, err := client.CheckCompatibility(t.Context(), subject, -1, sr.Schema{Schema: next})
				if err != nil || asked.Is != ok || len(asked.Messages) > 0 == ok {
					t.Errorf("%s: asked: %+v, %v; want %v", next, asked, err, ok)
				}
				_, err = client.CreateSchema(t.Context(), subject, sr.Schema{Schema: next})
				if (err == nil) != ok {
					t.Errorf("%s: registered: %v; want %v", next, err, ok)
				}
				if _, status := answer(err); !ok && status != http.StatusConflict {
					t.Errorf("%s: status %d, want 409", next, status)
				}
			}
		})
	}
}

func answer(err error) (code, status int) {
	if e, ok := err.(*sr.ResponseError); ok { //nolint:errorlint // as the client returns it
		return e.ErrorCode, e.StatusCode
	}
	return 0, 0
}

// TestTransitiveLooksAtAllVersions, the others at the last one only.
func TestTransitiveLooksAtAllVersions(t *testing.T) {
	t.Parallel()
	for level, ok := range map[string]bool{"BACKWARD": true, "BACKWARD_TRANSITIVE": false} {
		_, client := registry(t, "")
		setLevel(t, client, subject, level)
		register(t, client, subject, base)
		register(t, client, subject, removed)
		const retyped = `{"type":"record","name":"R","fields":[{"name":"a","type":"int","default":0}]}` // clashes with the first
		if _, err := client.CreateSchema(t.Context(), subject, sr.Schema{Schema: retyped}); (err == nil) != ok {
			t.Errorf("%s: %v", level, err)
		}
	}
}

func TestRegistryRefusesWhatIsNoSchema(t *testing.T) {
	t.Parallel()
	_, client := registry(t, "")
	for _, text := range []string{"", "{", "nonsense", `{"type":"record","name":"R"}`, `{"type":"record","name":"R","fields":[{"name":"a","type":"lost"}]}`} {
		_, err := client.CreateSchema(t.Context(), subject, sr.Schema{Schema: text})
		if code, status := answer(err); status != http.StatusUnprocessableEntity || code != 42201 {
			t.Errorf("%q: %v", text, err)
		}
	}
	if subjects, err := client.Subjects(t.Context()); err != nil || len(subjects) != 0 {
		t.Errorf("subjects %v, %v", subjects, err)
	}
}

// TestIDsAreStableOverRestarts: records on disk name their schemas by id.
func TestIDsAreStableOverRestarts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	want := map[string]int{}
	for restart := range 4 {
		r, client := registry(t, dir)
		setLevel(t, client, subject, "FULL_TRANSITIVE")
		for i := range 3 * (restart + 1) { // all old ones again, and three new ones
			name := fmt.Sprintf("s%d-value", i)
			schema := fmt.Sprintf(`{"type":"record","name":"R","fields":[{"name":"f%d","type":"string"}]}`, i)
			id := register(t, client, name, schema)
			if before, ok := want[name]; ok && before != id {
				t.Errorf("restart %d: %s has id %d, had %d", restart, name, id, before)
			}
			want[name] = id
			got, err := client.SchemaByID(t.Context(), id)
			if err != nil || !sameJSON(got.Schema, schema) {
				t.Errorf("id %d is %s, %v", id, got.Schema, err)
			}
		}
		register(t, client, subject, base)
		if _, err := client.CreateSchema(t.Context(), subject, sr.Schema{Schema: removed}); err == nil {
			t.Errorf("restart %d: the level was forgotten", restart)
		}
		if versions, err := client.SubjectVersions(t.Context(), subject); err != nil || !slices.Equal(versions, []int{1}) {
			t.Errorf("restart %d: versions %v, %v", restart, versions, err)
		}
		r.Close()
	}
}

func sameJSON(a, b string) bool {
	var x, y any
	if json.Unmarshal([]byte(a), &x) != nil || json.Unmarshal([]byte(b), &y) != nil {
		return false
	}
	return fmt.Sprint(x) == fmt.Sprint(y)
}

// TestAJournalThatAKillCutShort: its last line is dropped, all others hold,
// and what comes next is written behind them.
func TestAJournalThatAKillCutShort(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	r, client := registry(t, dir)
	id := register(t, client, subject, base)
	r.Close()
	path := filepath.Join(dir, "registry.jsonl")
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(whole, `{"subject":"half-va`...), 0o600); err != nil {
		t.Fatal(err)
	}
	r, client = registry(t, dir)
	next := register(t, client, "next-value", other)
	r.Close()
	_, client = registry(t, dir)
	if again := register(t, client, subject, base); again != id {
		t.Errorf("id %d, was %d", again, id)
	}
	if again := register(t, client, "next-value", other); again != next || next == id {
		t.Errorf("id %d, was %d", again, next)
	}
}

// TestAJournalThatIsBroken stops the start: going on would give ids anew.
func TestAJournalThatIsBroken(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "registry.jsonl"), []byte("garbage\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if r, err := embedded.StartRegistry(embedded.RegistryOptions{Addr: "127.0.0.1:0", DataDir: dir}); err == nil {
		r.Close()
		t.Error("it started")
	}
}
