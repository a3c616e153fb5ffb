package registry

import (
	"net/http"
	"os"
	"slices"
	"strconv"
	"testing"
	"testing/fstest"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"holdfast.internal"
	"holdfast.internal/internal/embedded"
	"holdfast.internal/schemas"
)

// eachRegistry runs a test on the embedded registry, and on the real one that
// HOLDFAST_TEST_REGISTRY names.
func eachRegistry(t *testing.T, test func(*testing.T, *sr.Client)) {
	t.Helper()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		r, err := embedded.StartRegistry(embedded.RegistryOptions{Addr: "127.0.0.1:0"})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(r.Close)
		test(t, connected(t, r.URL()))
	})
	t.Run("real", func(t *testing.T) {
		t.Parallel()
		url := os.Getenv("HOLDFAST_TEST_REGISTRY")
		if url == "" {
			t.Skip("SKIPPED on a real registry: HOLDFAST_TEST_REGISTRY names none")
		}
		test(t, connected(t, url))
	})
}

func connected(t *testing.T, url string) *sr.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client, err := NewClient(Config{URL: url, Transport: transport})
	if err != nil {
		t.Fatal(err)
	}
	return client
}

const (
	first    = `{"type":"record","namespace":"t","name":"R","fields":[{"name":"a","type":"string"}]}`
	second   = `{"type":"record","namespace":"t","name":"R","fields":[{"name":"a","type":"string"},{"name":"b","type":"int","default":0}]}`
	breaking = `{"type":"record","namespace":"t","name":"R","fields":[{"name":"b","type":"int"}]}`
)

func folder(versions ...string) fstest.MapFS {
	files := fstest.MapFS{}
	for i, text := range versions {
		files["t.R/v"+strconv.Itoa(i+1)+".avsc"] = &fstest.MapFile{Data: []byte(text)}
	}
	return files
}

func someTopic(level schemas.Level) schemas.Topic {
	return schemas.Topic{Name: "test.r" + strconv.FormatInt(time.Now().UnixNano(), 36) + ".v1", Record: "t.R", Level: level}
}

// TestP10RegisterSetsLevels: before the first version, so that the registry
// itself refuses what breaks; doing it again changes nothing.
func TestP10RegisterSetsLevels(t *testing.T) {
	t.Parallel()
	eachRegistry(t, func(t *testing.T, client *sr.Client) {
		ctx := t.Context()
		topic := someTopic(schemas.FullTransitive)
		done, err := Register(ctx, client, folder(first), []schemas.Topic{topic})
		if err != nil || len(done) != 1 || done[0].Level != "FULL_TRANSITIVE" || done[0].Version != 1 || done[0].Subject != topic.Subject() {
			t.Fatalf("%+v, %v", done, err)
		}
		both, err := Register(ctx, client, folder(first, second), []schemas.Topic{topic})
		if err != nil || len(both) != 2 || both[0].ID != done[0].ID || both[1].ID == both[0].ID {
			t.Fatalf("with a second version: %+v, %v", both, err)
		}
		again, err := Register(ctx, client, folder(first, second), []schemas.Topic{topic})
		if err != nil || !slices.Equal(again, both) {
			t.Errorf("again: %+v, %v; was %+v", again, err, both)
		}
		list, err := List(ctx, client)
		if err != nil {
			t.Fatal(err)
		}
		at := slices.IndexFunc(list, func(s Subject) bool { return s.Name == topic.Subject() })
		if at < 0 || list[at].Level != "FULL_TRANSITIVE" || !slices.Equal(list[at].Versions, []int{1, 2}) {
			t.Errorf("listed: %+v", list)
		}
		if _, err := Register(ctx, client, folder(first, second, breaking), []schemas.Topic{topic}); err == nil {
			t.Error("a breaking version was registered")
		}
		if _, err := client.CreateSchema(ctx, topic.Subject(), sr.Schema{Schema: breaking}); err == nil {
			t.Error("the registry let a breaking version in past us")
		}
		if versions, err := client.SubjectVersions(ctx, topic.Subject()); err != nil || len(versions) != 2 {
			t.Errorf("versions %v, %v", versions, err)
		}
	})
}

// TestForeignOnEveryRegistry: what the serde asks is answered by the embedded
// registry and by a real one alike: an id that is not there, one of another
// subject, one of the topic's own, and a GUID, which not every registry knows.
func TestForeignOnEveryRegistry(t *testing.T) {
	t.Parallel()
	eachRegistry(t, func(t *testing.T, client *sr.Client) {
		mine, other := someTopic(schemas.FullTransitive), someTopic(schemas.FullTransitive)
		other.Name = "test.other-" + other.Name
		unique := `{"type":"record","namespace":"t","name":"R","doc":"` + other.Name + `","fields":[]}`
		done, err := Register(t.Context(), client, folder(first), []schemas.Topic{mine})
		if err != nil {
			t.Fatal(err)
		}
		theirs, err := Register(t.Context(), client, folder(unique), []schemas.Topic{other})
		if err != nil {
			t.Fatal(err)
		}
		serde := NewSerde(client)
		guid := []holdfast.Header{{Name: guidHeader, Value: append([]byte{1}, make([]byte, 16)...)}}
		for name, test := range map[string]struct {
			id      int
			headers []holdfast.Header
			verdict holdfast.Verdict
			code    string
		}{
			"its own":          {done[0].ID, nil, holdfast.VerdictDelivered, ""},
			"another's":        {theirs[0].ID, nil, holdfast.VerdictPermanent, "foreign_schema"},
			"not there":        {1 << 30, nil, holdfast.VerdictTransient, "unknown_schema"},
			"a GUID not there": {0, guid, holdfast.VerdictTransient, "unknown_schema"},
		} {
			_, err := serde.Open(t.Context(), mine.Name, framed(uint32(test.id), nil), test.headers)
			if verdict, f := holdfast.Judge(err); verdict != test.verdict || f.Code != test.code {
				t.Errorf("%s: %v, want %s %s", name, err, test.verdict, test.code)
			}
		}
	})
}
