package stripe

import (
	"net/http"
	"strings"
)

// The endpoints that Stripe counts apart, as limits.endpoints names them.
const (
	searchCustomers = "customers.search"
	finalizeInvoice = "invoices.finalize"

	verbCreate = ".create"
	verbList   = ".list"
)

// Endpoints lists the names that limits.endpoints may hold: Stripe allows 25
// requests per second of each unless it agreed to more, and 20 of the search.
func (Config) Endpoints() []string {
	return []string{
		"customers" + verbCreate, "customers" + verbList, searchCustomers,
		"invoiceitems" + verbCreate, "invoiceitems" + verbList,
		"invoices" + verbCreate, finalizeInvoice, "invoices" + verbList,
	}
}

// endpointOf names the endpoint of a request by its method and path.
func endpointOf(method, path string) string {
	path, _, _ = strings.Cut(strings.TrimPrefix(path, "/v1/"), "?")
	object, rest, _ := strings.Cut(path, "/")
	switch {
	case rest == "search":
		return searchCustomers
	case strings.HasSuffix(rest, "/finalize"):
		return finalizeInvoice
	case method == http.MethodGet:
		return object + verbList
	}
	return object + verbCreate
}
