package registry

import (
	"context"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"holdfast.internal"
	"holdfast.internal/schemas/inventory"
)

// TestBothFramings: the id in front of the body, and the GUID in a header,
// where the value is the body alone.
func TestBothFramings(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	id := o.register(shipments+"-value", latest(t, "inventory.Shipment"))
	stored, err := o.client.SchemaByVersion(t.Context(), shipments+"-value", 1)
	if err != nil {
		t.Fatal(err)
	}
	guid := holdfast.Header{Name: guidHeader, Value: append([]byte{1}, parseGUID(t, stored.GUID)...)}
	wired := framed(id, shipment(t))
	for name, test := range map[string]struct {
		wire    []byte
		headers []holdfast.Header
	}{
		"prefix":                         {wired, nil},
		"header":                         {shipment(t), []holdfast.Header{{Name: "other"}, guid}},
		"a header that is no GUID":       {wired, []holdfast.Header{{Name: guidHeader, Value: []byte("short")}}},
		"a header of another GUID magic": {wired, []holdfast.Header{{Name: guidHeader, Value: append([]byte{2}, guid.Value[1:]...)}}},
	} {
		value, verdict, code := o.open(shipments, test.wire, test.headers...)
		if verdict != holdfast.VerdictDelivered {
			t.Errorf("%s: %s %s", name, verdict, code)
			continue
		}
		var got inventory.Shipment
		if err := value.Decode(&got); err != nil || got.ID != "shp_1" || got.Version != 3 {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
}

func parseGUID(t *testing.T, text string) []byte {
	t.Helper()
	digits := strings.ReplaceAll(text, "-", "")
	if len(digits) != 32 {
		t.Fatalf("guid %q", text)
	}
	var raw []byte
	for i := 0; i < len(digits); i += 2 {
		n, err := strconv.ParseUint(digits[i:i+2], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		raw = append(raw, byte(n))
	}
	return raw
}

// TestNoWireFormat (P8): the registry is not even asked.
func TestNoWireFormat(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	for name, wire := range map[string][]byte{
		"empty": {}, "nil": nil, "one byte": {0}, "four": {0, 0, 0, 0}, "another magic byte": {1, 0, 0, 0, 1, 2}, "JSON": []byte(`{"id":"shp_1"}`),
	} {
		if _, verdict, code := o.open(shipments, wire); verdict != holdfast.VerdictPermanent || code != "undecodable" {
			t.Errorf("%s: %s %s", name, verdict, code)
		}
	}
	if n := o.asked(); n != 0 {
		t.Errorf("the registry was asked %d times", n)
	}
}

// TestForeignSchema: an id of another subject's schema, on topics that are
// compiled in and on others, and a schema that is not Avro.
func TestForeignSchema(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	other := o.register("crm.invoice.v1-value", latest(t, "crm.Invoice"))
	o.want(shipments, framed(other, nil), holdfast.VerdictPermanent, "foreign_schema")

	mine := o.register("orders.v1-value", `{"type":"record","name":"Order","fields":[]}`)
	o.want("orders.v1", framed(mine, nil), holdfast.VerdictDelivered, "")
	o.want("orders.v1", framed(other, nil), holdfast.VerdictPermanent, "foreign_schema")

	proto, _, err := o.fake.RegisterSchema("p-value", sr.Schema{Schema: `syntax = "proto3"; message M {}`, Type: sr.TypeProtobuf})
	if err != nil {
		t.Fatal(err)
	}
	o.want(shipments, framed(uint32(proto), nil), holdfast.VerdictPermanent, "foreign_schema")
	broken := o.register("b-value", `{"type":"record","name":"inventory.Shipment","fields":[{"name":"id","type":"nonsense"}]}`)
	o.want(shipments, framed(broken, nil), holdfast.VerdictPermanent, "foreign_schema")
	narrow := o.register("n-value", `{"type":"record","namespace":"inventory","name":"Shipment","fields":[{"name":"id","type":"string"}]}`)
	o.want(shipments, framed(narrow, nil), holdfast.VerdictPermanent, "foreign_schema") // the compiled-in reader cannot read it
}

// TestAForeignIDMayComeHome: a refusal on a topic that is not compiled in is
// not for ever, as the same schema may be registered there later under its id.
func TestAForeignIDMayComeHome(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		const order = `{"type":"record","name":"Order","fields":[]}`
		id := o.register("elsewhere-value", order)
		for range 100 {
			o.want("orders.v1", framed(id, nil), holdfast.VerdictPermanent, "foreign_schema")
		}
		if n := o.asked(); n != 2 {
			t.Errorf("the registry was asked %d times for 100 records, want its schema and its subjects once", n)
		}
		if again := o.register("orders.v1-value", order); again != id {
			t.Fatalf("id %d, was %d", again, id)
		}
		pass(refusedFor)
		o.want("orders.v1", framed(id, nil), holdfast.VerdictDelivered, "")
		o.feels(shut)
		pass(time.Hour)
		o.want("orders.v1", framed(id, nil), holdfast.VerdictDelivered, "")
	})
}

// TestUnknownIDIsAskedThreeTimes: in 30 s, not known yet until then, dead
// after it; and then not asked for a minute, however many records carry it.
func TestUnknownIDIsAskedThreeTimes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		wire := framed(77, nil)
		began := time.Now()
		verdict, code := holdfast.VerdictTransient, ""
		for verdict == holdfast.VerdictTransient {
			if _, verdict, code = o.open(shipments, wire); verdict == holdfast.VerdictTransient {
				pass(time.Second)
			}
		}
		if took := time.Since(began); verdict != holdfast.VerdictPermanent || code != "unknown_schema" || took < askWithin || took > 35*time.Second {
			t.Errorf("%s %s after %s", verdict, code, took)
		}
		if n := o.asked(); n != askTimes {
			t.Errorf("asked %d times", n)
		}
		for range 10_000 {
			o.want(shipments, wire, holdfast.VerdictPermanent, "unknown_schema")
		}
		pass(refusedFor - time.Second)
		o.want(shipments, wire, holdfast.VerdictPermanent, "unknown_schema")
		if n := o.asked(); n != askTimes {
			t.Errorf("asked %d times over 10,000 bad records", n)
		}
		pass(time.Second)
		o.want(shipments, wire, holdfast.VerdictPermanent, "unknown_schema") // at once: its time was up long ago
		if n := o.asked(); n != askTimes+1 {
			t.Errorf("asked %d times, want once more after a minute", n)
		}
	})
}

// TestANewSchemaIsFound within the patience, and after a refusal too.
func TestANewSchemaIsFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		wire := framed(1, shipment(t))
		o.want(shipments, wire, holdfast.VerdictTransient, "unknown_schema")
		if id := o.register(shipments+"-value", latest(t, "inventory.Shipment")); id != 1 {
			t.Fatalf("id %d", id)
		}
		pass(askWithin / 2)
		o.want(shipments, wire, holdfast.VerdictDelivered, "")
	})
}

// TestUnknownIDsAreBounded: a flood of made-up ids does not fill memory.
func TestUnknownIDsAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		for id := range uint32(maxUnknown + maxUnknown/2) {
			o.want(shipments, framed(id+1, nil), holdfast.VerdictTransient, "unknown_schema")
		}
		if n := len(o.serde.missing); n > maxUnknown {
			t.Errorf("%d ids are remembered", n)
		}
	})
}

// TestOneQuestionAtATime: records of one id that come at once ask once.
func TestOneQuestionAtATime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		id := o.register(shipments+"-value", latest(t, "inventory.Shipment"))
		o.feels(func(http.ResponseWriter, *http.Request) bool {
			pass(time.Second)
			return false
		})
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() { o.want(shipments, framed(id, shipment(t)), holdfast.VerdictDelivered, "") })
		}
		wg.Wait()
		if n := o.asked(); n != 1 {
			t.Errorf("asked %d times", n)
		}
	})
}

// TestAWaiterMayLeave: who waits for another's question obeys its own context.
func TestAWaiterMayLeave(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		o.feels(silent)
		go o.want(shipments, framed(5, nil), holdfast.VerdictUnavailable, "registry_down")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		if _, err := o.serde.Open(ctx, shipments, framed(5, nil), nil); err == nil || time.Since(began) != time.Second {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		synctest.Wait()
		pass(requestTimeout)
	})
}

// TestRegistryDownForAnHour (P4): what is known goes on, reading and writing;
// what is not known waits and is never a dead letter; and it is asked for once
// a second at most.
func TestRegistryDownForAnHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := newOffice(t)
		id := o.register(shipments+"-value", latest(t, "inventory.Shipment"))
		known := framed(id, shipment(t))
		o.want(shipments, known, holdfast.VerdictDelivered, "")
		if _, err := o.serde.Encode(t.Context(), shipments, created()); err != nil {
			t.Fatal(err)
		}
		o.feels(shut)
		before := o.asked()
		for second := range 180 {
			o.want(shipments, known, holdfast.VerdictDelivered, "")
			o.want(shipments, framed(99, nil), holdfast.VerdictUnavailable, "registry_down")
			o.want(shipments, framed(99, nil), holdfast.VerdictUnavailable, "registry_down")
			if _, err := o.serde.Encode(t.Context(), shipments, created()); err != nil {
				t.Fatal(err)
			}
			pass(time.Second)
			if second >= 120 {
				pass(time.Minute - time.Second)
			}
		}
		if n := o.asked() - before; n > 180 {
			t.Errorf("asked %d times by 180 seconds' records", n)
		}
		o.feels(nil)
		o.want(shipments, framed(99, nil), holdfast.VerdictTransient, "unknown_schema") // its patience begins only now
	})
}

// TestEncodeNeedsARegisteredSchema, and never registers one itself.
func TestEncodeNeedsARegisteredSchema(t *testing.T) {
	t.Parallel()
	o := newOffice(t)
	v := created()
	_, err := o.serde.Encode(t.Context(), shipments, v)
	if verdict, _ := holdfast.Judge(err); verdict != holdfast.VerdictUnavailable || !strings.Contains(err.Error(), "holdfast schema register") {
		t.Errorf("not registered: %v", err)
	}
	if o.fake.SubjectExists(shipments + "-value") {
		t.Error("it was registered on the way")
	}
	if _, err = o.serde.Encode(t.Context(), "no.such.v1", v); err == nil {
		t.Error("a topic without a schema was encoded for")
	} else if verdict, _ := holdfast.Judge(err); verdict != holdfast.VerdictPermanent {
		t.Errorf("unknown topic: %s", verdict)
	}
	id := o.register(shipments+"-value", latest(t, "inventory.Shipment"))
	wire, err := o.serde.Encode(t.Context(), shipments, v)
	if err != nil || string(wire[:5]) != string(framed(id, nil)) {
		t.Errorf("wire %x, %v", wire, err)
	}
	if _, err := o.serde.EncodeJSON(t.Context(), shipments, []byte(`{"id":7}`)); err == nil {
		t.Error("JSON of the wrong shape was encoded")
	}
	o.want(shipments, wire, holdfast.VerdictDelivered, "")
}

func created() inventory.Shipment {
	return inventory.Shipment{ID: "shp_1", Status: inventory.ShipmentStatusCreated, WeightKg: new(big.Rat)}
}

// shut is a registry that is not there.
func shut(w http.ResponseWriter, _ *http.Request) bool {
	w.WriteHeader(http.StatusServiceUnavailable)
	return true
}

// silent is one that takes a request and says nothing.
func silent(_ http.ResponseWriter, req *http.Request) bool {
	<-req.Context().Done()
	return true
}
