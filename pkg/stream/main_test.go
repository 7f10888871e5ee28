package stream

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

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

// ctx bounds what a test waits for.
func ctx(t *testing.T) context.Context {
	t.Helper()
	c, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	t.Cleanup(cancel)
	return c
}

// eventually waits until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(40 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("never: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// wipe empties a folder.
func wipe(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
}
