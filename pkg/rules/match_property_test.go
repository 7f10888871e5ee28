package rules

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"

	"autotag/pkg/transcript"
)

// pieces are what folding has to tell apart.
var pieces = []string{
	"a", "B", "c", "ab", "refund", "can't", "can’t", "n't", "'", "ß", "ẞ", "é", "e\u0301", "Ｅ", "ø", "æ", "Œ", "ı", "İ", "ﬁ", "ŉ", "Å", "ς", "ᾳ", "ё", "й",
	"أ", "ـ", "לָ", "ﷺ", "ﻼ", "カ", "ガ", "ｶﾞ", "ー", "각", "ㄱ", "退", "款", "กำ", "ไม่", "कि", "क़", "ငွေ", "၊",
	"1", "2", "100", ".", ",", "1.5", "²", "½", "①", "Ⅷ", "ª", "™", "µ", "𝐫", " ", "  ", "\u00a0", "\n", "\t", "-", "–", "−", "_", "#", "*", "**", "~", "$", "+", ":)",
	"\u00ad", "\u200b", "\u200d", "\ufe0f", "\u200f", "\u0301", "\u0327", "\u0345", "\u20e3", "`", "´", "“", "»",
	"👍", "🏽", "👩‍👩‍👧", "👩", "❤️", "1️⃣", "🇩", "🇪", "🏴\U000E0067\U000E007F", "[x](y)", "&amp;", "\\", "<b>", "\n\n", "> ", "```",
}

func drawText(t *rapid.T, label string) string {
	return strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 12).Draw(t, label), "")
}

// drawCase gives a term and a text that often holds it.
func drawCase(t *rapid.T) (*Term, string) {
	term := &Term{
		Kind:         rapid.SampledFrom([]Kind{Literal, Word, Contains}).Draw(t, "kind"),
		Text:         strings.Join(rapid.SliceOfN(rapid.SampledFrom(pieces), 1, 4).Draw(t, "term"), ""),
		CaseExact:    rapid.Bool().Draw(t, "case exact"),
		AccentsExact: rapid.Bool().Draw(t, "accents exact"),
		Min:          1,
	}
	text := drawText(t, "before") + term.Text + drawText(t, "after")
	if rapid.Bool().Draw(t, "unrelated") {
		text = drawText(t, "text")
	}
	return term, text
}

// matchTerm gives the evidence of one term in one text.
func matchTerm(term *Term, text string) (found bool, start, end int) {
	set := &Set{Rules: []*Rule{{Name: "t", Tag: "t", Status: Active, From: FromAnyone, Within: WithinChat, Body: Term{Kind: Group, Any: []*Term{term}, Min: 1}}}}
	result := set.Match(chat("c: " + text))
	if len(result.Tags) == 0 {
		return false, 0, 0
	}
	e := result.Tags[0].Evidence[0]
	return true, e.Start, e.End
}

func TestMatchIsTheSameInEveryNormalForm(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		term, text := drawCase(t)
		want, _, _ := matchTerm(term, text)
		for _, form := range []norm.Form{norm.NFC, norm.NFD} {
			if got, _, _ := matchTerm(term, form.String(text)); got != want {
				t.Fatalf("term %+q (kind %d): %v in %+q, %v in %+q", term.Text, term.Kind, want, text, got, form.String(text))
			}
			other := *term
			other.Text = form.String(term.Text)
			if got, _, _ := matchTerm(&other, text); got != want {
				t.Fatalf("text %+q: term %+q %v, term %+q %v", text, term.Text, want, other.Text, got)
			}
		}
	})
}

func TestMatchIsTheSameInEveryCase(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		term, text := drawCase(t)
		term.CaseExact = false
		// Go's case mappings drop the dot of İ, which is an accent, and make a
		// letter of the iota that is a mark.
		text = strings.NewReplacer("İ", "", "\u0345", "", "ᾳ", "").Replace(text)
		want, _, _ := matchTerm(term, text)
		for _, other := range []string{strings.ToUpper(text), strings.ToLower(text), strings.Map(unicode.SimpleFold, text)} {
			if got, _, _ := matchTerm(term, other); got != want {
				t.Fatalf("term %+q (kind %d): %v in %+q, %v in %+q", term.Text, term.Kind, want, text, got, other)
			}
		}
	})
}

func TestEvidenceIsAFind(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		term, text := drawCase(t)
		if p := containsPattern(term.Text, options{}); len(p.units) == 0 || isGap(p.units[0]) || isGap(p.units[len(p.units)-1]) {
			return // a blank or dash at an edge folds by its neighbours
		}
		found, start, end := matchTerm(term, text)
		if !found {
			return
		}
		runes := []rune(text)
		if start < 0 || end > len(runes) || start >= end {
			t.Fatalf("term %+q in %+q: from %d to %d", term.Text, text, start, end)
		}
		if again, _, _ := matchTerm(term, string(runes[start:end])); !again {
			t.Fatalf("term %+q is in %+q but not in its evidence %+q", term.Text, text, string(runes[start:end]))
		}
	})
}

// A literal that needs no word end is found wherever it was put in, and so is
// any literal between blanks.
func TestMatchFindsWhatWasPutIn(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		term, _ := drawCase(t)
		term.Kind = Word
		if p := literalPattern(term.Text, options{}, false); len(p.units) == 0 || p.units[0].kind == dash || p.units[len(p.units)-1].kind == dash {
			return
		}
		before, after := drawText(t, "before"), drawText(t, "after")
		if text := before + ". " + term.Text + " ." + after; utf8.ValidString(text) {
			if found, _, _ := matchTerm(term, text); !found {
				t.Fatalf("term %+q is not in %+q", term.Text, text)
			}
		}
	})
}

func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{"refund*", "I want a **refund** &amp; [more](x)"}, {"can't", "can’t"}, {"Hi %name%!", "> Hi\n- Bob!"},
		{"👩‍👧", "👩‍👩‍👧🏽"}, {"\xff", "\xff\xfe"}, {"(a|b)*", "é\n```\nab"}, {"", " "}, {"ｶﾞ*", "カ\u3099\u20e3"}, {"<a@b.c>", "<a@b.c> \\<"},
	} {
		f.Add(seed[0], seed[1], true, false)
		f.Add(seed[0], seed[1], false, true)
	}
	f.Fuzz(func(t *testing.T, term, text string, markdown, exact bool) {
		var terms []*Term
		for _, kind := range []Kind{Literal, Word, Contains, Regex, Canned} {
			terms = append(terms, &Term{Kind: kind, Text: term, CaseExact: exact, AccentsExact: exact, Min: 1})
		}
		var rules []*Rule
		for _, term := range terms {
			rules = append(rules,
				&Rule{Tag: "t", Status: Active, Body: Term{Kind: Group, Any: []*Term{term}, Min: 1}},
				&Rule{Tag: "u", Status: Active, Within: WithinMessage, Body: Term{Kind: Group, All: terms, None: []*Term{term}, Min: 2}})
		}
		tr := &transcript.Transcript{Complete: true, Messages: []transcript.Message{
			{EventID: "1", Texts: []transcript.Text{{Field: "text", Text: text, Markdown: markdown}}},
			{EventID: "2", Texts: []transcript.Text{{Field: "answer:1", Text: text + term, Markdown: markdown}, {Field: "answer:2", Text: term}}},
		}}
		set := &Set{Rules: rules}
		result := set.Match(tr)
		checkPlaces(t, tr, result)
		if diff := cmp.Diff(set.MatchReference(tr), result); diff != "" {
			t.Fatalf("Match differs (-reference +match):\n%s", diff)
		}
	})
}

// Looking only where the keys of the pattern stand in a row misses nothing.
func TestFindMissesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		term, text := drawCase(t)
		o := options{term.CaseExact, term.AccentsExact}
		p := literalPattern(term.Text+rapid.SampledFrom([]string{"", "*", "* b"}).Draw(t, "star"), o, true)
		if term.Kind == Contains {
			p = containsPattern(term.Text, o)
		}
		folded := newFoldedText(fold(plainChars(text), o))
		start, _, found := p.find(folded)
		for i, u := range folded.units {
			if len(p.units) == 0 || p.edges && p.units[0].inWord() && i > 0 && !wordEnds(folded.units[i-1], u) {
				continue
			}
			if _, ok := p.matchAt(folded, i, 0); ok {
				if !found || start != u.start {
					t.Fatalf("%+q in %+q: found %v at %d, is at %d", term.Text, text, found, start, u.start)
				}
				return
			}
		}
		if found {
			t.Fatalf("%+q in %+q: found at %d, is nowhere", term.Text, text, start)
		}
	})
}
