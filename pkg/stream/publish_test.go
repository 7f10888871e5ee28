package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"autotag/pkg/testkit/natstest"
)

func TestPublish(t *testing.T) {
	t.Parallel()
	_, nc, js := setup(t)
	p := NewPublisher(js, nil)
	subject := EventSubject(key, "incoming_event")
	header := nats.Header{"X": {"1"}}
	for range 2 {
		if err := p.Publish(ctx(t), subject, "id1", []byte("a"), header); err != nil {
			t.Fatal(err)
		}
	}
	if len(header) != 1 {
		t.Errorf("the caller's header changed: %v", header)
	}
	got, err := ReadAll(ctx(t), nc, Events, subject, 0)
	if err != nil || len(got) != 1 {
		t.Fatalf("%d messages (%v), want 1", len(got), err)
	}
	if m := got[0]; string(m.Data) != "a" || m.Header.Get("X") != "1" || m.Header.Get("Nats-Msg-Id") != "id1" || m.Subject != subject {
		t.Errorf("%+v", m)
	}
}

func TestPublishTooLarge(t *testing.T) {
	t.Parallel()
	_, _, js := setup(t)
	err := NewPublisher(js, nil).Publish(ctx(t), EventSubject(key, "x"), "id", make([]byte, 2<<20), nil)
	if !errors.Is(err, ErrTooLarge) {
		t.Errorf("got %v", err)
	}
}

func TestPublishFull(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, nil)
	_, js := s.Connect()
	provision(t, js, ProvisionOptions{EventsMaxBytes: 64 << 10})
	p := NewPublisher(js, nil)
	subject := EventSubject(key, "x")
	var err error
	n := 0
	for ; err == nil; n++ {
		err = p.Publish(ctx(t), subject, fmt.Sprint("id", n), make([]byte, 10<<10), nil)
	}
	if !errors.Is(err, ErrFull) {
		t.Errorf("got %v", err)
	}
	// What is stored already is not refused.
	if err := p.Publish(ctx(t), subject, "id0", make([]byte, 10<<10), nil); err != nil {
		t.Errorf("a duplicate: %v", err)
	}
	if got := natstest.Messages(t, js, Events); got != uint64(n-1) {
		t.Errorf("%d messages stored, want all of the %d accepted", got, n-1)
	}
}

func TestPublishFullByMessages(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, nil)
	_, js := s.Connect()
	if _, err := js.CreateStream(ctx(t), jetstream.StreamConfig{Name: Events, Subjects: []string{"livechat.>"}, MaxMsgs: 1, Discard: jetstream.DiscardNew}); err != nil {
		t.Fatal(err)
	}
	p := NewPublisher(js, nil)
	if err := p.Publish(ctx(t), EventSubject(key, "x"), "1", nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := p.Publish(ctx(t), EventSubject(key, "x"), "2", nil, nil); !errors.Is(err, ErrFull) {
		t.Errorf("got %v", err)
	}
}

func TestPublishBringsTheStreamBack(t *testing.T) {
	t.Parallel()
	_, _, js := setup(t)
	if err := js.DeleteStream(ctx(t), Events); err != nil {
		t.Fatal(err)
	}
	once, cancel := context.WithCancel(ctx(t))
	_, err := publish(once, js, &nats.Msg{Subject: EventSubject(key, "x")}, func(error) { cancel() })
	if !errors.Is(err, ErrNoStream) || !errors.Is(err, context.Canceled) {
		t.Errorf("without a stream: %v", err)
	}
	p := NewPublisher(js, func(ctx context.Context) error {
		_, err := Provision(ctx, js, ProvisionOptions{EventsMaxBytes: 1 << 20})
		return err
	})
	if err := p.Publish(ctx(t), EventSubject(key, "x"), "id", nil, nil); err != nil {
		t.Error(err)
	}
}

// The server is killed and frozen while many publish: every message that was
// answered is there exactly once.
func TestPublishThroughCrashes(t *testing.T) {
	t.Parallel()
	s := natstest.Binary(t, "")
	nc, js := connect(t, s.URL)
	eventually(t, "connected", nc.IsConnected)
	provision(t, js, ProvisionOptions{EventsMaxBytes: 64 << 20})
	p := NewPublisher(js, nil)
	limit := ctx(t)
	var wg sync.WaitGroup
	var stored atomic.Uint64
	stop := make(chan struct{})
	for w := range 8 {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				if err := p.Publish(limit, EventSubject(key, "x"), fmt.Sprintf("%d-%d", w, i), bytes.Repeat([]byte("x"), 500), nil); err != nil {
					t.Error(err)
					return
				}
				stored.Add(1)
			}
		})
	}
	progress := func() {
		n := stored.Load()
		eventually(t, "publishing goes on", func() bool { return stored.Load() > n+50 })
	}
	progress()
	for range 2 {
		s.Kill()
		s.Start()
		progress()
	}
	s.Freeze()
	time.Sleep(2500 * time.Millisecond) // longer than one attempt
	s.Thaw()
	progress()
	close(stop)
	wg.Wait()
	all, err := ReadAll(ctx(t), nc, Events, ThreadSubject(key), 0)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, m := range all {
		seen[m.Header.Get("Nats-Msg-Id")]++
	}
	if uint64(len(seen)) != stored.Load() || len(all) != len(seen) {
		t.Errorf("%d answered, %d stored, %d different", stored.Load(), len(all), len(seen))
	}
}

func TestConnectBeforeTheServer(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, nil)
	s.Stop()
	nc, js := connect(t, s.URL)
	short, cancel := context.WithTimeout(ctx(t), 200*time.Millisecond)
	defer cancel()
	if err := NewPublisher(js, nil).Publish(short, EventSubject(key, "x"), "id", nil, nil); err == nil {
		t.Error("published without a server")
	}
	s.Restart()
	eventually(t, "connected", nc.IsConnected)
	provision(t, js, ProvisionOptions{EventsMaxBytes: 1 << 20})
	if n := natstest.Messages(t, js, Events); n != 0 {
		t.Errorf("%d ghosts", n)
	}
}

// A frozen server is noticed by pings that it does not answer.
func TestAFrozenServerIsNoticedInTime(t *testing.T) {
	t.Parallel()
	nc, _ := connect(t, natstest.Start(t, nil).URL)
	if d := nc.Opts.PingInterval * time.Duration(nc.Opts.MaxPingsOut+1); d <= 0 || d > 12*time.Second {
		t.Errorf("noticed after %v", d)
	}
}

// Who has closed the connection finds its logger untouched afterwards.
func TestLeaveWaitsForTheLastCallback(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, nil)
	lost := make(chan struct{})
	nc, _, leave, err := Open(Options{URL: s.URL}, zaptest.NewLogger(t), func(error) { close(lost) })
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "connected", nc.IsConnected)
	ended := false
	closed := nc.ClosedHandler()
	nc.SetClosedHandler(func(nc *nats.Conn) {
		time.Sleep(50 * time.Millisecond) // as on a busy machine
		ended = true
		closed(nc)
	})
	if err := leave(ctx(t)); err != nil {
		t.Fatal(err)
	}
	if !ended {
		t.Error("a callback still runs")
	}
	select {
	case <-lost:
		t.Error("a connection that was left counts as lost")
	default:
	}
	if err := leave(ctx(t)); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

func TestConnectHidesPassword(t *testing.T) {
	t.Parallel()
	for _, u := range []string{"nats://u:s3cret@127.0.0.1:99999999", "nats://u:s3cret@[::1", "nats://u:s3cret%zz@h:1,nats://h"} {
		nc, _, err := Connect(Options{URL: u}, zap.NewNop(), nil)
		if err == nil {
			nc.Close()
			continue
		}
		if bytes.Contains([]byte(err.Error()), []byte("s3cret")) {
			t.Errorf("%v", err)
		}
	}
}
