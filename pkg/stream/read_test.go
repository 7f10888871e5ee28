package stream

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"autotag/pkg/testkit/natstest"
	"autotag/pkg/transcript"
)

// fill publishes n messages of a size for a thread, as fast as they go.
func fill(t *testing.T, js jetstream.JetStream, k transcript.Key, n, size int) {
	t.Helper()
	for i := range n {
		m := &nats.Msg{Subject: EventSubject(k, "x"), Data: bytes.Repeat([]byte{byte(i)}, size), Header: nats.Header{"N": {fmt.Sprint(i)}}}
		if _, err := js.PublishMsgAsync(m, jetstream.WithStallWait(10*time.Minute)); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-ctx(t).Done():
		t.Fatal("publishing takes too long")
	}
}

func TestReadAll(t *testing.T) {
	t.Parallel()
	_, nc, js := setup(t)
	for _, thread := range []string{"A", "B", "C"} {
		fill(t, js, transcript.Key{Org: "o", Chat: "c", Thread: thread}, 30, 10)
	}
	b := transcript.Key{Org: "o", Chat: "c", Thread: "B"}
	got, err := ReadAll(ctx(t), nc, Events, ThreadSubject(b), 0)
	if err != nil || len(got) != 30 {
		t.Fatalf("%d messages, %v", len(got), err)
	}
	for i, m := range got {
		if m.Seq != uint64(31+i) || m.Header.Get("N") != fmt.Sprint(i) || m.Subject != EventSubject(b, "x") || m.Time.IsZero() || len(m.Data) != 10 {
			t.Fatalf("message %d: %+v", i, m)
		}
		for _, h := range directHeaders {
			if m.Header.Get(h) != "" {
				t.Fatalf("header %s is still there", h)
			}
		}
	}
	got, err = ReadAll(ctx(t), nc, Events, ThreadSubject(b), 41)
	if err != nil || len(got) != 20 || got[0].Seq != 41 {
		t.Errorf("from 41: %d messages, %v", len(got), err)
	}
	got, err = ReadAll(ctx(t), nc, Events, ThreadSubject(transcript.Key{Org: "o", Chat: "c", Thread: "none"}), 0)
	if err != nil || len(got) != 0 {
		t.Errorf("nothing there: %d messages, %v", len(got), err)
	}
	got, err = ReadAll(ctx(t), nc, Events, ThreadSubject(b), 1000)
	if err != nil || len(got) != 0 {
		t.Errorf("after the end: %d messages, %v", len(got), err)
	}
	if _, err = ReadAll(ctx(t), nc, "NONE", "x", 0); !errors.Is(err, ErrNoStream) {
		t.Errorf("no stream: %v", err)
	}
	if _, err = Read(ctx(t), nc, ReadOptions{Stream: Events, Filter: ThreadSubject(b), MaxBytes: 100}); !errors.Is(err, ErrTooMuch) {
		t.Errorf("bound: %v", err)
	}
}

// More than the server sends for one request, and more than one page.
func TestReadManyPages(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, nil)
	nc, js := s.Connect()
	provision(t, js, ProvisionOptions{EventsMaxBytes: 256 << 20})
	const n = 90
	fill(t, js, key, n, 900_000)
	got, err := Read(ctx(t), nc, ReadOptions{Stream: Events, Filter: ThreadSubject(key), MaxBytes: 100 << 20})
	if err != nil || len(got) != n {
		t.Fatalf("%d messages, %v", len(got), err)
	}
	for i, m := range got {
		if m.Header.Get("N") != fmt.Sprint(i) || len(m.Data) != 900_000 || m.Data[0] != byte(i) {
			t.Fatalf("message %d is another", i)
		}
	}
	if _, err := ReadAll(ctx(t), nc, Events, ThreadSubject(key), 0); !errors.Is(err, ErrTooMuch) {
		t.Errorf("default bound: %v", err)
	}
}

// Pages that end by their number of messages.
func TestReadManySmall(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, nil)
	nc, js := s.Connect()
	provision(t, js, ProvisionOptions{EventsMaxBytes: 256 << 20})
	fill(t, js, key, 2*pageBatch, 5)
	got, err := ReadAll(ctx(t), nc, Events, ThreadSubject(key), 0)
	if err != nil || len(got) != 2*pageBatch {
		t.Fatalf("%d messages, %v", len(got), err)
	}
}

// While others publish, a reading has at least what was there before it, in
// order and without a gap.
func TestReadWhileWriting(t *testing.T) {
	t.Parallel()
	_, nc, js := setup(t)
	limit := ctx(t)
	var acked atomic.Int64
	done := make(chan struct{})
	defer func() { <-done }()
	go func() {
		defer close(done)
		for i := range 150 {
			m := &nats.Msg{Subject: EventSubject(key, "x"), Data: make([]byte, 100_000), Header: nats.Header{"N": {fmt.Sprint(i)}}}
			if _, err := js.PublishMsg(limit, m); err != nil {
				t.Error(err)
				return
			}
			acked.Add(1)
		}
	}()
	for complete := false; !complete; {
		written := false
		select {
		case <-done:
			written = true
		default:
		}
		before := acked.Load()
		got, err := Read(limit, nc, ReadOptions{Stream: Events, Filter: ThreadSubject(key)})
		if err != nil { // a busy machine may break a reading off, which then says so
			if limit.Err() != nil {
				t.Fatal(err)
			}
			t.Log(err)
			continue
		}
		if int64(len(got)) < before {
			t.Errorf("%d messages, %d were there", len(got), before)
		}
		for i, m := range got {
			if m.Header.Get("N") != fmt.Sprint(i) {
				t.Fatalf("message %d is %s", i, m.Header.Get("N"))
			}
		}
		complete = written
	}
}

func TestReadReach(t *testing.T) {
	t.Parallel()
	_, nc, js := setup(t)
	fill(t, js, key, 3, 1)
	other := key
	other.Thread = "OTHER"
	fill(t, js, other, 1, 1)
	read := func(reach uint64) error {
		_, err := Read(ctx(t), nc, ReadOptions{Stream: Events, Filter: ThreadSubject(key), Reach: reach})
		return err
	}
	for _, reach := range []uint64{1, 3, 4, 99} { // 4 lies outside, 99 nowhere
		if err := read(reach); err != nil {
			t.Errorf("reach %d: %v", reach, err)
		}
	}
	// A replica that lags looks like a reading that ended before the message.
	o := ReadOptions{Stream: Events, Filter: ThreadSubject(key), Reach: 3}
	if err := checkReached(ctx(t), nc, o); !errors.Is(err, ErrBehind) {
		t.Errorf("a message that was not reached: %v", err)
	}
}

// A page that ends without its closing message, lacks a message, or tells
// nonsense is an error.
func TestReadRefusesBrokenPages(t *testing.T) {
	t.Parallel()
	s := natstest.Start(t, nil)
	part := func(seq, prev, pending string) *nats.Msg {
		return &nats.Msg{Header: nats.Header{
			"Nats-Stream": {"S"}, "Nats-Subject": {"x"}, "Nats-Sequence": {seq}, "Nats-Time-Stamp": {"2026-01-01T00:00:00Z"},
			"Nats-Last-Sequence": {prev}, "Nats-Num-Pending": {pending},
		}}
	}
	end := func(last, pending string) *nats.Msg {
		return &nats.Msg{Header: nats.Header{"Status": {"204"}, "Nats-Last-Sequence": {last}, "Nats-Num-Pending": {pending}}}
	}
	status := func(code string) *nats.Msg { return &nats.Msg{Header: nats.Header{"Status": {code}}} }
	for name, page := range map[string][]*nats.Msg{
		"a message lost":         {part("1", "0", "2"), part("3", "2", "0"), end("3", "0")},
		"the last lost":          {part("1", "0", "1"), end("2", "0")},
		"the first lost":         {part("2", "1", "0"), end("2", "0")},
		"going back":             {part("2", "0", "1"), part("2", "2", "0"), end("2", "0")},
		"refused":                {status("408")},
		"empty, more announced":  {end("0", "5")},
		"no number":              {part("x", "0", "0")},
		"rest gone":              {part("1", "0", "1"), end("1", "1"), status("404")},
		"no time":                {{Header: nats.Header{"Nats-Sequence": {"1"}, "Nats-Last-Sequence": {"0"}}}},
		"nonsense at the end":    {part("1", "0", "0"), {Header: nats.Header{"Status": {"204"}}}},
		"a message with no word": {{Data: []byte("x")}},
	} {
		nc, _ := s.Connect()
		srv, _ := s.Connect()
		stream := "S" + nats.NewInbox()[7:]
		sent := 0
		sub, err := srv.Subscribe("$JS.API.DIRECT.GET."+stream, func(m *nats.Msg) {
			for ; sent < len(page); sent++ {
				p := *page[sent]
				p.Subject = m.Reply
				if err := srv.PublishMsg(&p); err != nil {
					t.Error(err)
				}
				if p.Header.Get("Status") == "204" {
					sent++
					return
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := srv.Flush(); err != nil {
			t.Fatal(err)
		}
		if got, err := ReadAll(ctx(t), nc, stream, "x", 0); err == nil {
			t.Errorf("%s: taken for complete with %d messages", name, len(got))
		}
		_ = sub.Unsubscribe()
	}
}

func TestLast(t *testing.T) {
	t.Parallel()
	_, nc, js := setup(t)
	if _, found, err := Last(ctx(t), nc, Decisions, DecisionSubject(key)); found || err != nil {
		t.Errorf("nothing there: %v, %v", found, err)
	}
	for _, d := range []string{"1", "2"} {
		if _, err := js.PublishMsg(ctx(t), &nats.Msg{Subject: DecisionSubject(key), Data: []byte(d), Header: nats.Header{"X": {d}}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.Publish(ctx(t), OutcomeSubject(key), nil); err != nil {
		t.Fatal(err)
	}
	got, found, err := Last(ctx(t), nc, Decisions, DecisionSubject(key))
	if err != nil || !found || got.Seq != 2 || string(got.Data) != "2" || got.Header.Get("X") != "2" || got.Time.IsZero() {
		t.Errorf("%+v, %v, %v", got, found, err)
	}
	got, found, err = Last(ctx(t), nc, Decisions, RecordsSubject(key))
	if err != nil || !found || got.Seq != 3 || len(got.Data) != 0 {
		t.Errorf("wildcard: %+v, %v, %v", got, found, err)
	}
	if _, _, err := Last(ctx(t), nc, "NONE", "x"); !errors.Is(err, ErrNoStream) {
		t.Errorf("no stream: %v", err)
	}
}
