package registry

import (
	"context"
	"encoding/binary"
	"math/big"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"
	"go.uber.org/goleak"

	"holdfast.internal"
	"holdfast.internal/schemas"
	"holdfast.internal/schemas/inventory"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const shipments = "inventory.shipment.v1"

// office is a registry without a network, so that it works in virtual time.
type office struct {
	t      *testing.T
	fake   *srfake.Registry
	client *sr.Client
	serde  *Serde

	mu    sync.Mutex
	calls map[string]int // by path
	// mood answers instead of the registry where it is set and returns true.
	mood func(http.ResponseWriter, *http.Request) bool
}

func newOffice(t *testing.T) *office {
	t.Helper()
	o := &office{t: t, fake: srfake.NewRegistry(), calls: map[string]int{}}
	client, err := NewClient(Config{URL: "http://registry", Transport: o})
	if err != nil {
		t.Fatal(err)
	}
	o.client, o.serde = client, NewSerde(client)
	return o
}

// RoundTrip answers in place.
func (o *office) RoundTrip(req *http.Request) (*http.Response, error) {
	o.mu.Lock()
	o.calls[req.URL.Path]++
	mood := o.mood
	o.mu.Unlock()
	rec := httptest.NewRecorder()
	if mood == nil || !mood(rec, req) {
		o.fake.Handler().ServeHTTP(rec, req)
	}
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	return rec.Result(), nil
}

func (o *office) feels(mood func(http.ResponseWriter, *http.Request) bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.mood = mood
}

// asked counts the calls of all paths, or of one.
func (o *office) asked(paths ...string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	n := 0
	for path, calls := range o.calls {
		if len(paths) == 0 || path == paths[0] {
			n += calls
		}
	}
	return n
}

func (o *office) register(subject, schema string) uint32 {
	o.t.Helper()
	id, _, err := o.fake.RegisterSchema(subject, sr.Schema{Schema: schema})
	if err != nil {
		o.t.Fatal(err)
	}
	return uint32(id)
}

func latest(t *testing.T, record string) string {
	t.Helper()
	v, err := schemas.Latest(record)
	if err != nil {
		t.Fatal(err)
	}
	return v.Text
}

// open opens wire bytes and returns the verdict and the code.
func (o *office) open(topic string, wire []byte, headers ...holdfast.Header) (holdfast.Value, holdfast.Verdict, string) {
	o.t.Helper()
	value, err := o.serde.Open(context.Background(), topic, wire, headers)
	verdict, failure := holdfast.Judge(err)
	return value, verdict, failure.Code
}

// want fails unless an open ends like this.
func (o *office) want(topic string, wire []byte, verdict holdfast.Verdict, code string) {
	o.t.Helper()
	if _, v, c := o.open(topic, wire); v != verdict || c != code {
		o.t.Errorf("%s %s, want %s %s", v, c, verdict, code)
	}
}

func framed(id uint32, body []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, id), body...)
}

func shipment(t *testing.T) []byte {
	t.Helper()
	var encoders schemas.Encoders
	enc, err := encoders.For("inventory.Shipment")
	if err != nil {
		t.Fatal(err)
	}
	body, err := enc.Encode(inventory.Shipment{ID: "shp_1", Version: 3, Status: inventory.ShipmentStatusShipped, WeightKg: new(big.Rat)})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// pass lets time pass, real or virtual.
func pass(d time.Duration) { <-time.After(d) }
