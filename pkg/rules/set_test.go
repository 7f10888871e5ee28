package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"autotag/pkg/transcript"
)

func readRules(t testing.TB, file string) *Set {
	t.Helper()
	set, ps := Parse("rules.yaml", []byte(file))
	if set == nil {
		t.Fatalf("parse:\n%s", ps)
	}
	return set
}

var noPlaces = cmp.Options{
	cmpopts.IgnoreFields(Term{}, "Line", "Column"),
	cmpopts.IgnoreFields(Rule{}, "Line", "Column"),
	cmpopts.EquateEmpty(),
}

func TestSet(t *testing.T) {
	t.Parallel()
	const file = `version: 1
defaults: {from: customer, case: exact, status: shadow}
lists:
  carriers: [dhl, {word: UPS, case: folded}, {list: more, last: 2}]
  more: [gls, {regex: 'f.dex', first: 1}]
rules:
  - tag: refund
    any: [refund*, {contains: back, accents: exact, min: 2}]
  - tag: refund
    name: parcel
    from: anyone
    within: message
    status: active
    internal: true
    set: topic
    groups: [7, 0]
    unless_tagged: [vip, Late]
    case: folded
    first: 3
    min: 2
    all: [{list: carriers}, {any: [a, {word: b, last: 4}], none: [c], accents: exact}]
    none: [{canned: "Hi %name%"}]
  - {tag: refund, all: [404]}
  - {tag: unsorted, fallback: true}
`
	set := readRules(t, file)
	sum := sha256.Sum256([]byte(file))
	if want := hex.EncodeToString(sum[:]); set.Version != want {
		t.Errorf("version %s, want %s", set.Version, want)
	}
	want := []*Rule{
		{
			Name: "refund", Tag: "refund", Status: Shadow, From: FromCustomer, Within: WithinChat,
			Body: Term{Kind: Group, CaseExact: true, Min: 1, Any: []*Term{
				{Kind: Literal, Text: "refund*", CaseExact: true, Min: 1},
				{Kind: Contains, Text: "back", CaseExact: true, AccentsExact: true, Min: 2},
			}},
		},
		{
			Name: "parcel", Tag: "refund", Status: Active, From: FromAnyone, Within: WithinMessage, Internal: true,
			Set: "topic", Groups: []int{7, 0}, UnlessTagged: []string{"vip", "Late"},
			Body: Term{
				Kind: Group, Min: 2, First: 3,
				All: []*Term{
					{Kind: List, Text: "carriers", Min: 1, First: 3, Entries: []*Term{
						{Kind: Literal, Text: "dhl", Min: 1, First: 3},
						{Kind: Word, Text: "UPS", Min: 1, First: 3},
						{Kind: List, Text: "more", Min: 1, Last: 2, Entries: []*Term{
							{Kind: Literal, Text: "gls", Min: 1, Last: 2},
							{Kind: Regex, Text: "f.dex", Min: 1, First: 1},
						}},
					}},
					{
						Kind: Group, Min: 1, First: 3, AccentsExact: true,
						Any: []*Term{
							{Kind: Literal, Text: "a", Min: 1, First: 3, AccentsExact: true},
							{Kind: Word, Text: "b", Min: 1, Last: 4, AccentsExact: true},
						},
						None: []*Term{{Kind: Literal, Text: "c", Min: 1, First: 3, AccentsExact: true}},
					},
				},
				None: []*Term{{Kind: Canned, Text: "Hi %name%", Min: 1, First: 3}},
			},
		},
		{
			Name: "refund#2", Tag: "refund", Status: Shadow, From: FromCustomer, Within: WithinChat,
			Body: Term{Kind: Group, CaseExact: true, Min: 1, All: []*Term{{Kind: Literal, Text: "404", CaseExact: true, Min: 1}}},
		},
		{
			Name: "unsorted", Tag: "unsorted", Status: Shadow, From: FromCustomer, Within: WithinChat, Fallback: true,
			Body: Term{Kind: Group, CaseExact: true, Min: 1},
		},
	}
	if diff := cmp.Diff(want, set.Rules, noPlaces); diff != "" {
		t.Errorf("rules (-want +got):\n%s", diff)
	}
	if got := set.Rules[1]; got.Line != 9 || got.Column != 5 {
		t.Errorf("second rule at %d:%d", got.Line, got.Column)
	}
	if got := set.Rules[0].Body.Any[1]; got.Line != 8 || got.Column != 20 {
		t.Errorf("second term at %d:%d", got.Line, got.Column)
	}
	if got := set.Lists["more"]; len(got) != 2 || !got[0].CaseExact || got[0].Last != 0 {
		t.Errorf("list more: %+v", got)
	}
}

// The names that rules without one get count only the unnamed rules of a tag.
func TestNames(t *testing.T) {
	t.Parallel()
	set := readRules(t, `{version: 1, rules: [
  {tag: a, name: x, any: [w]}, {tag: a, any: [w]}, {tag: b, any: [w]}, {tag: a, name: y, any: [w]}, {tag: a, any: [w]}, {tag: a, any: [w]}]}`)
	var got []string
	for _, r := range set.Rules {
		got = append(got, r.Name)
	}
	if want := []string{"x", "a", "b", "y", "a#2", "a#3"}; !reflect.DeepEqual(got, want) {
		t.Errorf("names %q, want %q", got, want)
	}
}

// Scalars are texts as they are written, in whichever notation.
func TestScalars(t *testing.T) {
	t.Parallel()
	for written, want := range map[string]string{
		"404": "404", "1.0": "1.0", "007": "007", "0x1F": "0x1F", "1e3": "1e3", "yes": "yes", "on": "on", "No": "No", "true": "true",
		"2024-01-01": "2024-01-01", ".inf": ".inf", "1_000": "1_000", "+1": "+1", "'null'": "null", `"~"`: "~", "nUll": "nUll",
		"&a x": "x", "a#b": "a#b", "C++": "C++", "':)'": ":)", "'it''s'": "it's", `"a\tb"`: "a\tb", `'\d'`: `\d`,
		`"\ud83d\ude00"`: "😀", `"\uD83D\uDE00 \ud83d\uDE01"`: "😀 😁", `"\\ud83d\\ude00"`: `\ud83d\ude00`, `'\ud83d\ude00'`: `\ud83d\ude00`,
		`"\u00e9\/"`: "é/", `"\\/"`: `\/`, `'\/'`: `\/`, `'\\/ \/'`: `\\/ \/`, `"https:\/\/x"`: "https://x",
		"\"x\u2028y\"": "x\u2028y", "é": "é", "مرحبا": "مرحبا",
	} {
		set, ps := Parse("rules.yaml", []byte("version: 1\nrules:\n  - tag: t\n    any:\n      - "+written+"\n"))
		if set == nil {
			t.Errorf("%s:\n%s", written, ps)
			continue
		}
		if got := set.Rules[0].Body.Any[0]; got.Text != want || got.Kind != Literal || got.Line != 5 || got.Column != 9 {
			t.Errorf("%s: got %q at %d:%d, want %q", written, got.Text, got.Line, got.Column, want)
		}
	}
	// The escapes that stand in for others mean themselves where a file has them.
	set := readRules(t, `{"version": 1, "rules": [{"tag": "a\/b", "any": ["x\P", "y\L", "z\u2029", "q\v", "r\a"]}]}`)
	if got := set.Rules[0].Tag; got != "a/b" {
		t.Errorf("tag %q", got)
	}
	if got := set.Rules[0].Body.Any[0].Text; got != "x\u2029" {
		t.Errorf("text %q", got)
	}
}

// YAML's other ways to write a text, and comments wherever they may stand.
func TestYAMLForms(t *testing.T) {
	t.Parallel()
	for file, want := range map[string][]string{
		"yaml_forms": {"plain text over lines", "double quoted", "single\nquoted", "block\ntext\n", "folded text\n\n", "complex", "xx"},
		"comments":   {"bb", "cc", "g # no comment", "h i", "j # no comment"},
	} {
		data, err := os.ReadFile("testdata/good/" + file + ".yaml")
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, rule := range readRules(t, string(data)).Rules {
			for _, term := range rule.Body.Any {
				got = append(got, term.Text)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", file, diff)
		}
	}
}

// A list that many rules use is there once for each set of options.
func TestListsAreShared(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	b.WriteString("version: 1\nlists:\n  big:\n")
	for i := range 20_000 {
		fmt.Fprintf(&b, "    - w%d\n", i)
	}
	b.WriteString("rules:\n")
	for i := range 2_000 {
		fmt.Fprintf(&b, "  - {tag: t%d, any: [{list: big}, {list: big, case: exact}, {list: big, min: 2}]}\n", i)
	}
	set := readRules(t, b.String())
	first, last := set.Rules[0].Body.Any, set.Rules[1999].Body.Any
	for i := range first {
		if &first[i].Entries[0] != &last[i].Entries[0] {
			t.Errorf("use %d is a copy", i)
		}
	}
	if first[0].Entries[0] == first[1].Entries[0] || !first[1].Entries[0].CaseExact {
		t.Error("options of a use are not its own")
	}

	// Different options each time are refused before they fill the memory.
	rules := b.String()[:strings.Index(b.String(), "rules:")] + "rules:\n"
	for i := range 100 {
		rules += fmt.Sprintf("  - {tag: t%d, first: %d, any: [{list: big}]}\n", i, i+1)
	}
	set, ps := Parse("rules.yaml", []byte(rules))
	if set != nil || len(ps) != 1 || !strings.Contains(ps[0].Message, "so many different options") {
		t.Errorf("got %v\n%s", set != nil, ps)
	}
}

// What is built to be costly is refused, or read, in bounded time.
func TestBombs(t *testing.T) {
	t.Parallel()
	const head = "version: 1\nrules:\n  - tag: a\n    any:\n"
	nested := "version: 1\nlists:\n  a0: &a0 [x]\n"
	for i := 1; i < 5000; i++ {
		nested += fmt.Sprintf("  a%d: &a%d [{any: *a%d}]\n", i, i, i-1)
	}
	doubled := "version: 1\nlists:\n  a0: &a0 [x]\n"
	for i := 1; i < 100; i++ {
		doubled += fmt.Sprintf("  a%d: &a%d [{any: *a%d}, {any: *a%d}]\n", i, i, i-1, i-1)
	}
	files := map[string]string{
		"aliases doubled":    doubled,
		"aliases nested":     nested,
		"alias many times":   head + "      - {any: &x [" + strings.Repeat("y,", 1000) + "]}\n" + strings.Repeat("      - {any: *x}\n", 1000),
		"regexes":            head + strings.Repeat("      - {regex: '((a{100}){10}){9}'}\n", 2000),
		"brackets":           strings.Repeat("[", 1_000_000),
		"braces":             strings.Repeat("{", 1_000_000),
		"dashes":             strings.Repeat("- ", 1_000_000),
		"unknown keys":       "version: 1\nrules:\n  - {" + strings.Repeat("tga: x, ", 20_000) + "}",
		"different keys":     "version: 1\nrules:\n  - {" + many("tag%d: x, ", 20_000) + "}",
		"misspelt terms":     "version: 1\nrules: [{tag: a, any: [" + strings.Repeat("{wrod: a}, ", 100_000) + "]}]",
		"unknown lists":      "version: 1\nlists: {" + many("list%d: [x], ", 3_000) + "}\nrules: [{tag: a, any: [" + many("{list: lits%d}, ", 3_000) + "]}]",
		"faults on one line": "{version: 1, rules: [{tag: a, any: [" + strings.Repeat("~, ", 30_000) + "]}]}",
		"bad bytes":          strings.Repeat("\xff\n", 300_000),
		"bad bytes, a line":  strings.Repeat("\xff", 1_000_000),
		"comments":           strings.Repeat("# x\n", 500_000),
		"documents":          strings.Repeat("--- a\n", 100_000),
		"line separators":    "version: 1\nrules: [ # " + strings.Repeat("\u2028", 200_000),
	}
	// The measure is an honest file of a like size, read in the same run.
	start := time.Now()
	if set, ps := Parse("rules.yaml", []byte(head+many("      - w%d\n", 100_000))); set == nil {
		t.Fatal(ps)
	}
	honest := time.Since(start)
	for name, file := range files {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			set, ps := Parse("rules.yaml", []byte(file))
			if set != nil {
				t.Error("not refused")
			}
			checkProblems(t, []byte(file), ps)
			if len(ps.String()) > 1<<20 {
				t.Errorf("%d bytes of problems", len(ps.String()))
			}
			// Generous: what is not bounded takes hundreds of times as long.
			if took := time.Since(start); took > 50*honest {
				t.Errorf("took %v, an honest file %v", took, honest)
			} else {
				t.Logf("%v, an honest file %v", took, honest)
			}
		})
	}
}

// Within the bounds, anchors and aliases are fine.
func TestAliasesWithinBounds(t *testing.T) {
	t.Parallel()
	file := "version: 1\nrules:\n  - tag: a\n    any:\n      - {any: &x [" + many("w%d, ", 1000) + "]}\n"
	use := "      - {any: *x}\n"
	set := readRules(t, file+strings.Repeat(use, maxUnfolded/1001))
	if got := set.Rules[0].Body.Any; len(got) != 1+maxUnfolded/1001 || len(got[50].Any) != 1000 {
		t.Errorf("%d terms", len(got))
	}
	if set, ps := Parse("rules.yaml", []byte(file+strings.Repeat(use, maxUnfolded/1001+1))); set != nil || len(ps) != 1 {
		t.Errorf("not refused:\n%s", ps)
	}
}

func many(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

func TestTooLarge(t *testing.T) {
	t.Parallel()
	file := "version: 1\nrules: []\n#" + strings.Repeat("x", MaxFile)
	set, ps := Parse("rules.yaml", []byte(file))
	if set != nil || len(ps) != 1 || ps[0].Line != 1 || !strings.Contains(ps[0].Message, "8 MiB") {
		t.Errorf("got %v\n%s", set, ps)
	}
	if set, ps := Parse("rules.yaml", []byte(file[:MaxFile])); set == nil {
		t.Errorf("8 MiB refused:\n%s", ps)
	}
}

// Regexes that are short to write and large to compile are bounded together.
func TestRegexesAreBounded(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	file.WriteString("version: 1\nrules:\n")
	for i := range 3000 {
		fmt.Fprintf(&file, "  - {tag: a, any: [{regex: '[a-z]{1,900}q%d'}]}\n", i)
	}
	set, ps := Parse("rules.yaml", []byte(file.String()))
	if set != nil || len(ps) != 1 || !strings.HasPrefix(ps[0].Message, "the regexes up to this one are too large together") {
		t.Fatalf("%d problems: %.400s", len(ps), ps)
	}
	lines := strings.Split(file.String(), "\n")
	if set, ps := Parse("rules.yaml", []byte(strings.Join(lines[:ps[0].Line-1], "\n"))); set == nil {
		t.Errorf("the rules before that line are refused: %.400s", ps)
	}
}

// checkProblems checks that every problem lies in the file and can be shown.
func checkProblems(t testing.TB, data []byte, ps Problems) {
	t.Helper()
	src := newSource("rules.yaml", data)
	for i, p := range ps {
		if p.Line < 1 || p.Line > len(src.lines) || p.Column < 1 || p.Column > utf8.RuneCount(src.line(p.Line))+1 {
			t.Fatalf("problem at %d:%d, which is not in the file: %s", p.Line, p.Column, p.Message)
		}
		if i > 0 && (place{p.Line, p.Column}).compare(place{ps[i-1].Line, ps[i-1].Column}) < 0 {
			t.Fatalf("problems are not in order: %s", ps)
		}
		if p.Message == "" || strings.ContainsAny(p.Message, "\n\r") || p.Severity != Error && p.Severity != Warning {
			t.Fatalf("problem cannot be shown: %#v", p)
		}
		if lines := strings.Count(p.String(), "\n"); lines != 0 && lines != 2 {
			t.Fatalf("problem has %d lines: %q", lines, p.String())
		}
		if !utf8.ValidString(p.String()) {
			t.Fatalf("problem is not UTF-8: %q", p.String())
		}
	}
}

// A mark is a word that no list has, put somewhere into a file: its fault must
// be at that place, whatever stands before it.
func TestPlaces(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SampledFrom([]string{"x", "'é'", "\"e\u0301\"", "\"😀\"", "日本", `"\ud83d\ude00"`, `"\/"`, "\"a\tb\"", "'it''s'", "\"x\u2028y\"", "\"a\u0085b\"", "*a", "{word: ü}"})
		eol := rapid.SampledFrom([]string{"\n", "\r\n", "\r"}).Draw(t, "eol")
		var b strings.Builder
		if rapid.Bool().Draw(t, "bom") {
			b.WriteString("\ufeff")
		}
		b.WriteString(strings.ReplaceAll("version: 1 # é😀\nrules:\n  - {tag: r, any: [&a q]}\n", "\n", eol))
		want := 0 // offset of the mark
		rules := rapid.IntRange(1, 3).Draw(t, "rules")
		marked := rapid.IntRange(0, rules-1).Draw(t, "marked")
		for i := range rules {
			flow := rapid.Bool().Draw(t, "flow")
			fmt.Fprintf(&b, "  - tag: t%d%s    any:", i, eol)
			if flow {
				b.WriteString(" [")
			} else {
				b.WriteString(eol)
			}
			n := rapid.IntRange(1, 4).Draw(t, "terms")
			at := rapid.IntRange(0, n-1).Draw(t, "at")
			for j := range n {
				text := texts.Draw(t, "text")
				if !flow {
					b.WriteString("      - ")
				}
				if i == marked && j == at {
					text = "{list: MARK}"
					if rapid.Bool().Draw(t, "tabs") {
						text = "{\"list\":\t\t\"MARK\"}"
					}
					want = b.Len() + strings.Index(text, "MARK")
					if strings.Contains(text, `"MARK`) {
						want--
					}
				}
				b.WriteString(text)
				switch {
				case !flow:
					b.WriteString(eol)
				case j < n-1:
					b.WriteString(rapid.SampledFrom([]string{", ", ",", ",\t", "," + eol + "       "}).Draw(t, "comma"))
				}
			}
			if flow {
				b.WriteString("]" + eol)
			}
		}
		file := b.String()
		_, ps := Parse("rules.yaml", []byte(file))
		before := strings.TrimPrefix(file[:want], "\ufeff")
		lines := strings.Split(strings.ReplaceAll(strings.ReplaceAll(before, "\r\n", "\n"), "\r", "\n"), "\n")
		line, column := len(lines), utf8.RuneCountInString(lines[len(lines)-1])+1
		for _, p := range ps {
			if p.Severity == Error {
				if p.Line != line || p.Column != column || !strings.Contains(p.Message, "MARK") {
					t.Fatalf("want %d:%d in %q, got\n%s", line, column, file, p)
				}
				return
			}
		}
		t.Fatalf("no fault in %q\n%s", file, ps)
	})
}

func TestSuggestions(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{
		"wihtin": "within", "Within": "within", "unles_tagged": "unless_tagged", "anny": "any", "nme": "name", "TAG": "tag",
		"tags": "tag", "grups": "groups", "casse": "case", "": "", "x": "", "priority": "", "ab": "", "frist": "first",
	} {
		if got := Nearest(word, ruleKeys); got != want {
			t.Errorf("Nearest(%q) = %q, want %q", word, got, want)
		}
	}
}

func TestEditDistance(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := []rune(rapid.StringN(0, 8, -1).Draw(t, "a")), []rune(rapid.StringN(0, 8, -1).Draw(t, "b"))
		d := editDistance(a, b)
		if d != editDistance(b, a) || d > max(len(a), len(b)) || (d == 0) != (string(a) == string(b)) {
			t.Fatalf("distance of %q and %q: %d", a, b, d)
		}
	})
}

func TestReport(t *testing.T) {
	t.Parallel()
	_, ps := Parse("configs/rules.yaml", []byte("version: 1\nrules: []\nfoo: 1\n"))
	got, err := json.Marshal(NewReport("configs/rules.yaml", ps))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"file":"configs/rules.yaml","ok":false,"problems":[` +
		`{"line":2,"column":8,"severity":"warning","message":"there are no rules, so no chat is ever tagged; write one below, such as - {tag: refund, any: [refund]}"},` +
		`{"line":3,"column":1,"severity":"error","message":"unknown key \"foo\"; a rules file may have version, defaults, lists and rules"}]}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got, _ := json.Marshal(NewReport("x", nil)); string(got) != `{"file":"x","ok":true,"problems":[]}` {
		t.Errorf("got %s", got)
	}
}

// Too many problems are cut, and a fault among those left out still refuses
// the file.
func TestManyProblems(t *testing.T) {
	t.Parallel()
	file := "version: 1\nrules:\n  - tag: a\n    any:\n" + strings.Repeat("      - 5*\n", 3000) + "      - ~\n"
	set, ps := Parse("rules.yaml", []byte(file))
	if set != nil || !ps.Failed() || len(ps) != maxProblems+1 {
		t.Fatalf("set: %v, %d problems", set != nil, len(ps))
	}
	if last := ps[maxProblems]; last.Severity != Error || !strings.Contains(last.Message, "more problems are not shown") {
		t.Errorf("last: %s", last)
	}
	file = strings.Replace(file, "      - ~", strings.Repeat("      - 5*\n", maxHeld)+"      - ~", 1)
	if set, ps := Parse("rules.yaml", []byte(file)); set != nil || !ps.Failed() {
		t.Errorf("a fault beyond what is held is forgotten")
	}
	if set, ps := Parse("rules.yaml", []byte(strings.Replace(file, "~", "x", 1))); set == nil || ps.Failed() {
		t.Errorf("warnings alone refuse the file")
	}
}

func TestTestCases(t *testing.T) {
	t.Parallel()
	file, err := os.ReadFile("testdata/tests.yaml")
	if err != nil {
		t.Fatal(err)
	}
	set := readRules(t, string(file))
	data, err := os.ReadFile("testdata/good/full_test.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tests, ps := ParseTests("rules_test.yaml", data, set)
	if tests == nil || len(ps) > 0 {
		t.Fatal(ps)
	}
	at := func(n int) time.Time { return time.Unix(int64(n), 0).UTC() }
	text := func(s string) []transcript.Text { return []transcript.Text{{Field: "text", Text: s}} }
	want := []Case{
		{
			Name: "refund asked for", Line: 2, Column: 5, Tags: []string{"refund"}, Shadow: []string{"angry"},
			Chat: &transcript.Transcript{
				Groups: []int{0, 7}, Tagged: []string{"vip"}, Complete: true,
				Messages: []transcript.Message{
					{EventID: "t_1", At: at(1), Author: transcript.Customer, Texts: text("I want my MONEY-BACK")},
					{EventID: "t_2", At: at(2), Author: transcript.Agent, Texts: text("Sure")},
					{EventID: "t_3", At: at(3), Author: transcript.Agent, Internal: true, Texts: text("VIP, be quick")},
					{EventID: "t_4", At: at(4), Author: transcript.Customer, Texts: []transcript.Text{{Field: "text", Text: "**now** please", Markdown: true}}},
					{EventID: "t_5", At: at(5), Author: transcript.Customer, Texts: []transcript.Text{{Field: "answer:Topic", Text: "refund"}, {Field: "answer:Age", Text: "7"}}},
					{EventID: "t_6", At: at(6), Author: transcript.Customer, Texts: []transcript.Text{{Field: "button", Text: "Talk to sales"}}},
					{EventID: "t_9", At: at(9), Author: transcript.Bot, Texts: text("404")},
				},
			},
		},
		{
			Name: "test 2", Line: 17, Column: 6, Tags: []string{}, Shadow: []string{},
			Chat: &transcript.Transcript{Groups: []int{0}, Complete: true},
		},
	}
	if diff := cmp.Diff(want, tests.Cases); diff != "" {
		t.Errorf("cases (-want +got):\n%s", diff)
	}
}

func TestRun(t *testing.T) {
	t.Parallel()
	set := readRules(t, `version: 1
rules:
  - {tag: refund, any: [refund]}
  - {tag: refund, name: money, any: [my money]}
  - {tag: late, any: [late]}
  - {tag: angry, any: [angry], status: shadow}
`)
	tests, ps := ParseTests("rules_test.yaml", []byte(`tests:
  - {chat: [{customer: a refund}], tags: [refund]}
  - {chat: [{customer: a refund}, {agent: so angry}], tags: [late]}
  - {chat: [{customer: a refund}, {agent: so angry}], tags: [refund], shadow: []}
  - {chat: [{customer: late}], tags: [late], shadow: [angry]}
  - {chat: [{customer: late refund}], not_tags: [angry]}
  - {chat: [{customer: late refund}], not_tags: [refund]}
  - {chat: [{customer: late refund}], tags: [late], not_tags: [refund]}
  - {chat: [{customer: My Money}], tags: [{tag: refund, rule: money}]}
  - {chat: [{customer: my money}], tags: [{tag: refund, rule: refund}]}
  - {chat: [{customer: late}], tags: [late, {tag: refund, rule: money}]}
  - {chat: [{customer: "A REFUND, late!"}], tags: [{tag: refund, evidence: [REFUND]}, {tag: late, evidence: [REFUND, late, "late!"]}]}
  - {chat: [{customer: "refund my money"}], tags: [{tag: refund, evidence: [my money]}]}
  - "a refund": [refund]
  - "a refund": []
  - "late": [{tag: late, evidence: [lat]}]
  - "late bags": [late]
  - "bags": []
  - 'chats': [late]
`), set)
	if tests == nil {
		t.Fatal(ps)
	}
	wants := []struct{ missing, extra string }{
		{},
		{"late", "refund"},
		{"", "angry (shadow)"},
		{"angry (shadow)", ""},
		{},
		{"", "refund"},
		{"", "refund"},
		{},
		{"refund (rule refund)", "refund (rule money)"},
		{"refund", ""},
		{`late (evidence "REFUND"), late (evidence "late!")`, ""},
		{},
		{},
		{"", "refund"},
		{`late (evidence "lat")`, ""},
		{},
		{}, // a message, though tags: is near
		{"late", ""},
	}
	if len(tests.Cases) != len(wants) {
		t.Fatalf("%d cases", len(tests.Cases))
	}
	for i, want := range wants {
		missing, extra := tests.Cases[i].Run(set)
		if m, e := differences(missing), differences(extra); m != want.missing || e != want.extra {
			t.Errorf("case %d: missing %s, extra %s, want %s and %s", i+1, m, e, want.missing, want.extra)
		}
	}
	if name := tests.Cases[12].Name; name != "a refund" {
		t.Errorf("a test in one line is named %q", name)
	}
}

func differences(ds []Difference) string {
	var texts []string
	for _, d := range ds {
		texts = append(texts, d.String())
	}
	return strings.Join(texts, ", ")
}

// Messages are edited, and come in the order of their times.
func TestEditsAndTimes(t *testing.T) {
	t.Parallel()
	set := readRules(t, "version: 1\nrules: [{tag: a, any: [b]}]\n")
	tests, ps := ParseTests("rules_test.yaml", []byte(`tests:
  - chat:
      - {customer: one, at: 1m}
      - {customer: two, edited: three}
      - {agent: four, edited: [five, six], at: 0s}
      - {agent: seven, deleted: true}
      - bot: eight
    tags: []
`), set)
	if tests == nil {
		t.Fatal(ps)
	}
	var got []string
	for _, m := range tests.Cases[0].Chat.Messages {
		got = append(got, fmt.Sprintf("%s %s %s", m.EventID, m.At.Sub(time.Unix(0, 0)), m.Texts[0].Text))
	}
	want := []string{"t_3 0s six", "t_5 2s eight", "t_1 1m0s one", "t_2 1m1s three"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("messages (-want +got):\n%s", diff)
	}
}

// yaml.v3 keeps the places of a problem to itself; they are read all the same.
func TestMarks(t *testing.T) {
	t.Parallel()
	_, ps := Parse("rules.yaml", []byte("version: 1\nrules:\n  - tag: é 'x' [a]: @\n"))
	if len(ps) != 1 || ps[0].Line != 3 || ps[0].Column != 19 {
		t.Errorf("got %s", ps)
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/good", "testdata/bad", "testdata/warn"} {
		entries, err := os.ReadDir(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, e := range entries {
			data, err := os.ReadFile(pattern + "/" + e.Name())
			if err != nil {
				f.Fatal(err)
			}
			if len(data) < 4096 && !strings.HasSuffix(e.Name(), ".want") {
				f.Add(data)
			}
		}
	}
	file, err := os.ReadFile("testdata/tests.yaml")
	if err != nil {
		f.Fatal(err)
	}
	rules := readRules(f, string(file))
	f.Fuzz(func(t *testing.T, data []byte) {
		set, ps := Parse("rules.yaml", data)
		if (set == nil) != ps.Failed() {
			t.Errorf("set: %v, failed: %v", set != nil, ps.Failed())
		}
		checkProblems(t, data, ps)
		if set != nil {
			names := map[string]bool{}
			for _, r := range set.Rules {
				if r.Tag == "" || r.Name == "" || names[r.Name] {
					t.Errorf("rule %q of tag %q", r.Name, r.Tag)
				}
				names[r.Name] = true
				checkTerm(t, &r.Body, r.Fallback)
			}
		}
		tests, ps := ParseTests("rules_test.yaml", data, rules)
		if (tests == nil) != ps.Failed() {
			t.Errorf("tests: %v, failed: %v", tests != nil, ps.Failed())
		}
		checkProblems(t, data, ps)
	})
}

// checkTerm checks what the matching side takes for granted.
func checkTerm(t *testing.T, term *Term, mayBeEmpty bool) {
	switch {
	case term.Min < 1 || term.First > 0 && term.Last > 0 || term.First < 0 || term.Last < 0:
		t.Errorf("options of %+v", term)
	case term.Kind == Group && len(term.Any)+len(term.All)+len(term.None) == 0 && !mayBeEmpty,
		term.Kind == List && len(term.Entries) == 0,
		term.Kind != Group && term.Text == "":
		t.Errorf("empty term %+v", term)
	}
	for _, list := range [][]*Term{term.Any, term.All, term.None, term.Entries} {
		for _, inner := range list {
			checkTerm(t, inner, false)
		}
	}
}
