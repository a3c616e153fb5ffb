package delivery

import (
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// TestTasksAreAMap: what is put is there until it is dropped, and all are seen once.
func TestTasksAreAMap(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var got tasks
		want := map[id]*task{}
		ids := rapid.SampledFrom([]id{0, 1, 127, 128, 129, 255, 256, 1 << 20})
		t.Repeat(map[string]func(*rapid.T){
			"put": func(t *rapid.T) {
				i := ids.Draw(t, "id")
				if want[i] != nil {
					t.Skip("it is there")
				}
				want[i] = &task{id: i}
				got.put(i, want[i])
			},
			"drop": func(t *rapid.T) {
				i := ids.Draw(t, "id")
				if want[i] == nil {
					t.Skip("it is not there")
				}
				got.drop(i)
				delete(want, i)
			},
			"": func(t *rapid.T) {
				if seen := maps.Collect(got.all()); !maps.Equal(seen, want) {
					t.Fatalf("%d tasks, want %d", len(seen), len(want))
				}
				for i, task := range want {
					if got.at(i) != task {
						t.Fatalf("%d is not there", i)
					}
				}
			},
		})
	})
}

// TestTasksMayBeDroppedMeanwhile: who was dropped is not seen any more.
func TestTasksMayBeDroppedMeanwhile(t *testing.T) {
	t.Parallel()
	var ts tasks
	for i := range id(300) {
		ts.put(i, &task{id: i})
	}
	seen := 0
	for i := range ts.all() {
		seen++
		ts.drop(i)
		for _, other := range []id{i ^ 1, i ^ 32} {
			if ts.at(other) != nil {
				ts.drop(other)
			}
		}
	}
	for i := range ts.all() {
		t.Errorf("%d is left", i)
	}
	if seen > 200 {
		t.Errorf("%d of 300 were seen, and each dropped two others", seen)
	}
}
