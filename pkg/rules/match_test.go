package rules

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"autotag/pkg/transcript"
)

func TestEvidence(t *testing.T) {
	t.Parallel()
	set := mustParse(t, `
lists: {carriers: [dhl, {all: [fed, ex]}, {list: post}], post: [mail]}
rules:
  - tag: chat
    all: [refund*, {list: carriers}]
    any: [{any: [later, {all: [nothere, refund*]}]}, "money back"]
    none: [veto]
  - tag: message
    within: message
    all: [{list: carriers}, late]
  - tag: many
    any: [a, b, c, d, e, f, g]
`)
	for _, test := range []struct {
		says string
		chat *transcript.Transcript
		want []Hit
	}{
		{"of each term the earliest find; a list names its entry; what does not hold is not named",
			chat("c: DHL and mail", "a: I refunded", "c: money  back, refund, fed"),
			[]Hit{{Tag: "chat", Rule: "chat", Evidence: []Evidence{
				{"T_1", transcript.Customer, "text", "carriers: dhl", 0, 3},
				{"T_2", transcript.Agent, "text", "refund*", 2, 10},
				{"T_3", transcript.Customer, "text", "money back", 0, 11},
			}}}},
		{"a list in a list, a group in a list",
			chat("c: mail ex fed, money back refund"),
			[]Hit{{Tag: "chat", Rule: "chat", Evidence: []Evidence{
				{"T_1", transcript.Customer, "text", "carriers: post: mail", 0, 4},
				{"T_1", transcript.Customer, "text", "money back", 13, 23},
				{"T_1", transcript.Customer, "text", "refund*", 24, 30},
			}}}},
		{"within message only messages that satisfy the rule",
			chat("c: dhl", "c: late", "c: late mail", "c: dhl late"),
			[]Hit{{Tag: "message", Rule: "message", Evidence: []Evidence{
				{"T_3", transcript.Customer, "text", "late", 0, 4},
				{"T_3", transcript.Customer, "text", "carriers: post: mail", 5, 9},
			}}}},
		{"at most five, the rest counted",
			chat("c: g f e", "c: d c b a"),
			[]Hit{{Tag: "many", Rule: "many", More: 2, Evidence: []Evidence{
				{"T_1", transcript.Customer, "text", "g", 0, 1},
				{"T_1", transcript.Customer, "text", "f", 2, 3},
				{"T_1", transcript.Customer, "text", "e", 4, 5},
				{"T_2", transcript.Customer, "text", "d", 0, 1},
				{"T_2", transcript.Customer, "text", "c", 2, 3},
			}}}},
	} {
		t.Run(test.says, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(test.want, set.Match(test.chat).Tags); diff != "" {
				t.Errorf("hits differ (-want +got):\n%s", diff)
			}
		})
	}
}

// The place of a find is counted in code points of the text as the platform
// sent it, markup and all.
func TestEvidencePlace(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		term, text, want string
		markdown         bool
	}{
		{term: "refund", text: "😀 my refund!", want: "refund"},
		{term: "cafe", text: "un cafe\u0301 noir", want: "cafe\u0301"},
		{term: "strasse", text: "die Straße 1", want: "Straße"},
		{term: "final", text: "eﬀ ﬁnal.", want: "ﬁnal"},
		{term: "money back", text: "xx money \n - \u00a0back", want: "money \n - \u00a0back"},
		{term: "refund*", text: "two refundings here", want: "refundings"},
		{term: "환불*", text: "전액환불을", want: "환불"},
		{term: "refund", text: "re\u00adfund", want: "re\u00adfund"},
		{term: "👩‍💻", text: "a👩🏽‍💻b", want: "👩🏽‍💻"},
		{term: "❤", text: "a ❤️ b", want: "❤️"},
		{term: "{contains: und}", text: "réfundé", want: "und"},
		{term: `{regex: 'o+'}`, text: "é foo", want: "oo"},
		{term: `{regex: '$'}`, text: "é foo", want: ""},
		{term: `{canned: "Hi %n%!"}`, text: " **Hi** Bob! ", want: "Hi** Bob!"},
		{term: "refund now", text: "é **refund** [now](http://x.example)", want: "refund** [now", markdown: true},
		{term: "a & b", text: "é a &amp; b", want: "a &amp; b", markdown: true},
		{term: "'*x*'", text: `é \*x\*`, want: `\*x\*`, markdown: true},
		{term: "first second", text: "> é first\n>\n> second", want: "first\n>\n> second", markdown: true},
		{term: "code", text: "é\n\n    some code\n", want: "code", markdown: true},
		{term: "shop", text: "é <https://shop.example>", want: "shop", markdown: true},
		{term: "{regex: 'bold text'}", text: "é **bold** _text_", want: "bold** _text", markdown: true},
	} {
		t.Run(test.term+" in "+test.text, func(t *testing.T) {
			t.Parallel()
			who := "c: "
			if test.markdown {
				who = "cm: "
			}
			hits := mustParse(t, termRule(test.term)).Match(chat(who + test.text)).Tags
			if len(hits) != 1 || len(hits[0].Evidence) != 1 {
				t.Fatalf("hits %+v", hits)
			}
			e := hits[0].Evidence[0]
			if got := string([]rune(test.text)[e.Start:e.End]); got != test.want {
				t.Errorf("found %+q at %d to %d, want %+q", got, e.Start, e.End, test.want)
			}
		})
	}
}

func TestEvidenceField(t *testing.T) {
	t.Parallel()
	tr := &transcript.Transcript{Complete: true, Messages: []transcript.Message{{
		EventID: "T_9", Author: transcript.Customer, Texts: []transcript.Text{
			{Field: "answer:1", Text: "x"}, {Field: "answer:2:7", Text: "a refund"}, {Field: "answer:3", Text: "refund"}},
	}}}
	want := []Evidence{{"T_9", transcript.Customer, "answer:2:7", "refund", 2, 8}}
	if diff := cmp.Diff(want, mustParse(t, termRule("refund")).Match(tr).Tags[0].Evidence); diff != "" {
		t.Errorf("evidence differs (-want +got):\n%s", diff)
	}
}

func TestNearMisses(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		says, rule string
		chat       []string
		want       string // "" for none
	}{
		{"one entry of all is missing", "{tag: t, all: [a, b]}", []string{"c: a"}, "b"},
		{"two entries are missing", "{tag: t, all: [a, b, c]}", []string{"c: a"}, ""},
		{"no positive term is found", "{tag: t, all: [a]}", []string{"c: b"}, ""},
		{"an entry that is a group", "{tag: t, all: [a, {any: [b, {list: l}]}]}", []string{"c: a"}, "any: [b, list: l]"},
		{"any is missing", "{tag: t, all: [a], any: [b]}", []string{"c: a"}, ""},
		{"an any entry lacks one thing", "{tag: t, any: [x, {all: [a, b]}]}", []string{"c: b"}, "a"},
		{"one veto", "{tag: t, any: [a], none: [x, z]}", []string{"c: a x"}, "none: x"},
		{"two vetoes", "{tag: t, any: [a], none: [x, z]}", []string{"c: a x z"}, ""},
		{"a veto alone is no positive term", "{tag: t, any: [a], none: [x]}", []string{"c: x"}, ""},
		{"a veto and a missing entry", "{tag: t, all: [a, b], none: [x]}", []string{"c: a x"}, ""},
		{"min of the rule by one", "{tag: t, min: 2, any: [a]}", []string{"c: a"}, "min: 2 (found in 1)"},
		{"min of the rule by two", "{tag: t, min: 3, any: [a]}", []string{"c: a"}, ""},
		{"min of a term by one", "{tag: t, any: [{word: a, min: 2}]}", []string{"c: a"}, "a, min: 2 (found in 1)"},
		{"min of a term of which nothing is found", "{tag: t, any: [{word: a, min: 2}, {word: b, min: 3}]}", []string{"c: b"}, ""},
		{"within message one message lacks one thing", "{tag: t, within: message, all: [a, b]}", []string{"c: a", "c: b"}, "b"},
		{"within message min by one", "{tag: t, within: message, min: 2, all: [a, b]}", []string{"c: a b", "c: a"}, "min: 2 (found in 1)"},
		{"within message min by two", "{tag: t, within: message, min: 3, all: [a, b]}", []string{"c: a b", "c: a"}, ""},
		{"the wrong group is no near miss", "{tag: t, groups: [7], all: [a]}", []string{"c: a"}, ""},
		{"the wrong side is no find", "{tag: t, from: agent, all: [a, b]}", []string{"c: a"}, ""},
		{"a rule that matches is no near miss", "{tag: t, any: [a]}", []string{"c: a"}, ""},
		{"a shadow rule too", "{tag: t, status: shadow, all: [a, b]}", []string{"c: a"}, "b"},
		{"an off rule says nothing", "{tag: t, status: off, all: [a, b]}", []string{"c: a"}, ""},
	} {
		t.Run(test.says, func(t *testing.T) {
			t.Parallel()
			want := []NearMiss{}
			if test.want != "" {
				want = append(want, NearMiss{Tag: "t", Rule: "t", Missing: test.want})
			}
			got := mustParse(t, "lists: {l: [m]}\nrules: ["+test.rule+"]\n").Match(chat(test.chat...)).NearMisses
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("near misses differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAtMostTwentyNearMisses(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("rules:\n")
	for i := range 30 {
		fmt.Fprintf(&b, "  - {tag: t%d, all: [a, b%d]}\n", i, i)
	}
	got := mustParse(t, b.String()).Match(chat("c: a")).NearMisses
	if len(got) != 20 || got[0].Tag != "t0" || got[19].Tag != "t19" {
		t.Errorf("%d near misses: %+v", len(got), got)
	}
}

func TestSkipped(t *testing.T) {
	t.Parallel()
	tr := chat("c: a")
	tr.Tagged = []string{"vip"}
	result := mustParse(t, `
rules:
  - {tag: t, set: s, any: [a]}
  - {tag: u, set: s, any: [a]}
  - {tag: v, unless_tagged: [vip], any: [a]}
  - {tag: w, unless_tagged: [vip], any: [b]}
`).Match(tr)
	want := []Skip{{"u", "u", WhySet}, {"v", "v", WhyUnlessTagged}}
	if diff := cmp.Diff(want, result.Skipped); diff != "" {
		t.Errorf("skipped differ (-want +got):\n%s", diff)
	}
}

func TestResultOfNothing(t *testing.T) {
	t.Parallel()
	want := Result{Tags: []Hit{}, Shadow: []Hit{}, NearMisses: []NearMiss{}, Skipped: []Skip{}}
	if diff := cmp.Diff(want, new(Set).Match(new(transcript.Transcript))); diff != "" {
		t.Errorf("result differs (-want +got):\n%s", diff)
	}
	fallback := mustParse(t, "rules: [{tag: f, fallback: true}]\n").Match(chat())
	if diff := cmp.Diff([]Hit{{Tag: "f", Rule: "f", Evidence: []Evidence{}}}, fallback.Tags); diff != "" {
		t.Errorf("fallback differs (-want +got):\n%s", diff)
	}
}

func TestIsBlank(t *testing.T) {
	t.Parallel()
	d := new(document)
	for _, s := range []string{"", " ", "\t\n\u00a0\u3000", "\u00ad\u200b\ufeff", "\u200e \u2060", "ـ", "\ufe0f"} {
		if !d.isBlank(s) {
			t.Errorf("%+q is not empty", s)
		}
	}
	for _, s := range []string{"a", ".", "-", "👍🏽", "🏽", "\u0301", "ª", "ー"} {
		if d.isBlank(s) {
			t.Errorf("%+q is empty", s)
		}
	}
}

// Markup around a placeholder is no text to look for.
func TestCannedOfPlaceholdersOnly(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"%a%", "%a% %b%", "**%a%**", "# %a%\n\n%b%"} {
		if _, _, found := referenceCanned(text, options{}).find(fold(plainChars("hello there"), options{})); found {
			t.Errorf("%q is found", text)
		}
	}
}

// A set is shared by workers, and compiles its terms when the first one asks.
func TestMatchByManyGoroutines(t *testing.T) {
	t.Parallel()
	set := mustParse(t, "rules: [{tag: t, any: [refund*, {regex: 'r.fund'}, {canned: 'a %b%'}]}]\n")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if tags := set.Match(chat("cm: a **refund**")).TagSet(); len(tags) != 1 {
				t.Errorf("tags %q", tags)
			}
		})
	}
	wg.Wait()
}

// A wildcard in a script without word ends takes no square of the text's length.
func TestWildcardInOneLongRun(t *testing.T) {
	t.Parallel()
	set := mustParse(t, termRule("환불* 정책"))
	if tags := set.Match(chat("c: " + strings.Repeat("환불", 20_000))).TagSet(); len(tags) != 0 {
		t.Errorf("tags %q", tags)
	}
}

// One list may be used by others many times over without its terms being
// looked at as often.
func TestListsOfLists(t *testing.T) {
	t.Parallel()
	entries := []*Term{{Kind: Literal, Text: "refund", Min: 1}}
	for i := range 64 {
		list := func() *Term { return &Term{Kind: List, Text: fmt.Sprint("l", i), Entries: entries, Min: 1} }
		entries = []*Term{list(), list()}
	}
	set := &Set{Rules: []*Rule{{Name: "t", Tag: "t", Status: Active, Body: Term{Kind: Group, Any: entries, None: []*Term{{Kind: Literal, Text: "x"}}, Min: 1}}}}
	if hits := set.Match(chat("c: a refund")).Tags; len(hits) != 1 {
		t.Errorf("hits %+v", hits)
	}
	if near := set.Match(chat("c: x refund")).NearMisses; len(near) != 1 {
		t.Errorf("near misses %+v", near)
	}
}

// The largest transcript and a long rules file take seconds at most.
func BenchmarkMatchLongTranscript(b *testing.B) {
	words := strings.Fields("hello I would like to know where my parcel is since it was said to be here on Monday and nothing came thank you for the help so far")
	var lines []string
	for i := range 5000 {
		var line []string
		for j := range 20 {
			line = append(line, words[(i*7+j*j)%len(words)])
		}
		lines = append(lines, "c: "+strings.Join(line, " "))
	}
	tr := chat(lines...)
	for _, rules := range []int{10, 300, 1000} {
		var f strings.Builder
		f.WriteString("rules:\n")
		for i := range rules {
			within := "chat"
			if i%2 == 0 {
				within = "message"
			}
			fmt.Fprintf(&f, "  - {tag: t%d, within: %s, any: [refund%d, 'money back %d', charge%d*, parcel, {regex: 'order #%d'}], all: [where], none: [policy%d]}\n", i, within, i, i, i, i%10, i)
		}
		set := mustParse(b, f.String())
		b.Run(fmt.Sprint(rules), func(b *testing.B) {
			for b.Loop() {
				set.Match(tr)
			}
		})
	}
}

// checkPlaces fails where evidence does not lie in the field that it names.
func checkPlaces(t interface{ Fatalf(string, ...any) }, tr *transcript.Transcript, result Result) {
	fields := map[string]int{}
	for _, m := range tr.Messages {
		for _, text := range m.Texts {
			fields[m.EventID+"|"+text.Field] = utf8.RuneCountInString(text.Text)
		}
	}
	for _, h := range append(result.Tags, result.Shadow...) {
		for _, e := range h.Evidence {
			n, ok := fields[e.EventID+"|"+e.Field]
			if !ok || e.Start < 0 || e.End < e.Start || e.End > n {
				t.Fatalf("evidence %+v of a field of %d code points", e, n)
			}
		}
	}
}
