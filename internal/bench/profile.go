package main

import (
	"errors"
	"os"
	"runtime"
	"runtime/pprof"
)

// profile writes a contender's CPU and allocations beside each other, as
// path.cpu and path.allocs, from now until stop is called. An empty path is no
// profile; its cost is part of the figures of the run.
func profile(path string) (stop func() error, err error) {
	if path == "" {
		return func() error { return nil }, nil
	}
	runtime.MemProfileRate = 64 << 10
	cpu, err := os.Create(path + ".cpu")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, errors.Join(err, cpu.Close())
	}
	return func() error {
		pprof.StopCPUProfile()
		allocs, err := os.Create(path + ".allocs")
		if err != nil {
			return errors.Join(err, cpu.Close())
		}
		return errors.Join(cpu.Close(), pprof.Lookup("allocs").WriteTo(allocs, 0), allocs.Close())
	}, nil
}
