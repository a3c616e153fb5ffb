package holdfast

// Class says what kind of failure an attempt met. The set is closed: headers,
// metrics and logs all use these words.
type Class string

// The classes, as docs/reference/headers.md explains them to the on-call engineer.
const (
	ClassRateLimited Class = "rate_limited"
	ClassQuota       Class = "quota"
	ClassAuth        Class = "auth"
	ClassValidation  Class = "validation"
	ClassContract    Class = "contract" // the vendor's contract drifted
	ClassConflict    Class = "conflict" // locks, duplicates, concurrent edits
	ClassNotFound    Class = "not_found"
	ClassVendor5xx   Class = "vendor_5xx"
	ClassTimeout     Class = "timeout"
	ClassNetwork     Class = "network"
	ClassSchema      Class = "schema"    // no schema, an unknown one, or another subject's
	ClassTransform   Class = "transform" // a processor refused the record
	ClassPoison      Class = "poison"    // bytes that do not decode, panics, too large
	ClassConfig      Class = "config"    // blocked address, TLS, redirect
	ClassUncertain   Class = "uncertain" // sent, outcome not known
	ClassUnknown     Class = "unknown"
)

// Classes lists every class, sorted, so that metrics exist before the first failure.
func Classes() []Class {
	return []Class{
		ClassAuth, ClassConfig, ClassConflict, ClassContract, ClassNetwork, ClassNotFound, ClassPoison,
		ClassQuota, ClassRateLimited, ClassSchema, ClassTimeout, ClassTransform, ClassUncertain,
		ClassUnknown, ClassValidation, ClassVendor5xx,
	}
}

// ParseClass returns the class that s names, or ClassUnknown.
func ParseClass(s string) Class {
	for _, c := range Classes() {
		if string(c) == s {
			return c
		}
	}
	return ClassUnknown
}

// Systemic reports whether c is a fault that an outage of the whole
// destination would show too: a 5xx answer or no answer at all. Such a failure
// spends an attempt only if the destination answered somebody else meanwhile.
func (c Class) Systemic() bool {
	return c == ClassVendor5xx || c == ClassTimeout || c == ClassNetwork || c == ClassUncertain
}
