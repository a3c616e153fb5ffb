package main

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"holdfast.internal"
	"holdfast.internal/internal/config"
	"holdfast.internal/internal/embedded"
	"holdfast.internal/internal/vendorsim"
	"holdfast.internal/producers/outbox"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"holdfast": main})
}

// TestScripts runs the scenarios of testdata/script, each as a person would
// type it, against a broker, a registry and a vendor of its own.
//
//	$KAFKA, $REGISTRY   their addresses
//	$VENDOR             URL of a simulated Stripe
//	$LISTEN             a free one, for http.listen
//	exits CODE CMD...   runs a command that must end with this exit code
//	piped CMD | CMD     runs two commands joined by a pipe
//	bury SINK TOPIC     writes the records of a topic to the dead letters of a sink
//	insert FILE AGGREGATETYPE AGGREGATEID PAYLOAD
//	                    writes a row into the outbox of a SQLite file
//	settle SINK TOPIC   commits more of a topic for a sink than it will ever hold
//
// HOLDFAST_UPDATE_SCRIPTS=1 writes what is compared with cmp anew.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: os.Getenv("HOLDFAST_UPDATE_SCRIPTS") != "",
		Setup:         services,
		Cmds:          map[string]func(*testscript.TestScript, bool, []string){"bury": bury, "exits": exits, "insert": insertRow, "piped": piped, "settle": settleAll},
	})
}

func services(e *testscript.Env) error {
	broker, err := embedded.StartBroker(embedded.BrokerOptions{})
	if err != nil {
		return err
	}
	e.Defer(broker.Close)
	registry, err := embedded.StartRegistry(embedded.RegistryOptions{Addr: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	e.Defer(registry.Close)
	vendor, err := vendorsim.Start(vendorsim.Options{Addr: "127.0.0.1:0"})
	if err != nil {
		return err
	}
	e.Defer(vendor.Close)
	e.Setenv("VENDOR", vendor.URL())
	e.Setenv("KAFKA", broker.Addrs()[0])
	e.Setenv("REGISTRY", registry.URL())
	listen, err := freeAddress()
	if err != nil {
		return err
	}
	e.Setenv("LISTEN", listen)
	e.Setenv("NO_COLOR", "1")
	return nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// exits runs a command that must end with a code; stdout and stderr can be
// compared as after exec.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	if failed, ok := errors.AsType[*exec.ExitError](err); ok {
		got = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("%s: exit code %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

func insertRow(ts *testscript.TestScript, _ bool, args []string) {
	box, err := outbox.Open(outbox.Config{DSN: holdfast.Secret("sqlite:" + ts.MkAbs(args[0]))})
	ts.Check(err)
	defer box.Close()
	ts.Check(outbox.Insert(context.Background(), box.DB(), outbox.Event{AggregateType: args[1], AggregateID: args[2], Type: "t", Payload: []byte(args[3])}))
}

func piped(ts *testscript.TestScript, neg bool, args []string) {
	ts.Check(ts.Exec("sh", "-c", strings.Join(args, " ")))
	if neg {
		ts.Fatalf("a pipe cannot be negated")
	}
}

// TestWhatIsGenerated: the schema and the reference that are checked in are
// those of what this program reads.
func TestWhatIsGenerated(t *testing.T) {
	t.Parallel()
	for file, of := range map[string]func(map[string]config.Kind) ([]byte, error){
		"../../internal/config/holdfast.schema.json": config.Schema,
		"../../docs/reference/configuration.md":      config.Reference,
	} {
		want, err := of(known().Sinks)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(file)
		if err != nil || string(got) != string(want) {
			t.Errorf("%s is stale: run `make generate` (%v)", file, err)
		}
	}
}

// TestEveryKeyIsExplained: editors show what a key means and its default.
func TestEveryKeyIsExplained(t *testing.T) {
	t.Parallel()
	text, err := config.Schema(known().Sinks)
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if err := json.Unmarshal(text, &root); err != nil {
		t.Fatal(err)
	}
	seen := map[string]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		switch v := v.(type) {
		case map[string]any:
			properties, _ := v["properties"].(map[string]any)
			for key, p := range properties {
				p, isSchema := p.(map[string]any)
				if _, condition := p["const"]; !isSchema || condition || path == "if" {
					continue
				}
				description, _ := p["description"].(string)
				if seen[key] = description; !strings.HasPrefix(description, key) {
					t.Errorf("%s: %s: %q explains nothing", path, key, description)
				}
			}
			for step, below := range v {
				walk(step, below)
			}
		case []any:
			for _, e := range v {
				walk(path, e)
			}
		}
	}
	walk("", root)
	for key, want := range map[string]string{
		"max_hold": "max_hold is the longest wait that a vendor may ask for. Default: 24h", // of every sink
		"method":   "method is POST, PUT, PATCH or DELETE. Default: POST",                  // of one kind
	} {
		if seen[key] != want {
			t.Errorf("%s: %q", key, seen[key])
		}
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	canceled, cancel := context.WithCancel(context.Background())
	cancel()
	for name, c := range map[string]struct {
		ctx  context.Context
		err  error
		want int
	}{
		"no error":                             {t.Context(), nil, exitOK},
		"any error":                            {t.Context(), errors.New("x"), exitFailed},
		"a coded error, wrapped":               {t.Context(), errors.Join(errors.New("x"), exit(exitPartly, nil)), exitPartly},
		"the broker took too long":             {t.Context(), context.DeadlineExceeded, exitUnreachable},
		"Ctrl-C":                               {canceled, context.Canceled, exitInterrupted},
		"something canceled that nobody asked": {t.Context(), context.Canceled, exitFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := exitCode(c.ctx, c.err); got != c.want {
				t.Errorf("got %d, want %d", got, c.want)
			}
		})
	}
}
