package stream

import (
	"strings"
	"testing"
	"time"

	"autotag/pkg/transcript"
)

func TestDeadLetter(t *testing.T) {
	t.Parallel()
	_, nc, js := setup(t)
	first := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	d := DeadMessage{
		Stage: StageIngress, Key: transcript.Key{Org: "org1", Chat: "a.b >", Thread: ""}, Reason: "bad id\r\nNats-Rollup: all" + strings.Repeat("x", 300),
		Data: []byte("body"), HasText: true, Subject: "s", FirstSeen: first, Attempts: 3, MsgID: "m1",
	}
	for range 2 {
		if err := DeadLetter(ctx(t), js, d); err != nil {
			t.Fatal(err)
		}
	}
	if err := DeadLetter(ctx(t), js, DeadMessage{Stage: StageApply, Key: key, Reason: "no such thread"}); err != nil {
		t.Fatal(err)
	}
	all, err := ReadAll(ctx(t), nc, Dead, "autotag.dead.>", 0)
	if err != nil || len(all) != 2 {
		t.Fatalf("%d letters, %v", len(all), err)
	}
	m := all[0]
	if m.Subject != "autotag.dead.ingress.org1._._" || string(m.Data) != "body" {
		t.Errorf("%+v", m)
	}
	if r := m.Header.Get(ReasonHeader); !strings.HasPrefix(r, "bad id") || len(r) > maxReason || strings.ContainsAny(r, "\r\n") {
		t.Errorf("reason %q", r)
	}
	if m.Header.Get("Nats-Rollup") != "" {
		t.Error("a reason became a header")
	}
	if m.Header.Get(FirstSeenHeader) != first.Format(time.RFC3339Nano) || m.Header.Get(AttemptsHeader) != "3" || m.Header.Get(SubjectHeader) != "s" {
		t.Errorf("headers %v", m.Header)
	}
	if ttl, err := time.ParseDuration(m.Header.Get("Nats-TTL")); err != nil || ttl != 7*24*time.Hour {
		t.Errorf("time to live %v, %v", ttl, err)
	}
	if ttl := all[1].Header.Get("Nats-TTL"); ttl != "" {
		t.Errorf("without text: time to live %s", ttl)
	}
}
