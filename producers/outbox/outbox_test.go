package outbox

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"

	"holdfast.internal"
	"holdfast.internal/producers"
)

func TestMain(m *testing.M) {
	if os.Getenv("OUTBOX_TEST_RELAY") != "" {
		relayProcess()
		return
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

// dialects are the databases that every test runs on.
func dialects(t *testing.T, test func(t *testing.T, cfg Config)) {
	t.Helper()
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, Config{DSN: holdfast.Secret("sqlite:" + t.TempDir() + "/outbox.db")})
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		dsn := os.Getenv("HOLDFAST_TEST_POSTGRES")
		if dsn == "" {
			t.Skip("no PostgreSQL: `make test` starts one where a JDK and Maven are")
		}
		db, err := sql.Open("pgx", dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		name := fmt.Sprintf("outbox_%x", rand.Uint64())
		if _, err := db.ExecContext(t.Context(), "CREATE DATABASE "+name); err != nil {
			t.Fatal(err)
		}
		host, _, _ := strings.Cut(dsn, "/postgres?")
		test(t, Config{DSN: holdfast.Secret(host + "/" + name + "?sslmode=disable")})
	})
}

func open(tb testing.TB, cfg Config) *Outbox {
	tb.Helper()
	box, err := Open(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = box.Close() })
	for range 2 { // a second Init changes nothing
		if err := box.Init(tb.Context()); err != nil {
			tb.Fatal(err)
		}
	}
	return box
}

// fakeKafka takes records as JSON and can be told to fail.
type fakeKafka struct {
	mu      sync.Mutex
	records []producers.Record
	fail    func(producers.Record) error
	encode  func(topic string, json []byte) error
}

func (k *fakeKafka) EncodeJSON(_ context.Context, topic string, json []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.encode != nil {
		if err := k.encode(topic, json); err != nil {
			return nil, err
		}
	}
	return json, nil
}

// Publish keeps the contract: after an error no later record of that key is written.
func (k *fakeKafka) Publish(_ context.Context, records []producers.Record) []error {
	k.mu.Lock()
	defer k.mu.Unlock()
	errs := make([]error, len(records))
	broken := map[string]error{}
	for i, r := range records {
		if k.fail != nil && broken[string(r.Key)] == nil {
			broken[string(r.Key)] = k.fail(r)
		}
		if errs[i] = broken[string(r.Key)]; errs[i] == nil {
			k.records = append(k.records, r)
		}
	}
	return errs
}

func (k *fakeKafka) all() []producers.Record {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]producers.Record(nil), k.records...)
}

func (k *fakeKafka) set(f func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f()
}

// relay runs a relay until the test ends, or stop is called.
func relay(t *testing.T, box *Outbox, k *fakeKafka) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = NewRelay(box, k, k, zap.NewNop(), nil).Run(ctx)
	}()
	stop = sync.OnceFunc(func() { cancel(); <-done })
	t.Cleanup(stop)
	return stop
}

func until(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	deadline := time.Now().Add(limit)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		if time.Now().After(deadline) {
			t.Fatalf("after %s: not %s", limit, what)
		}
		<-tick.C
	}
}

func insert(t *testing.T, box *Outbox, aggregate, payload string) {
	t.Helper()
	if err := Insert(t.Context(), box.DB(), Event{AggregateType: "topic.v1", AggregateID: aggregate, Type: "made", Payload: []byte(payload)}); err != nil {
		t.Fatal(err)
	}
}

func header(r producers.Record, name string) string {
	for _, h := range r.Headers {
		if h.Name == name {
			return string(h.Value)
		}
	}
	return ""
}

func TestARowBecomesARecord(t *testing.T) {
	t.Parallel()
	dialects(t, func(t *testing.T, cfg Config) {
		cfg.Topics = map[string]string{"invoice": "crm.invoice.v1"}
		box := open(t, cfg)
		var k fakeKafka
		relay(t, box, &k)
		// As any program would, with the four columns that must be given.
		if _, err := box.DB().ExecContext(t.Context(), `INSERT INTO outbox (aggregatetype, aggregateid, type, payload) VALUES ('invoice', 'cus_1', 'issued', '{"n": 1}')`); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		err := Insert(t.Context(), box.DB(), Event{
			ID: "11111111-2222-4333-8444-555555555555", AggregateType: "other.v1", AggregateID: "k", Type: "t", Payload: []byte(`{"n": 2}`),
			Headers: map[string]string{"team": "north", "holdfast.attempt": "9", "ce_id": "forged"},
		})
		if err != nil {
			t.Fatal(err)
		}
		until(t, 3*time.Second, "both published", func() bool { return len(k.all()) == 2 })
		if took := time.Since(began); took > time.Second {
			t.Errorf("a commit took %s to reach Kafka", took)
		}
		first, second := k.all()[0], k.all()[1]
		if first.Topic != "crm.invoice.v1" || string(first.Key) != "cus_1" || strings.ReplaceAll(string(first.Value), " ", "") != `{"n":1}` {
			t.Errorf("first: %s %s %s", first.Topic, first.Key, first.Value)
		}
		if id := header(first, "ce_id"); len(id) != 36 || id[14] != '4' {
			t.Errorf("ce_id %q is no random UUID", id)
		}
		for name, want := range map[string]string{
			"ce_id": "11111111-2222-4333-8444-555555555555", "ce_type": "t", "ce_source": "holdfast/outbox/outbox", "ce_specversion": "1.0", "team": "north", "holdfast.attempt": "",
		} {
			if got := header(second, name); got != want {
				t.Errorf("%s = %q, want %q", name, got, want)
			}
		}
		if _, err := time.Parse(time.RFC3339Nano, header(second, "ce_time")); err != nil {
			t.Error(err)
		}
		until(t, time.Second, "deleted, as keep is 0", func() bool {
			s, err := box.Status(t.Context())
			return err == nil && s == Status{}
		})
	})
}

func TestP8ARowThatDoesNotFitStopsNobody(t *testing.T) {
	t.Parallel()
	dialects(t, func(t *testing.T, cfg Config) {
		cfg.Keep = time.Hour
		box := open(t, cfg)
		strict := true
		k := fakeKafka{}
		k.encode = func(_ string, json []byte) error {
			if strict && strings.Contains(string(json), "bad") {
				return holdfast.Permanent(holdfast.ClassValidation, "invalid", errors.New("id: is missing"))
			}
			return nil
		}
		relay(t, box, &k)
		insert(t, box, "a", `"bad"`)
		insert(t, box, "a", `"good"`)
		until(t, 3*time.Second, "the good row published", func() bool { return len(k.all()) == 1 })
		failed, err := box.ListFailed(t.Context(), 10)
		if err != nil || len(failed) != 1 || !strings.Contains(failed[0].Error, "id: is missing") {
			t.Fatalf("%v %+v", err, failed)
		}
		k.set(func() { strict = false })
		const nobody = "22222222-2222-4333-8444-555555555555"
		if unknown, err := box.Retry(t.Context(), failed[0].ID, nobody); !slices.Equal(unknown, []string{nobody}) || err != nil {
			t.Fatalf("no refused rows: %v, %v", unknown, err)
		}
		until(t, 3*time.Second, "the retried row published", func() bool { return len(k.all()) == 2 })
		until(t, time.Second, "both marked", func() bool {
			s, err := box.Status(t.Context())
			return err == nil && s.Published == 2 && s.Pending == 0 && s.Failed == 0
		})
	})
}

func TestP1BrokerAndRegistryAwayLoseNothingAndKeepTheOrder(t *testing.T) {
	t.Parallel()
	dialects(t, func(t *testing.T, cfg Config) {
		box := open(t, cfg)
		k := fakeKafka{fail: func(r producers.Record) error {
			if string(r.Key) == "a" {
				return errors.New("broker away")
			}
			return nil
		}}
		relay(t, box, &k)
		for i := range 5 {
			insert(t, box, "a", strconv.Itoa(i))
			insert(t, box, "b", strconv.Itoa(i))
		}
		until(t, 5*time.Second, "b published", func() bool { return len(k.all()) >= 5 })
		k.set(func() {
			k.fail = nil
			k.encode = func(string, []byte) error {
				return &holdfast.UnavailableError{Failure: holdfast.Failure{Class: holdfast.ClassSchema, Err: errors.New("registry away")}}
			}
		})
		insert(t, box, "a", "5")
		pause := time.NewTimer(1500 * time.Millisecond)
		<-pause.C
		k.set(func() { k.encode = nil })
		until(t, 5*time.Second, "everything published", func() bool { return len(k.all()) >= 11 })
		next := map[string]int{}
		for _, r := range k.all() {
			if string(r.Value) != strconv.Itoa(next[string(r.Key)]) {
				t.Fatalf("%s of %s came where %d was due", r.Value, r.Key, next[string(r.Key)])
			}
			next[string(r.Key)]++
		}
	})
}

func TestP3CommitOrderPerAggregateWithConcurrentWriters(t *testing.T) {
	t.Parallel()
	dialects(t, func(t *testing.T, cfg Config) {
		box := open(t, cfg)
		var k fakeKafka
		relay(t, box, &k)
		// want notes, per aggregate, the order of the commits: it is written
		// after the insert and before the commit, while the aggregate (in SQLite
		// the whole database) is locked.
		var mu sync.Mutex
		want := map[string][]string{}
		rolledBack := map[string]bool{}
		var writers sync.WaitGroup
		for writer := range 6 {
			writers.Go(func() {
				rng := rand.New(rand.NewPCG(uint64(writer), 1))
				for n := range 25 {
					aggregate := fmt.Sprintf("agg-%d", rng.IntN(3))
					value := fmt.Sprintf(`"%d-%d"`, writer, n)
					tx, err := box.DB().BeginTx(t.Context(), nil)
					if err != nil {
						t.Error(err)
						return
					}
					err = Insert(t.Context(), tx, Event{AggregateType: "topic.v1", AggregateID: aggregate, Type: "t", Payload: []byte(value)})
					if err != nil {
						_ = tx.Rollback()
						t.Error(err)
						return
					}
					if rng.IntN(4) == 0 { // a long transaction
						hold := time.NewTimer(time.Duration(rng.IntN(30)) * time.Millisecond)
						<-hold.C
					}
					mu.Lock()
					if rng.IntN(5) == 0 {
						rolledBack[value] = true
						mu.Unlock()
						_ = tx.Rollback()
						continue
					}
					want[aggregate] = append(want[aggregate], value)
					mu.Unlock()
					if err := tx.Commit(); err != nil {
						t.Error(err)
					}
				}
			})
		}
		writers.Wait()
		total := len(want["agg-0"]) + len(want["agg-1"]) + len(want["agg-2"])
		until(t, 10*time.Second, "all published", func() bool { return len(k.all()) >= total })
		got := map[string][]string{}
		for _, r := range k.all() {
			got[string(r.Key)] = append(got[string(r.Key)], string(r.Value))
			if rolledBack[string(r.Value)] {
				t.Errorf("%s was rolled back and published", r.Value)
			}
		}
		for aggregate := range want {
			if !slices.Equal(got[aggregate], want[aggregate]) {
				t.Errorf("%s:\npublished %v\ncommitted %v", aggregate, got[aggregate], want[aggregate])
			}
		}
	})
}

func TestP1ATransactionThatCommitsLateIsSentLateAndHoldsNobodyUp(t *testing.T) {
	t.Parallel()
	dsn := os.Getenv("HOLDFAST_TEST_POSTGRES")
	if dsn == "" {
		t.Skip("no PostgreSQL; SQLite has one writer at a time")
	}
	dialects(t, func(t *testing.T, cfg Config) {
		if strings.HasPrefix(cfg.DSN.Reveal(), "sqlite:") {
			t.Skip("SQLite has one writer at a time")
		}
		box := open(t, cfg)
		var k fakeKafka
		relay(t, box, &k)
		slow, err := box.DB().BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := Insert(t.Context(), slow, Event{AggregateType: "topic.v1", AggregateID: "slow", Type: "t", Payload: []byte(`"slow"`)}); err != nil {
			t.Fatal(err)
		}
		insert(t, box, "quick", `"quick"`)
		until(t, 2*time.Second, "the quick one published", func() bool { return len(k.all()) == 1 })
		if err := slow.Commit(); err != nil {
			t.Fatal(err)
		}
		until(t, 2*time.Second, "the slow one published", func() bool { return len(k.all()) == 2 })
	})
}

func TestTwoRelaysOneWorksTheOtherTakesOver(t *testing.T) {
	t.Parallel()
	dialects(t, func(t *testing.T, cfg Config) {
		box := open(t, cfg)
		var first, second fakeKafka
		stop := relay(t, box, &first)
		insert(t, box, "a", "0")
		until(t, 3*time.Second, "the first at work", func() bool { return len(first.all()) == 1 })
		relay(t, open(t, cfg), &second)
		for i := range 20 {
			insert(t, box, "a", strconv.Itoa(i+1))
		}
		until(t, 3*time.Second, "the first did it all", func() bool { return len(first.all()) == 21 })
		stop()
		insert(t, box, "a", "21")
		until(t, 5*time.Second, "the second took over", func() bool { return len(second.all()) == 1 })
		if len(first.all()) != 21 {
			t.Errorf("the first published %d", len(first.all()))
		}
	})
}

func TestKeepPurgesWhatIsOld(t *testing.T) {
	t.Parallel()
	dialects(t, func(t *testing.T, cfg Config) {
		cfg.Keep = 50 * time.Millisecond
		box := open(t, cfg)
		var k fakeKafka
		stop := relay(t, box, &k)
		insert(t, box, "a", "1")
		until(t, 3*time.Second, "published", func() bool { return len(k.all()) == 1 })
		stop()
		wait := time.NewTimer(100 * time.Millisecond)
		<-wait.C
		relay(t, box, &k) // a relay purges at its start, then once a minute
		until(t, 3*time.Second, "purged", func() bool {
			s, err := box.Status(t.Context())
			return err == nil && s.Published == 0
		})
	})
}

func TestOpenRefusesWhatItCannotUse(t *testing.T) {
	t.Parallel()
	tests := map[string]Config{
		"a DSN of another database":        {DSN: "mysql://root:hunter2@db/x"},
		"a table that would be SQL":        {DSN: "sqlite:x.db", Table: `outbox"; DROP TABLE users; --`},
		"a table with two dots":            {DSN: "sqlite:x.db", Table: "a.b.c"},
		"a table that begins with a digit": {DSN: "sqlite:x.db", Table: "1outbox"},
	}
	for name, cfg := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Open(cfg)
			if err == nil || strings.Contains(err.Error(), "hunter2") {
				t.Fatalf("err = %v", err)
			}
		})
	}
}

// fileKafka acknowledges by a line in a file, as a broker that survives us.
type fileKafka struct{ file *os.File }

func (fileKafka) EncodeJSON(_ context.Context, _ string, json []byte) ([]byte, error) {
	return json, nil
}

func (k fileKafka) Publish(_ context.Context, records []producers.Record) []error {
	errs := make([]error, len(records))
	for i, r := range records {
		_, errs[i] = fmt.Fprintf(k.file, "%s %s\n", r.Key, r.Value)
	}
	return errs
}

// relayProcess is this binary as a relay, until it is killed.
func relayProcess() {
	file, err := os.OpenFile(os.Getenv("OUTBOX_TEST_RELAY"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	box, err := Open(Config{DSN: holdfast.Secret(os.Getenv("OUTBOX_TEST_DSN"))})
	if err != nil {
		panic(err)
	}
	k := fileKafka{file: file}
	_ = NewRelay(box, k, k, zap.NewNop(), nil).Run(context.Background())
}

func TestP1ARelayKilledAnywhereLosesAndSkipsNothing(t *testing.T) {
	t.Parallel()
	dialects(t, func(t *testing.T, cfg Config) {
		box := open(t, cfg)
		published := t.TempDir() + "/published"
		const rows, kills = 2000, 8
		writing := make(chan struct{})
		go func() {
			defer close(writing)
			for i := range rows {
				if err := Insert(t.Context(), box.DB(), Event{AggregateType: "topic.v1", AggregateID: strconv.Itoa(i % 7), Type: "t", Payload: []byte(strconv.Itoa(i))}); err != nil {
					t.Error(err)
					return
				}
			}
		}()
		start := func() *exec.Cmd {
			cmd := exec.Command(os.Args[0])
			cmd.Env = append(os.Environ(), "OUTBOX_TEST_RELAY="+published, "OUTBOX_TEST_DSN="+cfg.DSN.Reveal())
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			return cmd
		}
		for range kills {
			cmd := start()
			alive := time.NewTimer(time.Duration(150+rand.IntN(300)) * time.Millisecond)
			<-alive.C
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		}
		<-writing
		cmd := start()
		defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
		until(t, 20*time.Second, "nothing pending", func() bool {
			s, err := box.Status(t.Context())
			return err == nil && s.Pending == 0
		})
		text, err := os.ReadFile(published)
		if err != nil {
			t.Fatal(err)
		}
		times, newest, again := map[int]int{}, map[int]int{}, 0
		for line := range strings.Lines(string(text)) {
			var key, value int
			if _, err := fmt.Sscanf(line, "%d %d", &key, &value); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			times[value]++
			if times[value] > 1 {
				again++
				continue
			}
			if value < newest[key] {
				t.Errorf("%d of aggregate %d came first after %d", value, key, newest[key])
			}
			newest[key] = value
		}
		for i := range rows {
			if times[i] == 0 {
				t.Errorf("row %d was never published", i)
			}
		}
		t.Logf("%d rows, %d kills: 0 lost, %d published again", rows, kills, again)
	})
}

func BenchmarkRelay(b *testing.B) {
	box := open(b, Config{DSN: holdfast.Secret("sqlite:" + b.TempDir() + "/outbox.db")})
	tx, err := box.DB().BeginTx(b.Context(), nil)
	if err != nil {
		b.Fatal(err)
	}
	for i := range b.N {
		if err := Insert(b.Context(), tx, Event{AggregateType: "topic.v1", AggregateID: strconv.Itoa(i % 100), Type: "t", Payload: []byte(`{"n":1}`)}); err != nil {
			b.Fatal(err)
		}
	}
	if err := tx.Commit(); err != nil {
		b.Fatal(err)
	}
	var k fakeKafka
	r := NewRelay(box, &k, &k, zap.NewNop(), nil)
	conn, err := box.DB().Conn(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	b.ResetTimer()
	for len(k.records) < b.N {
		if _, err := r.batch(b.Context(), conn); err != nil {
			b.Fatal(err)
		}
	}
}
