package vendorsim

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// reply is an answer of the API before it is stored and sent.
type reply struct {
	status int
	body   any
	object map[string]any // made or changed
	kind   string         // of object, where it took effect as one
	event  string
	store  bool // under the idempotency key
}

// stripe answers a request of Stripe's API: authorization, idempotency, then
// the endpoint itself.
func (s *Server) stripe(w http.ResponseWriter, x *exchange) {
	if !strings.HasPrefix(x.Header.Get("Authorization"), "Bearer sk_") {
		stripeError(w, http.StatusUnauthorized, "invalid_request_error", "", "You did not provide an API key.")
		return
	}
	if v := x.Header.Get("Stripe-Version"); v != "" {
		w.Header().Set("Stripe-Version", v)
	}
	if x.Method == http.MethodGet {
		s.mu.Lock()
		r := s.read(x)
		s.mu.Unlock()
		send(w, r.status, r.body)
		return
	}
	if x.Method != http.MethodPost {
		stripeError(w, http.StatusMethodNotAllowed, "invalid_request_error", "", "Unrecognized request URL.")
		return
	}
	s.idempotently(w, x, s.write)
}

// idempotently answers a write once per key: the same request again gets the
// stored answer, another request under the same key an error.
func (s *Server) idempotently(w http.ResponseWriter, x *exchange, do func(*exchange) reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	params := hashOf([]byte(x.form.Encode() + string(x.body)))
	if x.key != "" {
		if before, ok := s.state.stored[x.key]; ok {
			if before.Path != x.URL.Path || before.Params != params {
				stripeError(w, http.StatusBadRequest, "idempotency_error", "",
					"Keys for idempotent requests can only be used with the same parameters they were first used with.")
				return
			}
			w.Header().Set("Idempotent-Replayed", "true")
			send(w, before.Status, json.RawMessage(before.Body))
			return
		}
	}
	r := do(x)
	body, err := json.Marshal(r.body)
	if err != nil {
		stripeError(w, http.StatusInternalServerError, "api_error", "", "unencodable")
		return
	}
	if r.store || r.object != nil {
		c := change{At: time.Now().UTC(), Path: x.URL.Path, Params: params, Status: r.status, Body: string(body), Object: r.object, Kind: r.kind, Event: r.event, Key: x.key}
		if err := s.state.commit(c); err != nil {
			stripeError(w, http.StatusInternalServerError, "api_error", "", "journal")
			return
		}
	}
	send(w, r.status, json.RawMessage(body))
}

func (s *Server) write(x *exchange) reply {
	parts := strings.Split(strings.Trim(x.URL.Path, "/"), "/")
	switch {
	case len(parts) == 2 && parts[1] == "customers":
		return s.createCustomer(x.form)
	case len(parts) == 2 && parts[1] == "invoices":
		return s.createInvoice(x.form)
	case len(parts) == 2 && parts[1] == "invoiceitems":
		return s.createItem(x.form)
	case len(parts) == 4 && parts[1] == "invoices" && parts[3] == "finalize":
		return s.finalize(parts[2], x.form)
	}
	return refusal(http.StatusNotFound, "invalid_request_error", "", "", "Unrecognized request URL ("+x.Method+": "+x.URL.Path+").")
}

func (s *Server) createCustomer(f url.Values) reply {
	if bad, ok := unknown(f, "name", "email", "phone", "description", "metadata", "address"); ok {
		return bad
	}
	c := object("customer", "cus_", len(s.state.order), f)
	for _, name := range []string{"name", "email", "phone", "description"} {
		c[name] = nullable(f.Get(name))
	}
	if email := f.Get("email"); email != "" && !strings.Contains(email, "@") {
		return refusal(http.StatusBadRequest, "invalid_request_error", "email_invalid", "email", "Invalid email address.")
	}
	key := f.Get("email")
	if key == "" {
		key = c["id"].(string) //nolint:forcetypeassert // set by object
	}
	return reply{status: http.StatusOK, body: c, object: c, kind: "customer", event: key, store: true}
}

// refuses reports whether /_sim/refuse names the event.
func (s *Server) refuses(event string) bool {
	return slices.ContainsFunc(s.refused, func(part string) bool { return part != "" && strings.Contains(event, part) })
}

var currency = regexp.MustCompile(`^[a-z]{3}$`)

func (s *Server) createInvoice(f url.Values) reply {
	if bad, ok := unknown(f, "customer", "collection_method", "days_until_due", "currency", "auto_advance", "pending_invoice_items_behavior", "metadata", "description", "footer", "number"); ok {
		return bad
	}
	if s.state.objects[f.Get("customer")] == nil {
		return refusal(http.StatusBadRequest, "invalid_request_error", "resource_missing", "customer", "No such customer.")
	}
	if c := f.Get("currency"); c != "" && !currency.MatchString(c) {
		return refusal(http.StatusBadRequest, "invalid_request_error", "parameter_invalid_string", "currency", "Invalid currency.")
	}
	if f.Get("collection_method") == "send_invoice" {
		if days, err := strconv.Atoi(f.Get("days_until_due")); err != nil || days < 0 {
			return refusal(http.StatusBadRequest, "invalid_request_error", "parameter_missing", "days_until_due", "Missing days_until_due.")
		}
	}
	event := f.Get(eventField)
	if s.refuses(event) {
		// A refusal that Stripe stores: the same key gets it for ever.
		r := refusal(http.StatusPaymentRequired, "card_error", "card_declined", "", "Your card was declined.")
		r.store = true
		return r
	}
	inv := object("invoice", "in_", len(s.state.order), f)
	inv["customer"], inv["currency"], inv["status"], inv["description"] = f.Get("customer"), f.Get("currency"), "draft", nullable(f.Get("description"))
	return reply{status: http.StatusOK, body: inv, object: inv, kind: "invoice", event: event, store: true}
}

func (s *Server) createItem(f url.Values) reply {
	if bad, ok := unknown(f, "customer", "invoice", "amount", "currency", "description", "metadata", "quantity", "unit_amount_decimal"); ok {
		return bad
	}
	inv := s.state.objects[f.Get("invoice")]
	if inv == nil {
		return refusal(http.StatusBadRequest, "invalid_request_error", "resource_missing", "invoice", "No such invoice.")
	}
	if inv["status"] != "draft" {
		return refusal(http.StatusBadRequest, "invalid_request_error", "invoice_not_editable", "invoice", "This invoice is no longer editable.")
	}
	amount, err := strconv.ParseInt(f.Get("amount"), 10, 64)
	if err != nil {
		return refusal(http.StatusBadRequest, "invalid_request_error", "parameter_invalid_integer", "amount", "Invalid integer.")
	}
	item := object("invoiceitem", "ii_", len(s.state.order), f)
	item["invoice"], item["customer"], item["amount"], item["currency"], item["description"] = f.Get("invoice"), f.Get("customer"), amount, f.Get("currency"), nullable(f.Get("description"))
	return reply{status: http.StatusOK, body: item, object: item, store: true}
}

func (s *Server) finalize(id string, f url.Values) reply {
	if bad, ok := unknown(f, "auto_advance"); ok {
		return bad
	}
	inv := s.state.objects[id]
	if inv == nil || inv["object"] != "invoice" {
		return refusal(http.StatusNotFound, "invalid_request_error", "resource_missing", "id", "No such invoice.")
	}
	if inv["status"] != "draft" {
		return refusal(http.StatusBadRequest, "invalid_request_error", "invoice_not_editable", "id", "This invoice is already finalized.")
	}
	open := maps.Clone(inv)
	open["status"] = "open"
	open["number"] = "SIM-" + strings.TrimPrefix(id, "in_")
	return reply{status: http.StatusOK, body: open, object: open, store: true}
}

// read answers GET: one object, a list or a search.
func (s *Server) read(x *exchange) reply {
	parts := strings.Split(strings.Trim(x.URL.Path, "/"), "/")
	kinds := map[string]string{"customers": "customer", "invoices": "invoice", "invoiceitems": "invoiceitem"}
	if len(parts) < 2 || kinds[parts[1]] == "" {
		return refusal(http.StatusNotFound, "invalid_request_error", "", "", "Unrecognized request URL.")
	}
	if len(parts) == 3 && parts[2] != "search" {
		if o := s.state.objects[parts[2]]; o != nil {
			return reply{status: http.StatusOK, body: o}
		}
		return refusal(http.StatusNotFound, "invalid_request_error", "resource_missing", "id", "No such object.")
	}
	q := x.URL.Query()
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil || limit < 1 || limit > 100 {
		limit = 10
	}
	data := []map[string]any{}
	more := false
	for _, id := range slices.Backward(s.state.order) {
		o := s.state.objects[id]
		if o["object"] != kinds[parts[1]] || !matches(o, q) {
			continue
		}
		if len(data) == limit {
			more = true
			break
		}
		data = append(data, o)
	}
	return reply{status: http.StatusOK, body: map[string]any{"object": "list", "data": data, "has_more": more, "url": x.URL.Path}}
}

var metadataQuery = regexp.MustCompile(`^metadata\['([^']+)'\]:'((?:[^'\\]|\\.)*)'$`)

func matches(o map[string]any, q url.Values) bool {
	for _, name := range []string{"email", "customer", "invoice"} {
		if want := q.Get(name); want != "" && o[name] != want {
			return false
		}
	}
	if since, err := strconv.ParseInt(q.Get("created[gte]"), 10, 64); err == nil {
		if created, _ := number(o["created"]); created < since {
			return false
		}
	}
	if m := metadataQuery.FindStringSubmatch(q.Get("query")); m != nil {
		meta, _ := o["metadata"].(map[string]any)
		return meta[m[1]] == strings.ReplaceAll(m[2], `\`, "")
	}
	return true
}

// number reads what was an int64 before, and a float64 after, a restart.
func number(v any) (int64, bool) {
	switch n := v.(type) {
	case int64:
		return n, true
	case float64:
		return int64(n), true
	}
	return 0, false
}

// object is a new one with its metadata.
func object(kind, prefix string, n int, f url.Values) map[string]any {
	meta := map[string]any{}
	for name := range f {
		if field, ok := strings.CutPrefix(name, "metadata["); ok {
			meta[strings.TrimSuffix(field, "]")] = f.Get(name)
		}
	}
	return map[string]any{"id": fmt.Sprintf("%s%08d", prefix, n+1), "object": kind, "created": time.Now().Unix(), "metadata": meta, "livemode": false}
}

func nullable(s string) any {
	if s == "" {
		return nil
	}
	return s
}

// unknown refuses a parameter that the endpoint does not take.
func unknown(f url.Values, known ...string) (reply, bool) {
	names := make([]string, 0, len(f))
	for name := range f {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		root, _, _ := strings.Cut(name, "[")
		if !slices.Contains(known, root) {
			return refusal(http.StatusBadRequest, "invalid_request_error", "parameter_unknown", root, "Received unknown parameter: "+root), true
		}
	}
	return reply{}, false
}

func refusal(status int, kind, code, param, message string) reply {
	return reply{status: status, body: errorBody(kind, code, param, message)}
}

func errorBody(kind, code, param, message string) any {
	e := map[string]any{"type": kind, "message": message}
	if code != "" {
		e["code"] = code
	}
	if param != "" {
		e["param"] = param
	}
	return map[string]any{"error": e}
}

func stripeError(w http.ResponseWriter, status int, kind, code, message string) {
	send(w, status, errorBody(kind, code, "", message))
}

func send(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// hook records any POST or PUT, once per idempotency key.
func (s *Server) hook(w http.ResponseWriter, x *exchange) {
	s.idempotently(w, x, func(x *exchange) reply {
		if s.refuses(x.event) {
			return refusal(http.StatusUnprocessableEntity, "invalid_request_error", "refused", "", "Refused on request.")
		}
		o := map[string]any{"id": "hook_" + strconv.Itoa(len(s.state.order)+1), "object": "hook"}
		return reply{status: http.StatusOK, body: map[string]bool{"ok": true}, object: o, kind: "hook", event: x.event, store: true}
	})
}
