package stripe

import (
	"net/http"
	"slices"
	"testing"
)

func TestEveryRequestHasAnEndpointThatCanBeLimited(t *testing.T) {
	t.Parallel()
	named := map[string]bool{}
	for request, want := range map[[2]string]string{
		{http.MethodGet, "/v1/customers?limit=100&email=a%2Fb"}:        "customers.list",
		{http.MethodGet, "/v1/customers/search?limit=100&query=x%3Ay"}: "customers.search",
		{http.MethodPost, "/v1/customers"}:                             "customers.create",
		{http.MethodPost, "/v1/invoices"}:                              "invoices.create",
		{http.MethodGet, "/v1/invoices?limit=20&customer=cus_1"}:       "invoices.list",
		{http.MethodPost, "/v1/invoices/in_1/finalize"}:                "invoices.finalize",
		{http.MethodPost, "/v1/invoiceitems"}:                          "invoiceitems.create",
		{http.MethodGet, "/v1/invoiceitems?limit=100&invoice=in_1"}:    "invoiceitems.list",
	} {
		got := endpointOf(request[0], request[1])
		if got != want || !slices.Contains((Config{}).Endpoints(), got) {
			t.Errorf("%v: %q, want %q of %v", request, got, want, (Config{}).Endpoints())
		}
		named[got] = true
	}
	if len(named) != len((Config{}).Endpoints()) {
		t.Errorf("%d endpoints are used of %v", len(named), (Config{}).Endpoints())
	}
}
