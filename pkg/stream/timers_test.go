package stream

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"autotag/pkg/transcript"
)

// due collects what comes due on a durable of AUTOTAG_TIMERS.
func due(t *testing.T, js jetstream.JetStream, durable string) func(subject string) []Stored {
	t.Helper()
	var mu sync.Mutex
	got := map[string][]Stored{}
	start(t, func(ctx context.Context) {
		Consume(ctx, js, ConsumeOptions{Stream: Timers, Durable: durable, Stage: StageDecide, Workers: 2}, func(_ context.Context, m Msg) error {
			mu.Lock()
			defer mu.Unlock()
			got[m.Subject] = append(got[m.Subject], m.Stored)
			return nil
		})
	})
	return func(subject string) []Stored {
		mu.Lock()
		defer mu.Unlock()
		return got[subject]
	}
}

func TestTimersFireAndNeverEarly(t *testing.T) {
	t.Parallel()
	_, _, js := setup(t)
	fired := due(t, js, Decide)
	begin := time.Now()
	var timers []Timer
	for i := range 100 {
		timers = append(timers, Timer{
			Key: transcript.Key{Org: "o", Chat: "c", Thread: fmt.Sprintf("T%d", i)},
			At:  begin.Add(time.Duration(i) * 17 * time.Millisecond),
			Seq: uint64(i),
		})
	}
	for i, err := range ArmAll(ctx(t), js, timers) {
		if err != nil {
			t.Errorf("timer %d: %v", i, err)
		}
	}
	for i, tm := range timers {
		subject := DueSubject(tm.Key)
		eventually(t, subject, func() bool { return len(fired(subject)) > 0 })
		m := fired(subject)[0]
		if m.Time.Before(tm.At) {
			t.Errorf("timer %d fired %v early", i, tm.At.Sub(m.Time))
		}
		want := fmt.Sprint(i)
		if i == 0 {
			want = ""
		}
		if got := m.Header.Get(SeqHeader); got != want {
			t.Errorf("timer %d carries sequence %q", i, got)
		}
		if len(m.Data) != 0 {
			t.Errorf("timer %d has a body", i)
		}
	}
}

func TestArmAgainMovesTheTimer(t *testing.T) {
	t.Parallel()
	_, _, js := setup(t)
	fired := due(t, js, Decide)
	first := time.Now().Add(3 * time.Second)
	var last time.Time
	for i := range 20 {
		last = first.Add(time.Duration(50*i) * time.Millisecond)
		if err := Arm(ctx(t), js, key, last, uint64(i+1)); err != nil {
			t.Fatal(err)
		}
	}
	armed := time.Now()
	subject := DueSubject(key)
	eventually(t, "the last one fires", func() bool {
		got := fired(subject)
		return len(got) > 0 && got[len(got)-1].Header.Get(SeqHeader) == "20"
	})
	got := fired(subject)
	if m := got[len(got)-1]; m.Time.Before(last) {
		t.Errorf("fired %v early", last.Sub(m.Time))
	}
	// On a machine too slow to arm within the time, earlier ones may fire too.
	if len(got) > 1 && armed.Before(first) {
		t.Errorf("%d due messages: %+v", len(got), got)
	}
}

func TestPark(t *testing.T) {
	t.Parallel()
	_, _, js := setup(t)
	fired := due(t, js, Retry)
	at := time.Now().Add(300 * time.Millisecond)
	if err := Park(ctx(t), js, key, at); err != nil {
		t.Fatal(err)
	}
	eventually(t, "comes back", func() bool { return len(fired(RetryDueSubject(key))) == 1 })
	if m := fired(RetryDueSubject(key))[0]; m.Time.Before(at) {
		t.Errorf("%v early", at.Sub(m.Time))
	}
}

func TestTimersSurviveRestart(t *testing.T) {
	t.Parallel()
	s, _, js := setup(t)
	at := time.Now().Add(time.Second)
	if err := Arm(ctx(t), js, key, at, 7); err != nil {
		t.Fatal(err)
	}
	s.Restart()
	_, js = s.Connect()
	fired := due(t, js, Decide)
	eventually(t, "fires after a restart", func() bool { return len(fired(DueSubject(key))) == 1 })
	if m := fired(DueSubject(key))[0]; m.Time.Before(at) || m.Header.Get(SeqHeader) != "7" {
		t.Errorf("%+v", m)
	}
}
