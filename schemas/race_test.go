//go:build race

package schemas_test

// slowdown is what the race detector costs, at most.
const slowdown = 10
