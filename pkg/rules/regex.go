package rules

import (
	"regexp"
	"regexp/syntax"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"
)

// A regexIndex finds regexes. A regex is tried only on a text that has a literal
// without which it cannot match, if it has such; letters of either case are the
// same for that.
type regexIndex struct {
	items    []*regexItem
	always   []int32 // items without such a literal
	literals *index
	foreign  bool // literals have letters beyond ASCII
	shapes   []shape
}

type regexItem struct {
	leaf      int32
	text      string
	caseExact bool

	once sync.Once
	re   *regexp.Regexp // nil if it cannot be compiled, as no set from Parse has it
}

// compiled compiles the regex when it is first needed, since that takes longer
// than anything else of a set.
func (r *regexItem) compiled() *regexp.Regexp {
	r.once.Do(func() {
		if re, err := compileRegex(r.text, r.caseExact); err == nil {
			r.re = re
		}
	})
	return r.re
}

func (x *regexIndex) add(leaf int32, t *Term) {
	at := int32(len(x.items))
	x.items = append(x.items, &regexItem{leaf: leaf, text: t.Text, caseExact: t.CaseExact})
	literals := requiredLiterals(t.Text)
	if literals == nil {
		x.always = append(x.always, at)
		return
	}
	for _, l := range literals {
		x.foreign = x.foreign || strings.ContainsFunc(l, func(r rune) bool { return r >= utf8.RuneSelf })
		x.shapes = append(x.shapes, shape{
			leaf: ^at, parts: []part{{key: l}}, in: byAnywhere, by: l[:grams[gramOf(l)]],
		})
	}
}

func (x *regexIndex) build() {
	if len(x.shapes) > 0 {
		x.literals = newIndex(x.shapes)
		x.shapes = nil
	}
}

// maxLiterals is how many literals one of which a regex needs are looked for.
const maxLiterals = 32

// requiredLiterals gives literals, one of which at least is in every text that
// the pattern matches, with each letter as simpleCase gives it; nil if there are
// none.
func requiredLiterals(pattern string) []string {
	re, err := syntax.Parse(pattern, syntax.Perl|syntax.FoldCase)
	if err != nil {
		return nil
	}
	return required(re.Simplify())
}

func required(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpLiteral:
		var b strings.Builder
		for _, r := range re.Rune {
			b.WriteRune(simpleCase(r))
		}
		return []string{b.String()}
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return required(re.Sub[0])
		}
	case syntax.OpConcat:
		var best []string
		for _, sub := range re.Sub {
			if literals := required(sub); literals != nil && shortest(literals) > shortest(best) {
				best = literals
			}
		}
		return best
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			literals := required(sub)
			if literals == nil || len(all)+len(literals) > maxLiterals {
				return nil
			}
			all = append(all, literals...)
		}
		return all
	}
	return nil
}

func shortest(literals []string) int {
	if literals == nil {
		return 0
	}
	n := len(literals[0])
	for _, l := range literals {
		n = min(n, len(l))
	}
	return n
}

// simpleCase gives the same code point for all that a regex takes for the same
// where it ignores case.
func simpleCase(r rune) rune {
	least := r
	for next := unicode.SimpleFold(r); next != r; next = unicode.SimpleFold(next) {
		least = min(least, next)
	}
	return least
}

// findRegexes finds regexes in a text without Markdown.
func (s *match) findRegexes(x *regexIndex, text string, v *view) {
	for _, at := range x.always {
		s.tryRegex(x.items[at], v)
	}
	if x.literals == nil {
		return
	}
	s.candidates, s.current = s.candidates[:0], &s.raw
	n := s.foldRaw(text, x.foreign)
	for i := range n {
		if utf8.RuneStart(s.raw.keys[i]) {
			s.scanGramsAt(x.literals, &x.literals.anywhere, s.raw.keys, i)
		}
	}
	for _, at := range s.candidates {
		s.tryRegex(x.items[at], v)
	}
}

// candidate notes that a regex may be found in the text, once.
func (s *match) candidate(regex int32) {
	if at := int(s.candidateAt[regex]); at < len(s.candidates) && s.candidates[at] == regex {
		return
	}
	s.candidateAt[regex] = int32(len(s.candidates))
	s.candidates = append(s.candidates, regex)
}

// foldRaw puts a text into the keys of raw as it is written but for the case of
// its letters.
func (s *match) foldRaw(text string, foreign bool) int {
	b := s.raw.keys[:0]
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case 'a' <= c && c <= 'z':
			c -= 'a' - 'A'
		case c < utf8.RuneSelf:
		default:
			r, size := utf8.DecodeRuneInString(text[i:])
			if foreign || r == 'ſ' || r == '\u212A' {
				r = simpleCase(r)
			}
			b = utf8.AppendRune(b, r)
			i += size - 1
			continue
		}
		b = append(b, c)
	}
	s.raw.n = len(b)
	b = append(b, make([]byte, padding)...)
	s.raw.keys = b
	return s.raw.n
}

func (s *match) tryRegex(r *regexItem, v *view) {
	if s.isFound(r.leaf) {
		return
	}
	re := r.compiled()
	if re == nil {
		return
	}
	if start, end, found := findRegex(re, v); found {
		s.note(r.leaf, start, end)
	}
}
