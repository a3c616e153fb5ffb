package dlq

import "net/http"

// nextGeneration says which generation of the idempotency key a redriven
// letter gets. It rises only where it is proved that nothing took effect and
// the vendor would repeat its stored answer to the old key for ever. Stripe
// does so with a refusal of the business (402): the request ran, was refused,
// and the refusal is kept under the key. Refusals before a request runs (400,
// 404, 409, 429) are not kept, and a 5xx proves nothing.
func nextGeneration(kind string, status, generation int) int {
	if kind == "stripe" && status == http.StatusPaymentRequired {
		return generation + 1
	}
	return generation
}
