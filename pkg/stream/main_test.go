package stream

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap/zaptest"

	"autotag/pkg/testkit/leaktest"
	"autotag/pkg/testkit/natstest"
	"autotag/pkg/transcript"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

var key = transcript.Key{Org: "org1", Chat: "CHAT1", Thread: "THREAD1"}

// setup starts a server and provisions it.
func setup(t *testing.T) (*natstest.Server, *nats.Conn, jetstream.JetStream) {
	t.Helper()
	s := natstest.Start(t, nil)
	nc, js := s.Connect()
	provision(t, js, ProvisionOptions{EventsMaxBytes: 256 << 20})
	return s, nc, js
}

func provision(t *testing.T, js jetstream.JetStream, o ProvisionOptions) []Difference {
	t.Helper()
	diffs, err := Provision(ctx(t), js, o)
	if err != nil {
		t.Fatal(err)
	}
	return diffs
}

// patience is generous: whoever waits goes on as soon as there is something to
// go on with.
const patience = 2 * time.Minute

// ctx bounds what a test waits for.
func ctx(t *testing.T) context.Context {
	t.Helper()
	c, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return c
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// connect opens a connection as programs do. It is closed with the test, which
// its callbacks, that log to the test, do not outlive.
func connect(t *testing.T, url string) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	closed := make(chan struct{})
	nc, js, err := Connect(Options{URL: url, Name: "test"}, zaptest.NewLogger(t), func() { close(closed) })
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close(); <-closed })
	return nc, js
}

// wipe empties a folder.
func wipe(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}
