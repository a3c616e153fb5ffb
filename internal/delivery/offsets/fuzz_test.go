package offsets_test

import (
	"testing"

	"holdfast.internal/internal/delivery/offsets"
)

// FuzzMetadata: any text is either refused and ignored, or believed and then
// told on, in a form that says the same.
func FuzzMetadata(f *testing.F) {
	f.Add(int64(5), told(5, 1, 1, 2, 300))
	f.Add(int64(5), told(5, 0, 7))
	f.Add(int64(0), bitmap(0, 0xaa, 0x01))
	f.Add(int64(1<<40), told(1<<40, 1, 1<<50))
	f.Add(int64(-1), "hf1r.")
	f.Add(int64(3), "consumer-1")
	f.Fuzz(func(t *testing.T, at int64, text string) {
		tr, err := offsets.New(at, text)
		if size := tr.Size(); size > offsets.MaxMetadata || err != nil && size != 0 {
			t.Fatalf("size %d beside error %v", size, err)
		}
		offset, again, _ := tr.Commit()
		if err != nil && again != "" {
			t.Fatalf("refused with %v, and told on as %q", err, again)
		}
		if len(again) > offsets.MaxMetadata || len(again) > tr.Size() {
			t.Fatalf("%d bytes of metadata, size %d", len(again), tr.Size())
		}
		second, err := offsets.New(offset, again)
		if err != nil {
			t.Fatalf("own metadata %q of offset %d: %v", again, offset, err)
		}
		if o, m, changed := second.Commit(); o != offset || m != again || changed {
			t.Fatalf("commit %d %q became %d %q", offset, again, o, m)
		}
		for o := max(offset, 0); o < min(offset, 1<<62)+5000; o++ {
			if tr.Add(o) != second.Add(o) {
				t.Fatalf("offset %d: the two owners differ", o)
			}
		}
	})
}
