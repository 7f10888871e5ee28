package stream

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"autotag/pkg/transcript"
)

func TestToken(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"a": true, "PJ0MRSHTDG": true, "a-b_c": true, "_": true, strings.Repeat("x", 128): true,
		"": false, strings.Repeat("x", 129): false, "a.b": false, "*": false, ">": false, "a b": false,
		"a\r\nb": false, "ä": false, "a\x00": false, "a/b": false, "a:b": false,
	} {
		got, ok := Token(s)
		if ok != want || (ok && got != s) || (!ok && got != "") {
			t.Errorf("Token(%q) = %q, %v", s, got, ok)
		}
	}
}

func TestValidAction(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]bool{
		"incoming_chat": true, "a1": true, strings.Repeat("x", 64): true,
		"": false, strings.Repeat("x", 65): false, "A": false, "a-b": false, "a.b": false, ">": false,
	} {
		if got := ValidAction(s); got != want {
			t.Errorf("ValidAction(%q) = %v", s, got)
		}
	}
}

func TestSubjectsRoundTrip(t *testing.T) {
	t.Parallel()
	id := rapid.StringMatching(`[A-Za-z0-9_-]{1,128}`)
	rapid.Check(t, func(t *rapid.T) {
		k := transcript.Key{Org: id.Draw(t, "org"), Chat: id.Draw(t, "chat"), Thread: id.Draw(t, "thread")}
		action := rapid.StringMatching(`[a-z0-9_]{1,64}`).Draw(t, "action")
		if got, a, ok := ParseEventSubject(EventSubject(k, action)); !ok || got != k || a != action {
			t.Fatalf("event: %v %q %v", got, a, ok)
		}
		for kind, subject := range map[string]string{
			"timer": TimerSubject(k), "due": DueSubject(k), "retry": RetrySubject(k), "retry-due": RetryDueSubject(k),
			"decision": DecisionSubject(k), "outcome": OutcomeSubject(k), "dead.apply": DeadSubject(StageApply, k),
		} {
			gotKind, got, ok := ParseSubject(subject)
			if !ok || got != k || gotKind != kind {
				t.Fatalf("%s: %q %v %v", kind, gotKind, got, ok)
			}
			if !matches("autotag.>", subject) {
				t.Fatalf("%s is outside autotag.>", subject)
			}
		}
		if !matches(ThreadSubject(k), EventSubject(k, action)) {
			t.Fatal("a thread's filter does not cover its events")
		}
		if !matches(RecordsSubject(k), DecisionSubject(k)) || !matches(RecordsSubject(k), OutcomeSubject(k)) {
			t.Fatal("a thread's record filter does not cover its records")
		}
	})
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"", "livechat", "livechat.a.b.c", "livechat.a.b.c.d.e", "livechat.a.b..d", "livechat.a.b.c.D", "autotag.due.a.b.c", "xlivechat.a.b.c.d"} {
		if _, _, ok := ParseEventSubject(s); ok {
			t.Errorf("ParseEventSubject(%q) is ok", s)
		}
	}
	for _, s := range []string{"", "autotag", "autotag.due", "autotag.due.a.b", "autotag.due.a.b.c.d", "autotag.x.a.b.c", "autotag.dead.a.b.c", "autotag.dead.nobody.a.b.c", "livechat.a.b.c.d"} {
		if _, _, ok := ParseSubject(s); ok {
			t.Errorf("ParseSubject(%q) is ok", s)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(EventSubject(key, "incoming_event"))
	f.Add(DueSubject(key))
	f.Add(DeadSubject(StageIngress, key))
	f.Add("autotag.dead.ingress.a.b.>")
	f.Fuzz(func(t *testing.T, s string) {
		if k, a, ok := ParseEventSubject(s); ok && EventSubject(k, a) != s {
			t.Errorf("%q parses to another event subject", s)
		}
		if kind, k, ok := ParseSubject(s); ok && "autotag."+kind+"."+path(k) != s {
			t.Errorf("%q parses to another subject", s)
		}
		if tok, ok := Token(s); ok && (strings.ContainsAny(tok, ".*> \r\n\t\x00") || tok == "") {
			t.Errorf("%q is no token", s)
		}
	})
}

func TestMatches(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		filter, subject string
		want            bool
	}{
		{"a.b", "a.b", true}, {"a.*", "a.b", true}, {"a.>", "a.b.c", true}, {"a.>", "a", false}, {"a.*", "a.b.c", false},
		{"a.b.c", "a.b", false}, {"a.*", "a.*", true}, {"a.*", "a.>", false}, {"a.>", "a.>", true}, {"a.>", "a.*.c", true}, {"a.b", "a.*", false},
	} {
		if got := matches(c.filter, c.subject); got != c.want {
			t.Errorf("matches(%q, %q) = %v", c.filter, c.subject, got)
		}
	}
}
