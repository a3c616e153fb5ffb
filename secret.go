package holdfast

import (
	"fmt"
	"io"
)

// Secret is text that cannot be printed, logged or marshalled: every way to
// write it gives [REDACTED]. [Secret.Reveal] is the only way to the text.
type Secret string

const redacted = "[REDACTED]"

// Reveal returns the secret itself. Hand it to the client that needs it and to nobody else.
func (s Secret) Reveal() string { return string(s) }

// String returns [REDACTED].
func (Secret) String() string { return redacted }

// GoString returns [REDACTED].
func (Secret) GoString() string { return redacted }

// Format writes [REDACTED] for every verb.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText returns [REDACTED], which covers JSON and YAML too.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }
