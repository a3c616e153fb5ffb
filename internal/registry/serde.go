package registry

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"holdfast.internal"
	"holdfast.internal/producers"
	"holdfast.internal/schemas"
)

// How patiently an id that the registry does not know is asked for: a schema
// may have been registered a moment ago, on another node.
const (
	askTimes    = 3
	askWithin   = 30 * time.Second
	refusedFor  = 60 * time.Second
	maxUnknown  = 1000
	outageEvery = time.Second
)

const (
	prefixLen  = 5
	guidHeader = "__value_schema_id"
	guidLen    = 17 // 0x01 and 16 bytes
)

var (
	errNoPrefix     = errors.New("does not begin with magic byte 0 and a schema id")
	errForeign      = errors.New("the schema id belongs to another subject")
	errUnknownID    = errors.New("the registry does not know the schema id")
	errNotAvro      = errors.New("the schema is not Avro")
	errDepth        = errors.New("the schema is nested too deeply")
	errSize         = errors.New("the schema is larger than 1 MiB")
	errNotLatest    = errors.New("is not registered: run `holdfast schema register`")
	errUnknownTopic = errors.New("no schema is compiled in for the topic")
)

// Serde opens and writes values in the registry's wire format. What the
// registry said about an id is kept for ever, so known records go on while it
// is down. It is safe for concurrent use.
type Serde struct {
	client   *sr.Client
	encoders schemas.Encoders
	readers  sync.Map // ref → *schemas.Reader
	allowed  sync.Map // topicRef → time.Time until which it is refused, zero: allowed; for topics that are not compiled in
	latest   sync.Map // topic → uint32

	mu      sync.Mutex
	missing map[ref]*miss
	asking  map[ref]chan struct{}
}

var _ producers.Encoder = (*Serde)(nil)

// ref names a schema: by id, or by GUID in a header.
type ref struct {
	id   uint32
	guid string
}

type topicRef struct {
	topic string
	ref   ref
}

// miss is what is known of an id that could not be had.
type miss struct {
	first, last time.Time
	asked       int
	err         error // what to answer until the next ask
}

// NewSerde makes a serde.
func NewSerde(client *sr.Client) *Serde {
	return &Serde{client: client, missing: make(map[ref]*miss), asking: make(map[ref]chan struct{})}
}

// Open decodes nothing yet: it finds the schema of wire bytes that were read
// from topic and binds them to it. Errors are verdicts:
//
//   - permanent, poison, undecodable: no wire format
//   - permanent, schema, foreign_schema: another subject's schema
//   - permanent, schema, unknown_schema: asked three times in 30 s, in vain
//   - transient, schema, unknown_schema: not known yet; ask again in a second
//   - unavailable: the registry does not answer; ask again in a second
func (s *Serde) Open(ctx context.Context, topic string, wire []byte, headers []holdfast.Header) (holdfast.Value, error) {
	r, body, err := locate(wire, headers)
	if err != nil {
		return nil, err
	}
	reader, err := s.reader(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := s.permit(ctx, topic, r, reader); err != nil {
		return nil, err
	}
	return reader.Value(body), nil
}

// locate reads either framing: a GUID in a header, or magic byte and id before the body.
func locate(wire []byte, headers []holdfast.Header) (ref, []byte, error) {
	for _, h := range headers {
		if h.Name == guidHeader && len(h.Value) == guidLen && h.Value[0] == 1 {
			g := h.Value[1:]
			return ref{guid: fmt.Sprintf("%x-%x-%x-%x-%x", g[0:4], g[4:6], g[6:8], g[8:10], g[10:16])}, wire, nil
		}
	}
	if len(wire) < prefixLen || wire[0] != 0 {
		return ref{}, nil, holdfast.Permanent(holdfast.ClassPoison, "undecodable", errNoPrefix)
	}
	return ref{id: binary.BigEndian.Uint32(wire[1:prefixLen])}, wire[prefixLen:], nil
}

func (s *Serde) reader(ctx context.Context, r ref) (*schemas.Reader, error) {
	for {
		if known, ok := s.readers.Load(r); ok {
			return known.(*schemas.Reader), nil //nolint:forcetypeassert // the map holds nothing else
		}
		s.mu.Lock()
		if m := s.missing[r]; m != nil && !m.due(time.Now()) {
			s.mu.Unlock()
			return nil, m.err
		}
		if wait, busy := s.asking[r]; busy {
			s.mu.Unlock()
			select {
			case <-wait:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			continue
		}
		done := make(chan struct{})
		s.asking[r] = done
		s.mu.Unlock()
		reader, err := s.ask(ctx, r)
		s.mu.Lock()
		delete(s.asking, r)
		if err == nil {
			s.readers.Store(r, reader)
			delete(s.missing, r)
		} else if ctx.Err() == nil {
			err = s.miss(r, err)
		}
		s.mu.Unlock()
		close(done)
		return reader, err
	}
}

func (s *Serde) ask(ctx context.Context, r ref) (*schemas.Reader, error) {
	schema, err := s.fetch(ctx, r)
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, holdfast.Permanent(holdfast.ClassSchema, "foreign_schema", errSize)
	}
	if err != nil {
		return nil, err
	}
	if schema.Type != sr.TypeAvro {
		return nil, holdfast.Permanent(holdfast.ClassSchema, "foreign_schema", errNotAvro)
	}
	if nesting(schema.Schema) > maxDepth {
		return nil, holdfast.Permanent(holdfast.ClassSchema, "foreign_schema", errDepth)
	}
	reader, err := schemas.NewReader(schema.Schema)
	if err != nil {
		return nil, holdfast.Permanent(holdfast.ClassSchema, "foreign_schema", err)
	}
	return reader, nil
}

func (s *Serde) fetch(ctx context.Context, r ref) (sr.Schema, error) {
	if r.guid == "" {
		return s.client.SchemaByID(ctx, int(r.id))
	}
	found, err := s.client.SchemaByGUID(ctx, r.guid)
	return found.Schema, err
}

// miss notes that r could not be had and returns the verdict. The caller holds mu.
func (s *Serde) miss(r ref, cause error) error {
	now := time.Now()
	if len(s.missing) >= maxUnknown {
		clear(s.missing)
	}
	m := s.missing[r]
	if m == nil {
		m = &miss{first: now}
		s.missing[r] = m
	}
	m.last = now
	var permanent *holdfast.PermanentError
	switch {
	case errors.As(cause, &permanent):
		m.asked, m.err = askTimes, cause
	case !unknown(cause) && (r.guid == "" || !unspoken(cause)): // not every registry knows GUIDs
		m.err = down(cause)
	default:
		m.asked++
		if m.asked >= askTimes && now.Sub(m.first) >= askWithin {
			m.err = holdfast.Permanent(holdfast.ClassSchema, "unknown_schema", errUnknownID)
		} else {
			m.err = &holdfast.TransientError{Failure: holdfast.Failure{Class: holdfast.ClassSchema, Code: "unknown_schema", Err: errUnknownID}}
		}
	}
	return m.err
}

// due reports whether the registry may be asked again: a second after it did
// not answer, three times in 30 s while it does not know, a minute after that.
func (m *miss) due(now time.Time) bool {
	since := now.Sub(m.last)
	verdict, _ := holdfast.Judge(m.err)
	switch verdict {
	case holdfast.VerdictUnavailable:
		return since >= outageEvery
	case holdfast.VerdictPermanent:
		return since >= refusedFor
	default:
		return since >= askWithin/(askTimes-1)
	}
}

// permit checks that the schema may be used on the topic: on a topic that is
// compiled in, only its record; on any other, what the registry has under its
// subject.
func (s *Serde) permit(ctx context.Context, topic string, r ref, reader *schemas.Reader) error {
	foreign := holdfast.Permanent(holdfast.ClassSchema, "foreign_schema", errForeign)
	if t, ok := schemas.TopicNamed(topic); ok {
		if reader.Name() == t.Record {
			return nil
		}
		return foreign
	}
	key := topicRef{topic: topic, ref: r}
	if known, ok := s.allowed.Load(key); ok {
		until := known.(time.Time) //nolint:forcetypeassert // the map holds nothing else
		if until.IsZero() {
			return nil
		}
		if time.Now().Before(until) {
			return foreign
		}
	}
	if r.guid != "" {
		return foreign
	}
	uses, err := s.client.SchemaVersionsByID(ctx, int(r.id))
	if err != nil && !unknown(err) {
		return down(err)
	}
	if !slices.ContainsFunc(uses, func(v sr.SubjectVersion) bool { return v.Subject == topic+"-value" }) {
		s.allowed.Store(key, time.Now().Add(refusedFor)) // it may be registered there yet
		return foreign
	}
	s.allowed.Store(key, time.Time{})
	return nil
}

// down is the verdict where the registry does not answer, or not as one does.
func down(cause error) error {
	return &holdfast.UnavailableError{Failure: holdfast.Failure{
		Class: holdfast.ClassSchema, Code: "registry_down", Err: fmt.Errorf("schema registry: %w", plain(cause)),
	}}
}

// Encode writes a generated type in the newest version of the topic's record.
func (s *Serde) Encode(ctx context.Context, topic string, v any) ([]byte, error) {
	t, ok := schemas.TopicNamed(topic)
	if !ok {
		return nil, holdfast.Permanent(holdfast.ClassSchema, "unknown_topic", fmt.Errorf("%s: %w", topic, errUnknownTopic))
	}
	id, err := s.latestID(ctx, t)
	if err != nil {
		return nil, err
	}
	enc, err := s.encoders.For(t.Record)
	if err != nil {
		return nil, err
	}
	body, err := enc.Encode(v)
	if err != nil {
		return nil, err
	}
	return frame(id, body), nil
}

// EncodeJSON writes JSON in the newest version of the topic's record.
func (s *Serde) EncodeJSON(ctx context.Context, topic string, text []byte) ([]byte, error) {
	t, ok := schemas.TopicNamed(topic)
	if !ok {
		return nil, holdfast.Permanent(holdfast.ClassValidation, "unknown_topic", fmt.Errorf("%s: %w", topic, errUnknownTopic))
	}
	latest, err := schemas.Latest(t.Record)
	if err != nil {
		return nil, err
	}
	body, err := schemas.EncodeJSON(latest, text)
	if err != nil {
		return nil, err
	}
	id, err := s.latestID(ctx, t)
	if err != nil {
		return nil, err
	}
	return frame(id, body), nil
}

func frame(id uint32, body []byte) []byte {
	wire := make([]byte, prefixLen, prefixLen+len(body))
	binary.BigEndian.PutUint32(wire[1:], id)
	return append(wire, body...)
}

// latestID is the registry's id of the newest version; nothing is registered here.
func (s *Serde) latestID(ctx context.Context, t schemas.Topic) (uint32, error) {
	if id, ok := s.latest.Load(t.Name); ok {
		return id.(uint32), nil //nolint:forcetypeassert // the map holds nothing else
	}
	latest, err := schemas.Latest(t.Record)
	if err != nil {
		return 0, err
	}
	found, err := s.client.LookupSchema(sr.WithParams(ctx, sr.Normalize), t.Subject(), sr.Schema{Schema: latest.Text, Type: sr.TypeAvro})
	if unknown(err) {
		err = fmt.Errorf("%s %w", latest.Path, errNotLatest)
	}
	if err != nil {
		return 0, &holdfast.UnavailableError{Failure: holdfast.Failure{
			Class: holdfast.ClassSchema, Code: "registry", Err: fmt.Errorf("subject %s: %w", t.Subject(), plain(err)),
		}}
	}
	id := uint32(found.ID) //nolint:gosec // ids are 32 bits on the wire
	s.latest.Store(t.Name, id)
	return id, nil
}

// nesting is how deeply brackets nest, which bounds what a parser recurses into.
func nesting(text string) int {
	depth, deepest := 0, 0
	for i := range len(text) {
		switch text[i] {
		case '{', '[':
			depth++
			deepest = max(deepest, depth)
		case '}', ']':
			depth--
		}
	}
	return deepest
}
