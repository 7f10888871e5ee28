package cmd

import (
	"bufio"
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/rivo/uniseg"

	"autotag/pkg/decision"
	"autotag/pkg/rules"
	"autotag/pkg/transcript"
)

func TestParseThread(t *testing.T) {
	t.Parallel()
	either := func(ids ...string) []threadRef { return asThreadOrChat(ids) }
	long := strings.Repeat("x", 128)
	for text, want := range map[string][]threadRef{
		"SJ4K2R8V0P":  either("SJ4K2R8V0P"),
		" 'T-1_x' \n": either("T-1_x"),
		long:          either(long),
		"C1/T1":       {{chat: "C1", thread: "T1"}},
		"<C1/T1>":     {{chat: "C1", thread: "T1"}},
		long + "x":    nil,
		"acme/C1/T1":  {{"acme", "C1", "T1"}},
		"a/C1/T1/x":   nil, "a//T1": nil,
		"C1/":                                    nil,
		"/T1":                                    nil,
		"":                                       nil,
		"_":                                      nil,
		"C1/_":                                   nil,
		"*":                                      nil,
		">":                                      nil,
		"C1/*":                                   nil,
		"C1.T1":                                  nil,
		"a b":                                    nil,
		"Ü1":                                     nil,
		"https://":                               nil,
		"https://x.y":                            nil,
		"https://%zz/":                           nil,
		"https://my.livechatinc.com/archives/T1": either("T1", "archives"),
		"my.livechatinc.com/archives/T1":         either("T1", "archives"),
		"https://my.livechatinc.com/archives/?query=T1":         either("T1", "archives"),
		"https://my.livechatinc.com/archives/T1?query=T1":       either("T1", "archives"),
		"https://my.livechatinc.com/archives/T1?b=2+3&a=T2":     either("T2", "T1", "archives"),
		"https://my.livechatinc.com/chats/C1/T1":                either("T1", "C1", "chats"),
		"https://www.text.com/app/inbox/archives/T1/":           either("T1", "archives", "inbox", "app"),
		"https://x.example/#/archives/T1":                       either("T1", "archives"),
		"https://x.example/*/%3E/T1":                            either("T1"),
		"https://x.example/" + strings.Repeat("a/", 100) + "T1": either("T1", "a"),
		"https://u:p@x.example:99/T1":                           either("T1"),
	} {
		got, err := parseThread(text)
		if !slices.Equal(got, want) || (err == nil) != (want != nil) {
			t.Errorf("%q: %v, %v, want %v", text, got, err, want)
		}
	}
	refs, err := parseThread("https://x.example/a/b/c/d/e/f/g/h/i/j/k/l/m/n/T1")
	if err != nil || len(refs) != 2*maxIDs || refs[0].thread != "T1" {
		t.Errorf("a long link: %v, %v", refs, err)
	}
}

// Whatever the message and the offsets are, what is shown of it stays in its
// lines and cannot steer a terminal.
func FuzzSnippet(f *testing.F) {
	f.Add("Where is my parcel?", 12, 18)
	f.Add("\x1b[2J\u202e\u0007"+strings.Repeat("x", 300), 3, 250)
	f.Add("👩‍👩‍👧 日本語 "+strings.Repeat("語", 90), 2, 5)
	f.Add("\xff\n\r\u0085\u2028", 0, 9)
	f.Add("", -1, 0)
	f.Fuzz(func(t *testing.T, text string, start, end int) {
		for line := range strings.SplitSeq(wrap(noTerminal, 8, 8, (&evidenceTexts{}).snippet(text, rules.Evidence{Start: start, End: end})), "\n") {
			if n := uniseg.StringWidth(line); n > noTerminal {
				t.Errorf("%d columns: %q", n, line)
			}
			for _, r := range line {
				if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
					t.Errorf("%U in %q", r, line)
				}
			}
		}
	})
}

func TestSnippet(t *testing.T) {
	t.Parallel()
	text := "Où est " + strings.Repeat("très ", 20) + "mon colis? " + strings.Repeat("vite ", 20)
	long := strings.Repeat("a", 200)
	for _, test := range []struct {
		text       string
		start, end int
		want       string
	}{
		{"Où est mon colis?", 11, 16, "Où est mon >>colis<<?"},
		{"x", 0, 1, ">>x<<"},
		{"ab", 1, 1, "a>><<b"},
		{text, 111, 116, "…" + string([]rune(text)[71:111]) + ">>colis<<" + string([]rune(text)[116:156]) + "…"},
		{long, 0, 200, ">>" + long[:maxShown] + " … " + long[:maxShown] + "<<"},
		{"x", 0, 2, "(the message in LIVECHAT_EVENTS is another than the one decided on)"},
		{"x", 1, 0, "(the message in LIVECHAT_EVENTS is another than the one decided on)"},
		{"x", -1, 0, "(the message in LIVECHAT_EVENTS is another than the one decided on)"},
	} {
		if got := (&evidenceTexts{}).snippet(test.text, rules.Evidence{Start: test.start, End: test.end}); got != test.want {
			t.Errorf("%q %d to %d:\n%s\nwant\n%s", test.text, test.start, test.end, got, test.want)
		}
	}
}

// Nothing that a record may hold can steer a terminal or leaves its columns.
func TestExplanationIsSafe(t *testing.T) {
	t.Parallel()
	bad := "\x1b[2J\u202e\u0085\n" + strings.Repeat("x", 150) + "日本 語"
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	text := bad
	hit := rules.Hit{Tag: bad, Rule: bad, More: 1, Evidence: []rules.Evidence{{EventID: bad, Author: transcript.Author(bad), Field: bad, Term: bad, End: 3}}}
	skips := []rules.Skip{{Tag: bad, Rule: bad, Why: bad}}
	d := decision.Record{
		ChatID: bad, ThreadID: bad, DecidedAt: now, Reason: bad, RulesVersion: bad, More: 1, Tags: []rules.Hit{hit}, Shadow: []rules.Hit{hit},
		NearMisses: []rules.NearMiss{{Tag: bad, Rule: bad, Missing: bad}, {Tag: bad, Rule: bad, Missing: "none: " + bad}}, Skipped: skips,
	}
	e := &explanation{
		OrganizationID: "o", ChatID: "c", ThreadID: "t", Decision: &d, RulesInForce: bad, RetryAt: &now, TimerAt: &now,
		Earlier:     []earlierDecision{{DecidedAt: now, Reason: bad, Tags: []string{bad}}},
		Calls:       []madeCall{{At: now, Call: decision.Call{Op: bad, Tag: bad, State: bad, Result: bad}}},
		DeadLetters: []deadLetter{{At: now, Stage: "apply", Reason: bad}},
		Texts:       &evidenceTexts{AsDecided: true, Fields: []evidenceText{{EventID: bad, Field: bad, Text: &text, number: 1}}},
	}
	m := transcript.Message{EventID: bad, Author: transcript.Customer, Texts: []transcript.Text{{Field: bad, Text: text}}}
	e.Texts.chat = &transcript.Transcript{Messages: []transcript.Message{m, m}}
	var b bytes.Buffer
	s := &session{stdout: bufio.NewWriter(&b), width: noTerminal}
	s.printExplanation(e, shown(bad))
	s.printVerdicts(e, s.newScreen("never"), false, "")
	s.printListed(&d)
	if err := s.json(e); err != nil {
		t.Fatal(err)
	}
	if err := s.stdout.Flush(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
	for i, line := range lines {
		if n := uniseg.StringWidth(line); n > noTerminal && i < len(lines)-1 { // the last is the JSON
			t.Errorf("%d columns: %q", n, line)
		}
		for _, r := range line {
			if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
				t.Errorf("%U in %q", r, line)
			}
		}
	}
	var back struct{ Decision decision.Record }
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &back); err != nil || back.Decision.Reason != bad {
		t.Errorf("%v: the JSON says %q", err, back.Decision.Reason)
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                  "    ",
		"a b":                               "    a b",
		strings.Repeat("x", 96):             "    " + strings.Repeat("x", 96),
		strings.Repeat("x", 100):            "    " + strings.Repeat("x", 96) + "\n      xxxx",
		strings.Repeat("x", 95) + " y":      "    " + strings.Repeat("x", 95) + "\n      y",
		strings.Repeat("x", 94) + " y":      "    " + strings.Repeat("x", 94) + " y",
		"a " + strings.Repeat("日", 48):      "    a\n      " + strings.Repeat("日", 47) + "\n      日",
		strings.Repeat("x", 94) + "  yy zz": "    " + strings.Repeat("x", 94) + " \n      yy zz",
		strings.Repeat("👩‍👩‍👧", 49):         "    " + strings.Repeat("👩‍👩‍👧", 48) + "\n      👩‍👩‍👧",
	} {
		if got := wrap(100, 4, 6, text); got != want {
			t.Errorf("%q gives\n%s\nwant\n%s", text, got, want)
		}
	}
	narrow := "                    " // of 40 columns 20 are left
	if got, want := wrap(40, 71, 71, "one two three four five six"), narrow+"one two three four\n"+narrow+"five six"; got != want {
		t.Errorf("at 40 columns:\n%s\nwant\n%s", got, want)
	}
}

func TestSince(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	var unset sinceFlag
	if got := unset.from(now); !got.Equal(now.Add(-24 * time.Hour)) {
		t.Errorf("default: %v", got)
	}
	for text, want := range map[string]time.Time{
		"2h":                        now.Add(-2 * time.Hour),
		"1h30m":                     now.Add(-90 * time.Minute),
		"7d":                        now.Add(-7 * 24 * time.Hour),
		"2020-02-29":                time.Date(2020, 2, 29, 0, 0, 0, 0, time.UTC),
		"2020-02-29T10:00:00+02:00": time.Date(2020, 2, 29, 8, 0, 0, 0, time.UTC),
		"2020-02-29T10:00:00.5Z":    time.Date(2020, 2, 29, 10, 0, 0, 5e8, time.UTC),
	} {
		var f sinceFlag
		if err := f.Set(text); err != nil || !f.from(now).Equal(want) || f.String() != text {
			t.Errorf("%s: %v, %v, want %v", text, f.from(now), err, want)
		}
	}
	for _, text := range []string{"", "0s", "0d", "-1h", "-1d", "d", "1.5d", "99999d", "2020-02-30", "2020-02-29 10:00", "now", "2999-01-01"} {
		f := sinceFlag{text: "24h"}
		if err := f.Set(text); err == nil || f.text != "24h" {
			t.Errorf("%q: %v, %+v", text, err, f)
		}
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	if got := hosts("nats://u:secret@a:1, tls://secret@b:2,c:3,secret@[::1]:4"); got != "a:1, b:2, c:3, [::1]:4" {
		t.Error(got)
	}
}
