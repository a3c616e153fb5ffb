package kafka

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// TestKeysGoWhereJavaPutsThem: with another hash, a key that others write too
// would lie in two partitions and have no order. The hashes are those of
// Kafka's own test of murmur2, org.apache.kafka.common.utils.UtilsTest.
func TestKeysGoWhereJavaPutsThem(t *testing.T) {
	t.Parallel()
	const partitions = 60
	cl := client(t, cluster(t, kfake.SeedTopics(partitions, "keyed.v1")))
	for key, murmur2 := range map[string]int32{
		"21":                         -973932308,
		"abc":                        479470107,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
	} {
		r, err := cl.ProduceSync(t.Context(), &kgo.Record{Topic: "keyed.v1", Key: []byte(key)}).First()
		if err != nil {
			t.Fatal(err)
		}
		if want := (murmur2 & 0x7fffffff) % partitions; r.Partition != want {
			t.Errorf("%s is in partition %d, Java puts it into %d", key, r.Partition, want)
		}
	}
}
