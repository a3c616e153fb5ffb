package embedded

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"holdfast.internal/schemas"
)

// RegistryOptions say where the registry listens and keeps its data.
type RegistryOptions struct {
	Addr    string // host:port; port 0 picks a free one
	DataDir string // "" keeps nothing
}

// Registry is an embedded Schema Registry. srfake lets every schema in; this
// one checks compatibility at the subject's level, as a real one does.
type Registry struct {
	fake   *srfake.Registry
	server *http.Server
	url    string

	// mu makes check, register and journal one step.
	mu      sync.Mutex
	levels  map[string]schemas.Level
	counts  map[string]int // versions by subject
	journal *os.File
}

// entry is one line of the journal: a registration or a level. Replayed in
// order they give the same ids.
type entry struct {
	Subject string     `json:"subject"`
	Level   string     `json:"level,omitempty"`
	Schema  *sr.Schema `json:"schema,omitempty"`
}

// StartRegistry starts the registry with what its journal holds.
func StartRegistry(o RegistryOptions) (*Registry, error) {
	r := &Registry{fake: srfake.NewRegistry(), levels: map[string]schemas.Level{}, counts: map[string]int{}}
	if o.DataDir != "" {
		if err := r.restore(filepath.Join(o.DataDir, "registry.jsonl")); err != nil {
			return nil, fmt.Errorf("embedded registry: %w", err)
		}
	}
	l, err := net.Listen("tcp", o.Addr) //nolint:noctx // binding loopback does not wait
	if err != nil {
		return nil, fmt.Errorf("embedded registry: %w", err)
	}
	r.url = "http://" + l.Addr().String()
	r.server = &http.Server{Handler: http.HandlerFunc(r.handle), ReadHeaderTimeout: 5 * time.Second}
	go func() { _ = r.server.Serve(l) }()
	return r, nil
}

// URL is the registry's base URL.
func (r *Registry) URL() string { return r.url }

// Close stops the registry.
func (r *Registry) Close() {
	_ = r.server.Close()
	if r.journal != nil {
		_ = r.journal.Close()
	}
}

func (r *Registry) restore(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1] // a kill may have cut the last line short
	scanner := bufio.NewScanner(bytes.NewReader(whole))
	scanner.Buffer(nil, 4<<20)
	for scanner.Scan() {
		var e entry
		if err := json.Unmarshal(scanner.Bytes(), &e); err != nil {
			return fmt.Errorf("journal %s: %w", path, err)
		}
		if err := r.replay(e); err != nil {
			return fmt.Errorf("journal %s: %w", path, err)
		}
	}
	if err := os.WriteFile(path+".tmp", whole, 0o600); err != nil { //nolint:gosec // our own data folder
		return err
	}
	if err := os.Rename(path+".tmp", path); err != nil {
		return err
	}
	r.journal, err = os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0o600)
	return errors.Join(scanner.Err(), err)
}

func (r *Registry) replay(e entry) error {
	if e.Schema == nil {
		r.levels[e.Subject] = schemas.Level(e.Level)
		var level sr.CompatibilityLevel
		if err := level.UnmarshalText([]byte(e.Level)); err != nil {
			return err
		}
		return r.fake.SetCompat(e.Subject, level)
	}
	_, version, err := r.fake.RegisterSchema(e.Subject, *e.Schema)
	r.counts[e.Subject] = max(r.counts[e.Subject], version)
	return err
}

const (
	maxBody       = 1 << 20
	invalidSchema = 42201 // as Confluent's registry says it
)

// handle checks and journals what changes the registry, and leaves the rest to srfake.
func (r *Registry) handle(w http.ResponseWriter, req *http.Request) {
	req.Body = http.MaxBytesReader(w, req.Body, maxBody)
	parts := strings.Split(strings.Trim(req.URL.Path, "/"), "/")
	switch {
	case req.Method == http.MethodPost && len(parts) == 3 && parts[0] == "subjects" && parts[2] == "versions":
		r.register(w, req, parts[1])
	case req.Method == http.MethodPost && len(parts) >= 4 && parts[0] == "compatibility":
		r.compatibility(w, req, parts[2])
	case req.Method == http.MethodPut && len(parts) == 2 && parts[0] == "config":
		r.level(w, req, parts[1])
	default:
		r.fake.Handler().ServeHTTP(w, req)
	}
}

func (r *Registry) register(w http.ResponseWriter, req *http.Request, subject string) {
	schema, ok := readSchema(w, req)
	if !ok {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if reason := r.incompatible(subject, schema); reason != nil {
		refuse(w, http.StatusConflict, 409, "Schema being registered is incompatible with an earlier schema for subject \""+subject+"\": "+reason.Error())
		return
	}
	id, version, err := r.fake.RegisterSchema(subject, schema)
	if err != nil {
		refuse(w, http.StatusUnprocessableEntity, invalidSchema, err.Error())
		return
	}
	if version > r.counts[subject] {
		r.counts[subject] = version
		if err := r.note(entry{Subject: subject, Schema: &schema}); err != nil {
			refuse(w, http.StatusInternalServerError, 50001, err.Error())
			return
		}
	}
	answer(w, map[string]int{"id": id})
}

func (r *Registry) compatibility(w http.ResponseWriter, req *http.Request, subject string) {
	schema, ok := readSchema(w, req)
	if !ok {
		return
	}
	r.mu.Lock()
	reason := r.incompatible(subject, schema)
	r.mu.Unlock()
	result := map[string]any{"is_compatible": reason == nil}
	if reason != nil {
		result["messages"] = []string{reason.Error()}
	}
	answer(w, result)
}

func (r *Registry) level(w http.ResponseWriter, req *http.Request, subject string) {
	var body struct {
		Compatibility string `json:"compatibility"`
	}
	text, err := io.ReadAll(req.Body)
	if err != nil || json.Unmarshal(text, &body) != nil {
		refuse(w, http.StatusUnprocessableEntity, 42203, "Invalid compatibility level")
		return
	}
	req.Body = io.NopCloser(bytes.NewReader(text))
	r.mu.Lock()
	defer r.mu.Unlock()
	if level := schemas.Level(body.Compatibility); r.levels[subject] != level {
		r.levels[subject] = level
		if err := r.note(entry{Subject: subject, Level: body.Compatibility}); err != nil {
			refuse(w, http.StatusInternalServerError, 50001, err.Error())
			return
		}
	}
	r.fake.Handler().ServeHTTP(w, req)
}

// incompatible compares a schema with the versions that its subject's level asks for.
func (r *Registry) incompatible(subject string, schema sr.Schema) error {
	level, ok := r.levels[subject]
	if !ok {
		level = "BACKWARD"
	}
	first := r.counts[subject]
	if strings.HasSuffix(string(level), "_TRANSITIVE") {
		first = 1
	}
	for v := max(1, first); v <= r.counts[subject]; v++ {
		old, ok := r.fake.GetSchema(subject, v)
		if !ok {
			continue
		}
		if err := schemas.CheckAgainst(level, old.Schema.Schema, schema.Schema); err != nil {
			return fmt.Errorf("version %d: %w", v, err)
		}
	}
	return nil
}

func (r *Registry) note(e entry) error {
	if r.journal == nil {
		return nil
	}
	b, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, err = r.journal.Write(append(b, '\n'))
	return err
}

func readSchema(w http.ResponseWriter, req *http.Request) (sr.Schema, bool) {
	var s sr.Schema
	if err := json.NewDecoder(req.Body).Decode(&s); err != nil {
		refuse(w, http.StatusUnprocessableEntity, invalidSchema, "Invalid schema: "+err.Error())
		return s, false
	}
	if s.Type != sr.TypeAvro {
		return s, true
	}
	// Compared with itself at no level, a schema is parsed and no more.
	if err := schemas.CheckAgainst("NONE", s.Schema, s.Schema); err != nil {
		refuse(w, http.StatusUnprocessableEntity, invalidSchema, "Invalid schema: "+err.Error())
		return s, false
	}
	return s, true
}

func refuse(w http.ResponseWriter, status, code int, message string) {
	w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"error_code": code, "message": message})
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
	_ = json.NewEncoder(w).Encode(v)
}
