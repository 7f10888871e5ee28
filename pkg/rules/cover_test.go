package rules

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"autotag/pkg/transcript"
)

// plainPieces are such as most rules are made of, so that terms often are a
// part of each other.
var plainPieces = []string{"re", "fund", "a", "t", "n", " ", " ", "*", "* ", "n't", "don't", "'", "-", "1", ".5", ",", "é", "ń", "ß", "Æ", "退", "カ", "कि", "क", "+", "\u0301", "T", "N"}

func drawTerm(t *rapid.T, from []string) *Term {
	o := rapid.IntRange(0, 5).Draw(t, "options")
	return &Term{
		Kind:         rapid.SampledFrom([]Kind{Literal, Literal, Word, Contains, Canned}).Draw(t, "kind"),
		Text:         strings.Join(rapid.SliceOfN(rapid.SampledFrom(from), 1, 5).Draw(t, "text"), ""),
		CaseExact:    o == 1 || o == 3,
		AccentsExact: o == 2 || o == 3,
		Min:          1,
	}
}

// Where one term is said to be found wherever another is, it is.
func TestFindsIsTrue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		from := plainPieces
		if rapid.Bool().Draw(t, "hostile") {
			from = pieces
		}
		narrow, wide := drawTerm(t, from), drawTerm(t, from)
		if rapid.Bool().Draw(t, "part") {
			narrow.Text = rapid.SampledFrom([]string{"", " ", "re", "n", "1"}).Draw(t, "before") + wide.Text + strings.Join(rapid.SliceOfN(rapid.SampledFrom(from), 0, 2).Draw(t, "more"), "")
		}
		a := newAdviser(nil, nil)
		if !a.finds(narrow, wide) {
			return
		}
		n, w := newFinder(narrow), newFinder(wide)
		for range 5 {
			around := rapid.SliceOfN(rapid.SampledFrom(from), 0, 3)
			text := strings.Join(around.Draw(t, "before"), "") +
				strings.ReplaceAll(narrow.Text, "*", rapid.SampledFrom([]string{"", "*", "s", "n't", ".5", "カ"}).Draw(t, "ending")) +
				strings.Join(around.Draw(t, "after"), "")
			v := &view{source: transcript.Text{Text: text, Markdown: rapid.Bool().Draw(t, "markdown")}}
			if _, _, found := n(v); !found {
				continue
			}
			if _, _, found := w(v); !found {
				t.Fatalf("%+q (kind %d, %v) is in %+q, %+q (kind %d, %v) is not", narrow.Text, narrow.Kind, keyOf(narrow).options, text, wide.Text, wide.Kind, keyOf(wide).options)
			}
		}
	})
}

// What is found by an index is what comparing all terms finds.
func TestIndexMissesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var terms []*Term
		for range rapid.IntRange(1, 6).Draw(t, "terms") {
			term := drawTerm(t, plainPieces)
			if len(terms) > 0 && rapid.Bool().Draw(t, "part") {
				term.Text += " " + terms[0].Text
			}
			if !new(document).isBlank(term.Text) {
				terms = append(terms, term)
			}
		}
		a := newAdviser(nil, nil)
		ix := a.newIndex(terms)
		for _, term := range terms {
			found := map[*Term]bool{}
			a.covering(ix, term, func(u *Term) bool {
				found[u] = true
				return true
			})
			for _, u := range terms {
				if u != term && a.finds(term, u) != found[u] {
					t.Fatalf("%+q (kind %d, %v) finds %+q (kind %d, %v): %v, by the index %v", term.Text, term.Kind, keyOf(term).options, u.Text, u.Kind, keyOf(u).options, !found[u], found[u])
				}
			}
		}
	})
}

// Folding terms quickly is folding them.
func TestQuickFoldIsTheSame(t *testing.T) {
	t.Parallel()
	f := new(quickFolder)
	rapid.Check(t, func(t *rapid.T) {
		term := &Term{
			Kind: rapid.SampledFrom([]Kind{Literal, Word, Contains, Canned}).Draw(t, "kind"),
			Text: drawText(t, "text") + rapid.StringN(0, 5, -1).Draw(t, "more") + rapid.SampledFrom([]string{"", "*", "* b", "* - b", "*-"}).Draw(t, "star"),
		}
		o := options{rapid.Bool().Draw(t, "case exact"), rapid.Bool().Draw(t, "accents exact")}
		if term.Kind == Canned {
			term.Text += rapid.SampledFrom([]string{"", "%n%", " - %n%, **x**", "%n%-"}).Draw(t, "gap")
			got, want := f.canned(term.Text, o).pieces, referenceCanned(term.Text, o).pieces
			if !slices.EqualFunc(got, want, func(a, b cannedPiece) bool {
				withoutPlaces(b.units)
				return slices.Equal(a.units, b.units) && a.before == b.before && a.after == b.after
			}) {
				t.Fatalf("canned %+q: %v, want %v", term.Text, got, want)
			}
			return
		}
		want := containsPattern(term.Text, o)
		if term.Kind != Contains {
			want = literalPattern(term.Text, o, term.Kind == Literal)
		}
		got := f.pattern(term, o)
		got.needle = needleOf(got.units)
		withoutPlaces(want.units)
		if !slices.Equal(got.units, want.units) || got.edges != want.edges || got.needle != want.needle {
			t.Fatalf("%+q (kind %d): %v, want %v", term.Text, term.Kind, got, want)
		}
	})
}

func withoutPlaces(units []unit) {
	for i := range units {
		units[i].start, units[i].end = 0, 0
	}
}

// Of plain terms the short way says what the long one does.
func TestPlainHasIsTheSame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		from := []string{"re", "fund", "a", "T", " ", " ", "*", "1"}
		narrow, wide := drawTerm(t, from), drawTerm(t, from)
		narrow.Kind, wide.Kind = min(narrow.Kind, Contains), min(wide.Kind, Contains)
		o := keyOf(narrow).options
		got, plain := plainHas(narrow, wide, o)
		if !plain {
			return
		}
		f := new(quickFolder)
		p, q := f.pattern(narrow, o), f.pattern(wide, o)
		want := false
		for k := range p.units {
			want = want || p.has(q, k)
		}
		if got != want {
			t.Fatalf("%+q (kind %d) has %+q (kind %d): %v, want %v", narrow.Text, narrow.Kind, wide.Text, wide.Kind, got, want)
		}
	})
}

// What is easily mistaken for being found wherever another term is.
func TestFindsKnown(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		narrow, wide string // YAML
		finds        bool
	}{
		{"refund", "refund*", true},
		{"refund*", "refund", false},
		{"refund", "Refund", true},
		{"réfund", "refund", true},
		{"{word: Refund, case: exact}", "refund", true},
		{"refund", "{word: refund, case: exact}", false},
		{"{word: refund, case: exact}", "{word: Refund, case: exact}", false},
		{"{word: é, accents: exact}", "e", true},
		{"e-mail", "e mail", true},
		{"email", "e-mail", false},
		{"money back", "money", true},
		{"money back", "back", true},
		{"money back", "ey ba", false},
		{"money back", "{contains: ey ba}", true},
		{"{contains: money back}", "money", false},
		{"{contains: my money back}", "money", true},
		{"{contains: money}", "{contains: one}", true},
		{"{contains: money}", "money*", false},
		{"refund* policy", "refund*", true},
		{"refund* policy", "policy", true},
		{"refund* policy", "refund policy", false},
		{"refund policy", "refund* polic*", true},
		{"refunds policies", "refund* polic*", true},
		{"refund* polic*", "refund* policy", false},
		{"refunding* polic*", "refund* polic*", true},
		{"refund* polic*", "refunding* polic*", false},
		{"app", "{contains: p}", true},
		{"happy", "app", false},
		{"'#1'", "'1'", true},
		{"'1.5'", "'1'", false},
		{"'1.'", "'1'", false}, // 1.5
		{"'1. x'", "'1'", true},
		{"'.5 x'", "5 x", false}, // 1.5 x
		{"a.5", "'5'", true},
		{"can't", "can", false},
		{`"can'"`, "can", false}, // can't
		{"can's", "can", true},
		{`{contains: "so can't"}`, "so", false}, // also can't
		{`{contains: "ha so can't"}`, "so", true},
		{`{contains: "he can's"}`, "can", true},
		{`"'t be"`, "t be", false},                    // can't be
		{"{word: isń, accents: exact}", "isn", false}, // isń't
		{"{word: ẗe, accents: exact}", "te", false},
		{"{word: ëa, accents: exact}", "ea", true},
		{"退款申请", "退款", true},
		{"我的iPhone坏了", "iphone", true},
		{"{contains: iPhone坏了}", "iphone", false}, // myiPhone坏了
		{"'कक*'", "{contains: कक}", true},
		{"'कक*'", "'कक*'", true},
		{"कक", "'कक*'", true},
		{"{contains: कक}", "{contains: कक}", true},
		{"'कक* x'", "{contains: कक x}", false},
		{"{contains: x क}", "x क", false}, // x कि
		{":) :)", ":)", true},
		{"C++11", "C++", true},
		{"{regex: a+}", "{regex: a+}", true},
		{"{regex: a+, case: exact}", "{regex: a+}", false}, // as it would be for [^a]
		{"{regex: a+}", "{contains: a}", false},
		{"{canned: Hello Bob}", "hello", false}, // **H**ello
		{"{canned: Hello Bob}", "{canned: 'hello %name%'}", true},
		{"{canned: 'Hello %a%'}", "{canned: '**hello** %name%'}", true},
		{"{canned: 'Hello %name%'}", "{canned: Hello Bob}", false},
		{"{word: a b, min: 2}", "a", true},
		{"a b", "{word: a, min: 2}", false},
		{"{word: a b, first: 2}", "{word: a, first: 3}", true},
		{"{word: a b, first: 3}", "{word: a, first: 2}", false},
		{"{word: a b, first: 3}", "a", true},
		{"a b", "{word: a, first: 3}", false},
		{"{word: a b, first: 1}", "{word: a, last: 1}", false},
	} {
		terms := mustParse(t, termRule(test.narrow)).Rules[0].Body.Any
		terms = append(terms, mustParse(t, termRule(test.wide)).Rules[0].Body.Any...)
		if got := newAdviser(nil, nil).finds(terms[0], terms[1]); got != test.finds {
			t.Errorf("%s finds %s: %v", test.narrow, test.wide, got)
		}
	}
}
