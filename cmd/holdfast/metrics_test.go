package main

import (
	"context"
	"io"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kgo"

	"holdfast.internal/internal/kafka"
	"holdfast.internal/internal/quota"
)

// reference is what docs/reference/metrics.md says: by name, the type and the
// labels; and which are not always there.
func reference(t *testing.T) (listed map[string]string, sometimes []string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/reference/metrics.md")
	if err != nil {
		t.Fatal(err)
	}
	listed = map[string]string{}
	for _, row := range regexp.MustCompile("(?m)^\\| `(holdfast_\\w+)` (†?) ?\\| (\\w+) \\| ([^|]*)\\|").FindAllStringSubmatch(string(page), -1) {
		name, dagger, kind, labels := row[1], row[2], row[3], strings.Fields(strings.ReplaceAll(row[4], "`", ""))
		if _, twice := listed[name]; twice || !slices.IsSorted(labels) {
			t.Errorf("%s is listed twice, or its labels are not sorted", name)
		}
		listed[name] = kind + " " + strings.Join(labels, " ")
		if dagger != "" {
			sometimes = append(sometimes, name)
		}
	}
	return listed, sometimes
}

// shown is what a process shows, in the same form.
func shown(t *testing.T, g prometheus.Gatherer) map[string]string {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "holdfast_") {
			continue
		}
		labels := map[string]bool{}
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = true
			}
		}
		all[f.GetName()] = strings.ToLower(f.GetType().String()) + " " + strings.Join(slices.Sorted(maps.Keys(labels)), " ")
	}
	return all
}

// TestMetricsAreThoseOfTheReference: a process that runs everything shows what
// the reference lists and nothing else, with these types and labels, and all of
// it is named as Prometheus wants names.
func TestMetricsAreThoseOfTheReference(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	g := &globals{out: io.Discard, err: io.Discard, timeout: 30 * time.Second}
	o := devOptions{ephemeral: true, traffic: 20, tiers: "1s,2s", listen: "127.0.0.1:0"}
	d, err := startDev(ctx, g, o)
	if err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := d.run(ctx, g, o); err != nil {
			t.Error(err)
		}
	})
	defer func() { cancel(); running.Wait(); d.stop() }()

	listed, sometimes := reference(t)
	always := maps.Clone(listed)
	maps.DeleteFunc(always, func(name, _ string) bool { return slices.Contains(sometimes, name) })
	lacks := func(all map[string]string) (names []string) {
		for name := range always {
			if _, ok := all[name]; !ok {
				names = append(names, name)
			}
		}
		return names
	}
	all := shown(t, d.app.metrics)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for waited := 0; len(lacks(all)) > 0 && waited < 200; waited++ {
		<-tick.C
		all = shown(t, d.app.metrics)
	}
	for _, name := range lacks(all) {
		t.Errorf("%s is listed and not shown", name)
	}
	for name, is := range all {
		if says, ok := listed[name]; !ok || strings.TrimSpace(says) != strings.TrimSpace(is) {
			t.Errorf("%s is a %s; the reference says %q", name, is, says)
		}
	}
	problems, err := testutil.GatherAndLint(d.app.metrics)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		if strings.HasPrefix(p.Metric, "holdfast_kafka_buffered_") { // named by franz-go's plugin
			continue
		}
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestMetricsThatAreThereSometimes are registered under the names and labels
// that the reference lists.
func TestMetricsThatAreThereSometimes(t *testing.T) {
	t.Parallel()
	var r recorder
	client, err := kgo.NewClient(kafka.Measured(&r, "c"))
	if err != nil {
		t.Fatal(err)
	}
	client.Close()
	quota.NewMetrics(&r)
	listed, sometimes := reference(t)
	if len(sometimes) == 0 {
		t.Error("none is marked")
	}
	for _, name := range sometimes {
		_, labels, _ := strings.Cut(strings.ReplaceAll(listed[name], "client ", ""), " ")
		want := `fqName: "` + name + `"`
		if !slices.ContainsFunc(r.described, func(d string) bool {
			found := regexp.MustCompile(`variableLabels: \{([^}]*)\}`).FindStringSubmatch(d)
			return strings.Contains(d, want) && found != nil && found[1] == strings.ReplaceAll(labels, " ", ",")
		}) {
			t.Errorf("%s with labels %s is not registered anywhere", name, labels)
		}
	}
}

// recorder is a registry that keeps descriptions and nothing else.
type recorder struct{ described []string }

func (r *recorder) Register(c prometheus.Collector) error {
	descs := make(chan *prometheus.Desc, 16)
	go func() { c.Describe(descs); close(descs) }()
	for d := range descs {
		r.described = append(r.described, d.String())
	}
	return nil
}

func (r *recorder) MustRegister(all ...prometheus.Collector) {
	for _, c := range all {
		_ = r.Register(c)
	}
}

func (*recorder) Unregister(prometheus.Collector) bool { return true }
