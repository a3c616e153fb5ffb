package e2e

import "holdfast.internal"

func dsn(s string) holdfast.Secret { return holdfast.Secret(s) }
