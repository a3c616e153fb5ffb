//go:build !race

package schemas_test

const slowdown = 1
