//go:build unix

package natstest

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"autotag/pkg/testkit/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startTimeout)
	t.Cleanup(cancel)
	return ctx
}

func store(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	if _, err := js.CreateOrUpdateStream(within(t), jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(within(t), "s", nil); err != nil {
		t.Fatal(err)
	}
}

func TestStart(t *testing.T) {
	t.Parallel()
	s := Start(t, nil)
	_, js := s.Connect()
	store(t, js)
	url := s.URL
	s.Restart()
	if s.URL != url {
		t.Errorf("%s became %s", url, s.URL)
	}
	_, js = s.Connect()
	if n := Messages(t, js, "S"); n != 1 {
		t.Errorf("%d messages after the restart", n)
	}
}

func TestBinary(t *testing.T) {
	t.Parallel()
	s := Binary(t, "")
	nc, js := Connect(t, s.URL)
	store(t, js)
	resp, err := http.Get(s.MonitorURL + "/varz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	s.Freeze()
	short, cancel := context.WithTimeout(within(t), 200*time.Millisecond)
	defer cancel()
	if err := nc.FlushWithContext(short); !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("a frozen server answers: %v", err)
	}
	s.Thaw()
	if err := nc.FlushWithContext(within(t)); err != nil {
		t.Error(err)
	}
	s.Kill()
	s.Start()
	_, js = Connect(t, s.URL)
	if n := Messages(t, js, "S"); n != 1 {
		t.Errorf("%d messages after kill and start", n)
	}
}
