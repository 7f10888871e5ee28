package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const coveredRules = `version: 1
lists:
  carriers: [dhl, ups]
  unused: [fax]
rules:
  - {tag: a, any: [one, two], none: [veto]}
  - tag: b
    from: agent
    all: [three, {any: [four, {list: carriers}]}]
  - {tag: c, first: 1, any: [five]}
  - {tag: d, any: [{list: carriers}]}
  - {tag: e, status: off, any: [six]}
  - {tag: f, groups: [7], any: [seven]}
  - {tag: g, fallback: true}
`

func readCases(t *testing.T, set *Set, text string) []Case {
	t.Helper()
	tests, ps := ParseTests("rules_test.yaml", []byte(text), set)
	if tests == nil {
		t.Fatal(ps)
	}
	return tests.Cases
}

func names(ps []TermPlace) string {
	var names []string
	for _, p := range ps {
		names = append(names, fmt.Sprintf("%s%s:%d:%d %s", p.Rule, p.List, p.Line, p.Column, p.Term))
	}
	return strings.Join(names, ", ")
}

func TestCoverage(t *testing.T) {
	t.Parallel()
	set := readRules(t, strings.Replace(coveredRules, "  unused: [fax]\n", "", 1))
	c := set.Coverage(readCases(t, set, `tests:
  - "one": [a]
  - "dhl": [d]
  - {chat: [{agent: x}, {customer: three five seven}], tags: [g]}
  - "six": [g]
`))
	var got []string
	for _, r := range c.ByRule {
		got = append(got, fmt.Sprintf("%s %v %d/%d %s", r.Rule, r.Matched, r.Covered, r.Total, names(r.Uncovered)))
	}
	for _, l := range c.ByList {
		got = append(got, fmt.Sprintf("list %s %d/%d %s", l.List, l.Covered, l.Total, names(l.Uncovered)))
	}
	want := []string{
		"a true 1/3 a:5:25 two, a:5:38 veto",
		"b false 0/2 b:8:11 three, b:8:25 four", // by a customer
		"c false 0/1 c:9:30 five",               // not the first message
		"d true 0/0 ",
		"f false 0/1 f:12:33 seven", // in another group
		"g true 0/0 ",
		"list carriers 1/2 carriers:3:19 ups",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("coverage (-want +got):\n%s", diff)
	}
	if c.Rules != (Share{3, 6}) || c.Terms != (Share{2, 9}) {
		t.Errorf("rules %v, terms %v", c.Rules, c.Terms)
	}
}

func TestMutate(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ name, rules, tests, unnoticed string }{
		{"any", `{tag: a, any: [one, two]}`, `"one": [a]`, "a:2:25 two"},
		{"the same chat has both", `{tag: a, any: [one, two]}`, `"one two": [a]`, "a:2:20 one, a:2:25 two"},
		{"evidence", `{tag: a, any: [one, two]}`, `"one two": [{tag: a, evidence: [one, two]}]`, ""},
		{"a condition", `{tag: a, all: [one, two]}`, `"one two": [a]`, "a:2:20 one, a:2:25 two"},
		{"a condition that is missing", `{tag: a, all: [one, two]}`, "\"one\": []\n  - \"two\": []", ""},
		{"the only word", `{tag: a, all: [one]}`, `"two": []`, "a:2:20 one"},
		{"the only entry of any", `{tag: a, any: [one], all: [two]}`, `"two": []`, "a:2:32 two"},
		{"a veto", `{tag: a, any: [one], none: [two]}`, `"one": [a]`, "a:2:33 two"},
		{"a veto that is found", `{tag: a, any: [one], none: [two]}`, "\"one\": [a]\n  - \"one two\": []", ""},
		{"a nested group", `{tag: a, all: [one, {any: [two, three]}]}`, "\"one\": []\n  - \"one two\": [a]", "a:2:20 one, a:2:37 three"},
		{"a group that goes", `{tag: a, all: [one, {any: [two]}]}`, "\"one\": []\n  - \"two\": []", ""},
		{"a veto of a veto", `{tag: a, any: [one], none: [{none: [two]}, three]}`, `"one": []`, "a:2:20 one, a:2:48 three"},
		{"what is left holds without words", `{tag: a, all: [one, {none: [two]}]}`, "\"x\": []\n  - \"one two\": []", "a:2:20 one"},
		{"a failing test notices nothing", `{tag: a, any: [one]}`, "\"one\": []", "a:2:20 one"},
		{"a fallback", "{tag: a, any: [one]}\n  - {tag: b, fallback: true}", "{chat: [{customer: one}], not_tags: [b]}", ""},
		{"a set", "{tag: a, set: s, any: [one]}\n  - {tag: b, set: s, any: [two]}", "{chat: [{customer: one two}], not_tags: [b]}", "b:3:28 two"},
		{"an anchor", "{tag: a, any: &x [one, two]}\n  - {tag: b, any: *x}", "{chat: [{customer: one}], not_tags: []}\n  - \"two\": [a, b]", "a:2:23 one"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			text := "rules:\n  - " + tc.rules + "\nversion: 1\n"
			set, ps := Parse("rules.yaml", []byte(text))
			if set == nil {
				t.Fatal(ps)
			}
			m := set.Mutate(readCases(t, set, "tests:\n  - "+tc.tests+"\n"))
			if got := names(m.Unnoticed); got != tc.unnoticed {
				t.Errorf("unnoticed: %s, want %s", got, tc.unnoticed)
			}
			if m.Noticed+len(m.Unnoticed) != m.Terms {
				t.Errorf("%+v", m)
			}
		})
	}
}

// Only tests that ask what comes of a rule cover it and its terms.
func TestCoverageOfWhatIsAsked(t *testing.T) {
	t.Parallel()
	set := readRules(t, `version: 1
rules:
  - {tag: a, any: [one]}
  - {tag: b, any: [one]}
  - {tag: c, status: shadow, any: [one]}
`)
	for _, tc := range []struct{ test, matched string }{
		{`"one": [a, b]`, "a b"},
		{`{chat: [{customer: one}], not_tags: []}`, ""},
		{`{chat: [{customer: one}], tags: [a, b], shadow: [c]}`, "a b c"},
		{`{chat: [{customer: one}], not_tags: [], shadow: [c]}`, "c"},
		{`{chat: [{customer: one}], not_tags: [b]}`, "b"}, // it fails, and asks
	} {
		c := set.Coverage(readCases(t, set, "tests:\n  - "+tc.test+"\n"))
		var matched, found []string
		for _, r := range c.ByRule {
			if r.Matched {
				matched = append(matched, r.Rule)
			}
			if r.Covered > 0 {
				found = append(found, r.Rule)
			}
		}
		if got := strings.Join(matched, " "); got != tc.matched {
			t.Errorf("%s: matched %q, want %q", tc.test, got, tc.matched)
		}
		if got := strings.Join(found, " "); got != tc.matched {
			t.Errorf("%s: terms found of %q, want %q", tc.test, got, tc.matched)
		}
	}
}

// Coverage and Mutate say what the straightforward ways say, and taking a term
// out is the same as writing the file without.
func TestCoverageAndMutateOfAnyRules(t *testing.T) {
	t.Parallel()
	noticed, unnoticed, covered, edits := 0, 0, 0, 0
	rapid.Check(t, func(t *rapid.T) {
		f := drawFile(t)
		text, parts, _ := f.write()
		set, _ := Parse("rules.yaml", []byte(text))
		if set == nil {
			return
		}
		var cases []Case
		for range 5 {
			cases = append(cases, drawTest(t, set))
		}
		unmissed := set.mutateReference(cases)
		if diff := cmp.Diff(names(unmissed), names(set.Mutate(cases).Unnoticed)); diff != "" {
			t.Fatalf("unnoticed (-straightforward +Mutate): %s\n%s", diff, text)
		}
		noticed, unnoticed = noticed+len(set.places())-len(unmissed), unnoticed+len(unmissed)

		matched, found := set.coverageReference(cases)
		c := set.Coverage(cases)
		for _, r := range c.ByRule {
			if r.Matched != matched[r.Rule] {
				t.Fatalf("rule %s matched: %v\n%s", r.Rule, r.Matched, text)
			}
		}
		uncovered := map[place]bool{}
		for _, r := range c.ByRule {
			for _, p := range r.Uncovered {
				uncovered[place{p.Line, p.Column}] = true
			}
		}
		for _, l := range c.ByList {
			for _, p := range l.Uncovered {
				uncovered[place{p.Line, p.Column}] = true
			}
		}
		for _, p := range set.places() {
			at := place{p.Line, p.Column}
			if found[at] == uncovered[at] {
				t.Fatalf("%s is covered: %v\n%s", names([]TermPlace{p}), !uncovered[at], text)
			}
		}
		covered += len(found)

		for _, p := range set.places() {
			without := set.without(place{p.Line, p.Column})
			part := parts[p.Line]
			part.dropped = true
			shorter, _, ok := f.write()
			part.dropped = false
			if !ok {
				continue
			}
			edited, _ := Parse("rules.yaml", []byte(shorter))
			if edited == nil {
				continue // it is at fault, as where a list is left empty
			}
			for _, c := range cases {
				edits++
				want, got := edited.Match(c.Chat), matchReference(without, set.search(c.Chat))
				if diff := cmp.Diff(want.TagSet(), got.TagSet()) + cmp.Diff(tagSet(want.Shadow), tagSet(got.Shadow)); diff != "" {
					t.Fatalf("without %s (-the file, +Mutate):\n%s\n%s", names([]TermPlace{p}), diff, text)
				}
			}
		}
	})
	if noticed == 0 || unnoticed == 0 || covered == 0 || edits == 0 {
		t.Errorf("%d terms noticed, %d not, %d covered, %d edits", noticed, unnoticed, covered, edits)
	}
}

// drawTest draws a test that mostly holds.
func drawTest(t *rapid.T, set *Set) Case {
	c := Case{Chat: drawChat(t)}
	result := set.Match(c.Chat)
	switch rapid.IntRange(0, 3).Draw(t, "asks") {
	case 0:
		c.NotTags = []string{"t1", "none"}
	case 1:
		c.Shadow = tagSet(result.Shadow)
		fallthrough
	default:
		c.Tags = result.TagSet()
		for _, h := range result.Tags {
			w := Want{Tag: h.Tag, Rule: h.Rule}
			for _, e := range h.Evidence {
				w.Evidence = append(w.Evidence, wording(c.Chat, e))
			}
			if rapid.Bool().Draw(t, "evidence") {
				c.Wants = append(c.Wants, w)
			}
		}
	}
	return c
}

// An entry of a list counts once, and its loss is felt wherever the list is used.
func TestMutateLists(t *testing.T) {
	t.Parallel()
	set := readRules(t, strings.Replace(coveredRules, "  unused: [fax]\n", "", 1))
	m := set.Mutate(readCases(t, set, `tests:
  - "dhl": [d]
  - {chat: [{agent: three ups}], tags: [b, d]}
  - {chat: [{agent: three}], tags: [g]}
`))
	if got := names(m.Unnoticed); strings.Contains(got, "carriers") || !strings.Contains(got, "four") || m.Terms != 9 {
		t.Errorf("%d terms, unnoticed: %s", m.Terms, got)
	}
}

// The tests that come with the program see every rule, and would miss at least
// 95 of 100 terms.
func TestShippedTestsAreThorough(t *testing.T) {
	t.Parallel()
	set, tests := shipped(t)
	if c := set.Coverage(tests.Cases); c.Rules.Covered < c.Rules.Total || c.Terms.Percent() < 95 {
		t.Errorf("coverage: %+v", c)
	}
	if m := set.Mutate(tests.Cases); m.Share().Percent() < 95 {
		t.Errorf("no test would miss %s", names(m.Unnoticed))
	}
}

// Taking a word out of the file by hand says the same as Mutate.
func TestMutateIsAnEdit(t *testing.T) {
	t.Parallel()
	set, tests := shipped(t)
	m := set.Mutate(tests.Cases)
	text := readConfig(t, "rules.yaml")
	lines := strings.Split(string(text), "\n")
	checked := 0
	for _, p := range set.places() {
		line := []rune(lines[p.Line-1])
		rest := string(line[p.Column-1:])
		if !strings.HasPrefix(rest, p.Term+", ") { // plain words that are not the last
			continue
		}
		edited := slices.Clone(lines)
		edited[p.Line-1] = string(line[:p.Column-1]) + strings.TrimPrefix(rest, p.Term+", ")
		less, _ := Parse("rules.yaml", []byte(strings.Join(edited, "\n")))
		if less == nil {
			continue
		}
		noticed := slices.ContainsFunc(tests.Cases, func(c Case) bool {
			missing, extra := c.Run(less)
			return len(missing)+len(extra) > 0
		})
		if noticed == slices.Contains(m.Unnoticed, p) {
			t.Errorf("%s: noticed %v when it is taken out of the file", names([]TermPlace{p}), noticed)
		}
		checked++
	}
	if checked < 20 {
		t.Errorf("only %d words checked", checked)
	}
}
