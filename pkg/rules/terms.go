package rules

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"
	"sort"
	"strings"
	"unicode"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"

	"autotag/pkg/rules/words"
)

// foldOption is a case: or accents: option.
type foldOption int

const (
	inherited foldOption = iota
	folded
	exact
)

// spec is a term as it is written, before defaults are filled in.
type spec struct {
	kind                  Kind
	text                  string
	any, all, none        []*spec
	caseFold, accentsFold foldOption
	min                   int // 0: not given
	minAt                 place
	window
	at      place
	atFault bool // or what is in it
}

// window is a first: or last: option; both 0 when there is none.
type window struct {
	first, last int
	windowAt    place
}

func (w window) size() int { return max(w.first, w.last) }

func (w window) String() string {
	if w.first > 0 {
		return fmt.Sprintf("first: %d", w.first)
	}
	return fmt.Sprintf("last: %d", w.last)
}

// terms reads a list of terms. Terms at fault are left out.
func (r *reader) terms(n *yaml.Node, what string, refs *[]*spec) []*spec {
	items := r.items(n, what, "refund")
	specs := make([]*spec, 0, len(items))
	seen := make(map[look]place, len(items))
	for _, item := range items {
		faults := r.faults
		s := r.term(resolve(item), refs)
		if s == nil {
			continue
		}
		specs = append(specs, s)
		s.atFault = r.faults > faults
		if key := s.look(); s.kind != Group && !s.atFault {
			here := s.at
			if item.Kind == yaml.AliasNode {
				here = r.place(item)
			}
			if at, twice := seen[key]; twice {
				r.repeated[s.at] = true
				r.warn(later(at, here), "%s is in this list twice; line %d has it too, so remove one of them", s.label(), min(at.line, here.line))
				continue
			}
			seen[key] = here
		}
	}
	return specs
}

// look is what terms that are no groups have in common when they are the same.
type look struct {
	kind                  Kind
	text                  string
	caseFold, accentsFold foldOption
	min, first, last      int
}

func (s *spec) look() look {
	return look{s.kind, s.text, s.caseFold, s.accentsFold, s.min, s.first, s.last}
}

// label names a term in messages.
func (s *spec) label() string {
	for key, kind := range kinds {
		if kind == s.kind {
			return key + ": " + quote(s.text)
		}
	}
	return quote(s.text)
}

// term reads one term, nil when it is at fault.
func (r *reader) term(n *yaml.Node, refs *[]*spec) *spec {
	s := &spec{at: r.place(n)}
	switch {
	case r.mistagged(n):
		return nil
	case n.Kind == yaml.SequenceNode:
		r.fault(s.at, "a list cannot be an entry here; write {any: [...]} or {all: [...]}, or put a text that starts with [ in quotes")
		return nil
	case n.Kind == yaml.MappingNode:
		return r.mappingTerm(n, s, refs)
	}
	text, ok := r.text(n, "this entry")
	if !ok {
		return nil
	}
	s.kind, s.text = Literal, text
	if !r.checkText(s, s.at) {
		return nil
	}
	return s
}

// plainKinds are keys that people may write for a plain text.
var plainKinds = []string{"phrase", "text", "literal", "term", "string", "exact"}

func (r *reader) mappingTerm(n *yaml.Node, s *spec, refs *[]*spec) *spec {
	if len(n.Content) == 0 {
		r.fault(s.at, "this entry is empty; write a text, or put a text that starts with { in quotes")
		return nil
	}
	m := r.read(n, termKeys, func(f field) string {
		if key := resolve(f.key).Value; slices.Contains(plainKinds, key) && f.value.Kind == yaml.ScalarNode {
			return fmt.Sprintf("; a text is a phrase as it is: write %s alone, or one of %s as the key", inFlow(f.value.Value), enumerate(kindKeys, "and"))
		}
		if len(n.Content) == 2 && f.value.Kind == yaml.ScalarNode {
			return "; if this is text, put it in quotes: " + inQuotes(r.mappingText(n, f))
		}
		return oneOf("a term", termKeys)(f)
	})
	f := m.fields
	var given []field
	for _, key := range slices.Concat(kindKeys, groupKeys) {
		if v, ok := f[key]; ok {
			given = append(given, v)
		}
	}
	slices.SortFunc(given, func(a, b field) int { return r.place(a.key).compare(r.place(b.key)) })
	r.options(f, s)
	if len(given) == 0 {
		// An unknown key was reported; it may have been meant to be the one.
		if m.unknown == 0 {
			r.fault(s.at, "this term does not say what to look for; write {word: refund, ...}, or another of %s", enumerate(slices.Concat(kindKeys, groupKeys), "and"))
		}
		return nil
	}
	name := resolve(given[0].key).Value
	kind, leaf := kinds[name]
	for _, other := range given[1:] {
		if key := resolve(other.key).Value; leaf || !slices.Contains(groupKeys, key) {
			r.fault(r.place(other.key), "a term is one thing, and this is %s already; write {%s: ...} as an entry of its own", name, key)
			leaf = true
		}
	}
	if !slices.Contains(kindKeys, name) {
		s.kind = Group
		r.groupLists(f, s, refs)
		if s.min > 0 && len(given) == 1 && name != "any" {
			r.fault(later(r.place(f["min"].key), r.place(given[0].key)), "min counts messages with any of several words, so it cannot stand on %s %s group; remove it, or write any:", article(name), name)
		}
		return s
	}
	s.kind = kind
	text, ok := r.text(given[0].value, name)
	if !ok {
		return nil
	}
	s.text = text
	if v, ok := f["accents"]; ok && kind == Regex {
		r.fault(later(r.place(v.key), r.place(given[0].key)), "accents cannot stand on a regex, which reads the text as it is written; remove it")
	}
	if kind == List {
		if r.lists[text] == nil {
			r.fault(r.place(given[0].value), "there is no list %s%s", quote(text), r.listHint(text))
			return nil
		}
		s.at = r.place(given[0].value)
		*refs = append(*refs, s)
		return s
	}
	if !r.checkText(s, r.place(given[0].value)) {
		return nil
	}
	return s
}

func article(name string) string {
	if name == "all" {
		return "an"
	}
	return "a"
}

func (r *reader) listHint(name string) string {
	if len(r.listOrder) == 0 {
		return "; write it under lists:"
	}
	if near := r.nearest(name, r.listNames); near != "" {
		r.lists[near].used = true // it was meant
		return fmt.Sprintf("; did you mean %s?", quote(near))
	}
	return "; the lists are " + knownNames(r.listNames)
}

// mappingText gives what someone meant as text and YAML took for a mapping.
func (d *document) mappingText(n *yaml.Node, f field) string {
	key := resolve(f.key).Value
	text := key
	if before := strings.TrimRight(d.src.before(d.place(f.key)), " "); strings.HasSuffix(before, "?") {
		return "? " + text
	}
	if f.value.Value != "" {
		text += ": " + f.value.Value
	} else if n.Style&yaml.FlowStyle == 0 {
		text += ":"
	}
	if n.Style&yaml.FlowStyle != 0 && strings.HasPrefix(d.src.after(d.place(n)), "{") {
		text = "{" + text + "}"
	}
	return text
}

// options reads what a rule, a group and a term may all carry.
func (r *reader) options(f map[string]field, s *spec) {
	s.caseFold, s.accentsFold = r.folds(f)
	if v, ok := f["min"]; ok {
		s.minAt = r.place(v.value)
		s.min, _ = r.number(v.value, "min", 1)
	}
	first, hasFirst := f["first"]
	last, hasLast := f["last"]
	if hasFirst {
		s.first, _ = r.number(first.value, "first", 1)
		s.windowAt = r.place(first.value)
	}
	if hasLast {
		s.last, _ = r.number(last.value, "last", 1)
		s.windowAt = r.place(last.value)
	}
	if hasFirst && hasLast {
		r.fault(later(r.place(first.key), r.place(last.key)), "first and last cannot stand together; remove one of them")
		s.window = window{}
	}
}

func (r *reader) groupLists(f map[string]field, s *spec, refs *[]*spec) {
	if v, ok := f["any"]; ok {
		s.any = r.terms(v.value, "any", refs)
	}
	if v, ok := f["all"]; ok {
		s.all = r.terms(v.value, "all", refs)
	}
	if v, ok := f["none"]; ok {
		s.none = r.terms(v.value, "none", refs)
	}
	if len(s.none) == 0 {
		return
	}
	wanted := make(map[look]*spec, len(s.any)+len(s.all))
	for _, t := range slices.Concat(s.any, s.all) {
		if !t.atFault {
			wanted[t.look()] = t
		}
	}
	for _, t := range s.none {
		if other := wanted[t.look()]; other != nil && t.kind != Group && !t.atFault {
			r.repeated[t.at], r.repeated[other.at] = true, true
			at := later(t.at, other.at)
			r.warn(at, "%s is both wanted and in none (line %d), so it never helps; remove one of them", t.label(), min(t.at.line, other.at.line))
		}
	}
}

// A name may be written in any script, so with marks on its letters too.
var placeholder = regexp.MustCompile(`%[\pL\pN_][\pL\pM\pN_]*%`)

// checkText checks the text of a term that is no list and no group.
func (r *reader) checkText(s *spec, at place) bool {
	if s.kind == Regex {
		return r.checkRegex(s.text, at)
	}
	if s.text == "" {
		r.fault(at, "this text is empty; write at least one letter or sign")
		return false
	}
	if r.isBlank(s.text) {
		r.fault(at, "nothing is left of this text, since blanks and invisible characters are not looked at; write at least one letter or sign")
		return false
	}
	if s.kind == Canned && r.emptyCanned(s.text) {
		if placeholder.MatchString(s.text) {
			r.fault(at, "this canned text has only placeholders, so it would be any message; write some of its words")
		} else {
			r.fault(at, "nothing is left of this canned text, since Markdown and HTML are not looked at; write at least one letter or sign")
		}
		return false
	}
	if bare, curly := inCurlyQuotes(s.text); curly {
		r.warn(at, "the curly quotes are part of this text and must be in the message too; write %s if only the words are meant", inQuotes(bare))
	}
	if s.kind != Canned && r.edgeDash(s.text) {
		r.warn(at, "any dashes and blanks between two words count as one blank, so the dash at the edge of this text is found only where no word is on its other side; leave it out")
	}
	if s.kind == Literal && r.oddStar(s.text) {
		r.repeated[at] = true // which other terms cover it does not matter until that is mended
		r.warn(at, "a * stands for any ending only at the end of a word of two or more letters; here it is the sign itself: write {word: %s} if that is meant, or {contains: ...} to find a part of a word", inFlow(s.text))
	}
	if s.kind == Literal {
		r.checkWildcard(s.text, at)
	}
	if s.kind != Canned && r.oneLetter(s.text) {
		if s.kind == Contains {
			r.warn(at, "%s is one letter, so it is found in nearly every message; write more of the word, or {word: %s} for the letter by itself", quote(s.text), inFlow(s.text))
		} else {
			r.warn(at, "%s is one letter, so it is found wherever that stands alone, also beside an apostrophe, a dash or a point; write a longer word, or the words around it too", quote(s.text))
		}
	}
	return true
}

// maxEndings is how many words a wildcard may stand for without a warning.
const maxEndings = 100

// checkWildcard warns of a word with a wildcard that finds too many words. In a
// phrase the other words keep it in check.
func (r *reader) checkWildcard(text string, at place) {
	start, found := strings.CutSuffix(strings.TrimSpace(text), "*")
	if !found || len(start) > 8 {
		return // there are not many words with so long a beginning in common
	}
	var folded strings.Builder
	for _, u := range trimBlanks(r.quick.fold(start, options{})) {
		folded.WriteString(u.key)
	}
	prefix := folded.String()
	if n := words.Count(prefix); len(prefix) > 1 && n > maxEndings {
		all := words.All()
		first := sort.SearchStrings(all, prefix)
		r.warn(at, "%s stands for %d of the most common English words alone, such as %s, %s and %s; write more of the word before the *, or the words themselves",
			quote(text), n, all[first+n/4], all[first+n/2], all[first+3*n/4])
	}
}

// oneLetter says whether a text is a single letter. In a script that is not
// spaced by words that may be a word.
func (r *reader) oneLetter(s string) bool {
	letters := 0
	for _, c := range s {
		if unicode.IsLetter(c) || unicode.IsDigit(c) {
			letters++
		}
	}
	if letters != 1 || len(s) > 16 {
		return false
	}
	units := trimBlanks(r.quick.fold(s, options{caseExact: true, accentsExact: true}))
	return len(units) == 1 && units[0].kind == letter && !units[0].unspaced
}

// isBlank says whether nothing is left of a text to look for.
func (d *document) isBlank(s string) bool {
	return !hasLetter(s) && !slices.ContainsFunc(d.quick.fold(s, options{}), func(u unit) bool { return u.kind != blank })
}

// hasLetter says whether a text has a letter or digit that stays whatever is
// beside it, which spares most texts a closer look.
func hasLetter(s string) bool {
	table := runeTableOf(options{})
	return strings.ContainsFunc(s, func(r rune) bool { return table.fold(r).class&(isLetter|isDigit) != 0 })
}

// emptyCanned says whether nothing but placeholders is left of a canned text
// without Markdown. Letters can only go with HTML, links and code, and not before
// the first sign of such.
func (r *reader) emptyCanned(s string) bool {
	bare := placeholder.ReplaceAllString(s, "")
	if mark := strings.IndexAny(bare, "<[`~"); mark >= 0 && len(s) <= maxMarkdown {
		bare = bare[:mark]
	}
	return !hasLetter(bare) && r.quick.canned(s, options{}).onlyPlaceholders()
}

// inCurlyQuotes gives what stands in curly quotes, such as word processors make
// of straight ones.
func inCurlyQuotes(s string) (bare string, ok bool) {
	s = strings.TrimSpace(s)
	bare = strings.TrimFunc(s, func(r rune) bool { return strings.ContainsRune("“”„‟«»‘’‚‛", r) })
	ok = bare != "" && !strings.HasPrefix(s, bare) && !strings.HasSuffix(s, bare)
	return bare, ok
}

// edgeDash says whether a text begins or ends with dashes that have a word, or
// nothing, on the inner side.
func (r *reader) edgeDash(s string) bool {
	s = strings.TrimSpace(s)
	first, _ := utf8.DecodeRuneInString(s)
	last, _ := utf8.DecodeLastRuneInString(s)
	if foldKind(first) != '-' && foldKind(last) != '-' {
		return false
	}
	units := trimBlanks(r.quick.fold(s, options{}))
	head, tail := trimLeft(units, isGap), trimRight(units, isGap)
	return len(head) == 0 ||
		len(head) < len(units) && head[0].inWord() ||
		len(tail) < len(units) && tail[len(tail)-1].inWord()
}

// oddStar says whether a literal has a star that is no wildcard.
func (r *reader) oddStar(s string) bool {
	if !strings.ContainsAny(s, "*＊") {
		return false
	}
	units := r.quick.fold(s, options{})
	markWildcards(units)
	return slices.ContainsFunc(units, func(u unit) bool { return u.key == "*" && !u.wildcard })
}

type regexCheck struct {
	fault          string
	everywhere     bool // it matches something in every text
	onlyEmpty      bool // it matches the empty text and no other
	matchesNothing bool
}

func (r *reader) checkRegex(pattern string, at place) bool {
	if pattern == "" {
		r.fault(at, "this regex is empty; write a pattern")
		return false
	}
	check, known := r.regexes[pattern]
	if !known {
		if r.regexSteps > maxRegexSteps {
			return false // reported
		}
		prog, err := program(pattern)
		if err == nil {
			if r.regexSteps += len(prog.Inst); r.regexSteps > maxRegexSteps {
				r.fault(at, "the regexes up to this one are too large together; write them shorter (fewer and smaller {...} counts), or take some out")
				return false
			}
			check.everywhere = matchesEmpty(prog, syntax.EmptyBeginText|syntax.EmptyBeginLine) || matchesEmpty(prog, syntax.EmptyEndText|syntax.EmptyEndLine)
			check.matchesNothing = matchesNothing(prog, 0)
			check.onlyEmpty = !check.matchesNothing && matchesNothing(prog, 1)
			// Larger when case is ignored, perhaps too large.
			_, err = syntax.Parse("(?i)"+pattern, syntax.Perl)
		}
		check.fault = regexFault(err)
		r.regexes[pattern] = check
	}
	if check.fault != "" {
		r.fault(at, "%s", check.fault)
		return false
	}
	if regexp.QuoteMeta(pattern) == pattern {
		r.warn(at, "this regex has no pattern in it; write the words themselves, or {contains: %s} to find a part of a word", inFlow(pattern))
	}
	if check.matchesNothing {
		r.warn(at, `this regex matches no text; ^ is the start and $ the end of the message: write \^ or \$ for the sign itself`)
	}
	if check.onlyEmpty {
		r.warn(at, `this regex matches only the empty text, and no message is empty; write what is to stand between ^, the start of the message, and $, its end`)
	}
	if check.everywhere {
		r.warn(at, "this regex matches the empty text, so it is found in every message; make a part of it required")
	}
	return true
}

// maxRegexSteps bounds the size of all regexes of a file together, since a short
// one may stand for a large program. That many take about a second to compile.
const maxRegexSteps = 1_000_000

// program compiles a pattern as far as regexp.Compile does where it may fail.
func program(pattern string) (*syntax.Prog, error) {
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return nil, err
	}
	return syntax.Compile(re.Simplify())
}

// matchesEmpty says whether the program matches without reading anything where
// some conditions hold: at the start of every text, or at its end.
func matchesEmpty(prog *syntax.Prog, holds syntax.EmptyOp) bool {
	seen := make([]bool, len(prog.Inst))
	ways := []uint32{uint32(prog.Start)}
	for len(ways) > 0 {
		at := ways[len(ways)-1]
		ways = ways[:len(ways)-1]
		if seen[at] {
			continue
		}
		seen[at] = true
		switch inst := &prog.Inst[at]; inst.Op {
		case syntax.InstMatch:
			return true
		case syntax.InstAlt, syntax.InstAltMatch:
			ways = append(ways, inst.Out, inst.Arg)
		case syntax.InstCapture, syntax.InstNop:
			ways = append(ways, inst.Out)
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(inst.Arg)&^holds == 0 {
				ways = append(ways, inst.Out)
			}
		}
	}
	return false
}

// matchesNothing says whether no way through a program leads to a match in a text
// of so many characters, 0 or 1, or more: each asks for text after the end of the
// message or before its start, for both where nothing was read, or for a letter of
// a class that has none.
func matchesNothing(prog *syntax.Prog, least int) bool {
	// A way is at an instruction, has read text or not, has met the start before
	// that or not, and has met the end or not.
	type way struct {
		at                   uint32
		read, started, ended bool
	}
	seen := make([][2][2][2]bool, len(prog.Inst)) // by at, read, started and ended
	ways := []way{{at: uint32(prog.Start)}}
	for len(ways) > 0 {
		w := ways[len(ways)-1]
		ways = ways[:len(ways)-1]
		known := &seen[w.at][bit(w.read)][bit(w.started)][bit(w.ended)]
		if *known {
			continue
		}
		*known = true
		inst := &prog.Inst[w.at]
		next := w
		next.at = inst.Out
		switch inst.Op {
		case syntax.InstMatch:
			return false
		case syntax.InstFail:
			continue
		case syntax.InstAlt, syntax.InstAltMatch:
			other := w
			other.at = inst.Arg
			ways = append(ways, other)
		case syntax.InstEmptyWidth:
			empty := syntax.EmptyOp(inst.Arg)
			if empty&syntax.EmptyBeginText != 0 && w.read {
				continue
			}
			next.started = w.started || empty&syntax.EmptyBeginText != 0
			next.ended = w.ended || empty&syntax.EmptyEndText != 0
			if least > 0 && next.started && next.ended && !w.read {
				continue
			}
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			if w.ended || inst.Op == syntax.InstRune && len(inst.Rune) == 0 {
				continue
			}
			next.read = true
		}
		ways = append(ways, next)
	}
	return true
}

func bit(b bool) int {
	if b {
		return 1
	}
	return 0
}

// regexFault says what is wrong with a pattern and what to write instead.
func regexFault(err error) string {
	if err == nil {
		return ""
	}
	var s *syntax.Error
	if !errors.As(err, &s) {
		return "this regex cannot be used: " + strings.TrimPrefix(err.Error(), "error parsing regexp: ") + "; write it in another way"
	}
	hint := "; write it in another way"
	switch s.Code {
	case syntax.ErrInvalidPerlOp:
		hint = "; RE2 has no look-ahead or look-behind: use all: and none:"
	case syntax.ErrInvalidNamedCapture:
		hint = "; write (?P<name>...) (RE2 has no look-behind: use all: and none:)"
	case syntax.ErrMissingRepeatArgument:
		hint = `; write \ before a sign that stands for itself`
	case syntax.ErrInvalidEscape, syntax.ErrTrailingBackslash:
		hint = `; write \\ for a backslash (RE2 has no back references)`
	case syntax.ErrMissingParen, syntax.ErrUnexpectedParen:
		hint = `; close each ( with a ), and write \( or \) for the sign itself`
	case syntax.ErrMissingBracket:
		hint = `; close each [ with a ], and write \[ for the sign itself`
	case syntax.ErrInvalidRepeatSize, syntax.ErrLarge, syntax.ErrNestingDepth:
		hint = "; write it shorter"
	case syntax.ErrInvalidRepeatOp:
		hint = `; one repetition sign is enough, and \ makes it stand for itself`
	case syntax.ErrInvalidCharRange, syntax.ErrInvalidCharClass:
		hint = `; write a range from low to high ([a-z]), \- for the sign itself, or a class that RE2 knows (\d, \pL)`
	}
	where := ""
	if s.Expr != "" {
		where = ": " + inQuotes(s.Expr)
	}
	return fmt.Sprintf("this regex is not valid RE2: %s%s%s", s.Code, where, hint)
}
