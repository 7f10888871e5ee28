package rules

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
	"golang.org/x/text/width"
)

// options say which of the foldings that a rule may switch off are off. Width,
// the kind of quotes, blanks and dashes and the invisible are always folded.
type options struct{ caseExact, accentsExact bool }

// index numbers the four combinations from 0.
func (o options) index() int {
	i := 0
	if o.caseExact {
		i++
	}
	if o.accentsExact {
		i += 2
	}
	return i
}

// A char is one code point of a text with the code points of the field, as the
// platform sent it, that it was made from: [start, end).
type char struct {
	r          rune
	start, end int
}

// plainChars gives the code points of a text without markup. A byte that is not
// UTF-8 counts as one code point.
func plainChars(s string) []char {
	chars := make([]char, 0, len(s))
	for _, r := range s {
		n := len(chars)
		chars = append(chars, char{r, n, n + 1})
	}
	return chars
}

func charsText(chars []char) string {
	var b strings.Builder
	for _, c := range chars {
		b.WriteRune(c.r)
	}
	return b.String()
}

// kind of a unit.
type kind uint8

const (
	sign   kind = iota // punctuation, symbols, emoji, superscripts
	letter             // also the signs of scripts whose signs are letters
	digit
	blank // a run of white space; between two words also of dashes
	dash
)

// A unit is what matching compares: one grapheme cluster of the folded text or
// one run of blanks.
type unit struct {
	key      string // canonically decomposed
	kind     kind
	unspaced bool // a letter of a script that is not spaced by words
	joined   bool // a sign inside a word: the apostrophe of n't, the point of 1.5
	wildcard bool // in a pattern only: the rest of a word
	start    int  // code points of the field
	end      int
}

// inWord says whether the unit is part of a word.
func (u unit) inWord() bool { return u.kind == letter || u.kind == digit || u.joined }

// wordEnds says whether a word ends between two neighbours, which is where a
// letter or digit meets anything else, and anywhere beside a letter of a script
// that is not spaced by words.
func wordEnds(a, b unit) bool {
	return !a.inWord() || !b.inWord() || a.unspaced || b.unspaced
}

// fold gives the units of a text.
func fold(chars []char, o options) []unit {
	units := clusters(chars, o)
	joinWords(units)
	return collapseRuns(units)
}

// clusters folds all but the runs of blanks and dashes. Emoji that consist of
// several code points are set apart first, since their joiners would otherwise
// go with the invisible characters, and two halves of flags would become one.
func clusters(chars []char, o options) []unit {
	f := folder{options: o, lower: cases.Fold()}
	rest, state, at, plain := charsText(chars), -1, 0, 0
	for len(rest) > 0 {
		var cluster string
		cluster, rest, _, state = uniseg.FirstGraphemeClusterInString(rest, state)
		n := utf8.RuneCountInString(cluster)
		if c := chars[at : at+n]; isEmojiSequence(c) {
			f.run(chars[plain:at])
			f.units = append(f.units, unit{key: string(appendEmojiKey(nil, c)), start: c[0].start, end: c[n-1].end})
			plain = at + n
		}
		at += n
	}
	f.run(chars[plain:])
	return f.units
}

const (
	zeroWidthJoiner = '\u200d'
	keycap          = '\u20e3'
	blackFlag       = '\U0001F3F4'
	firstTag        = '\U000E0020' // tags spell the region of flags such as Scotland's
	lastTag         = '\U000E007F'
	firstSkinTone   = '\U0001F3FB'
	lastSkinTone    = '\U0001F3FF'
)

// isEmojiSequence says whether a grapheme cluster is an emoji that must be
// neither cut nor joined: a keycap, (half) a flag or a sequence with joiners. It
// never begins with what is a letter, a digit, a blank or a dash by itself but for
// a keycap, so that the kind of a unit follows from its key.
func isEmojiSequence(cluster []char) bool {
	first, tail := cluster[0].r, cluster[1:]
	switch {
	case unicode.Is(unicode.Regional_Indicator, first):
		return true
	case len(tail) == 0:
		return false
	case first == '#' || first == '*' || '0' <= first && first <= '9':
		return slices.ContainsFunc(tail, func(c char) bool { return c.r == keycap })
	case first == blackFlag:
		return true
	case kindOf(first) != sign:
		return false
	}
	joiner := slices.IndexFunc(tail, func(c char) bool { return c.r == zeroWidthJoiner })
	if joiner < 0 || joiner+1 == len(tail) {
		return false
	}
	next := tail[joiner+1].r
	return !unicode.IsMark(next) && !isInvisible(next)
}

// appendEmojiKey appends an emoji without what is ignored in it: skin tones,
// variation selectors, and a joiner that joins nothing.
func appendEmojiKey(key []byte, cluster []char) []byte {
	key = utf8.AppendRune(key, cluster[0].r)
	end := len(key) // without joiners that nothing follows
	for _, c := range cluster[1:] {
		switch {
		case c.r == zeroWidthJoiner:
			key = utf8.AppendRune(key, c.r)
			continue
		case firstTag <= c.r && c.r <= lastTag:
		case isSkinTone(c.r), isInvisible(c.r):
			continue
		}
		key = utf8.AppendRune(key, c.r)
		end = len(key)
	}
	return key[:end]
}

func isSkinTone(r rune) bool { return firstSkinTone <= r && r <= lastSkinTone }

// A folder folds runs of text that hold no emoji sequence.
type folder struct {
	options
	lower cases.Caser
	units []unit

	folded []char
	base   rune // the letter or sign that a mark would belong to
}

// run folds one run and appends its units.
func (f *folder) run(chars []char) {
	f.folded, f.base = f.folded[:0], 0
	for _, c := range chars {
		f.char(c)
	}
	rest, state, at := charsText(f.folded), -1, 0
	for len(rest) > 0 {
		var cluster string
		cluster, rest, _, state = uniseg.FirstGraphemeClusterInString(rest, state)
		n := utf8.RuneCountInString(cluster)
		f.cluster(f.folded[at : at+n])
		at += n
	}
}

// char folds one code point, to none, one or several.
func (f *folder) char(c char) {
	s := decompose(c.r)
	for _, r := range s {
		r = foldKind(r)
		switch {
		case unicode.IsMark(r) && (isInvisible(r) || !f.accentsExact && unicode.In(f.base, accented...)):
			// What is dropped still belongs to the letter before it, so
			// that a find covers it.
			if n := len(f.folded); n > 0 && f.folded[n-1].end == c.start {
				f.folded[n-1].end = c.end
			}
			continue
		case isInvisible(r):
			continue
		case !unicode.IsMark(r):
			f.base = r
		}
		for _, r := range f.plain(r) {
			f.folded = append(f.folded, char{r, c.start, c.end})
		}
	}
}

// plain folds the stroke and the case of one code point.
func (f *folder) plain(r rune) string {
	t := string(r)
	if !f.accentsExact {
		t = foldStroke(r)
	}
	// The one mark that has a case, the Greek iota below, is an accent.
	if !f.caseExact && !unicode.IsMark(r) {
		t = f.foldCase(t)
	}
	return t
}

// cluster appends the unit of one grapheme cluster. A mark on a blank or dash
// stands for itself.
func (f *folder) cluster(chars []char) {
	u := unit{kind: kindOf(chars[0].r), start: chars[0].start, end: chars[len(chars)-1].end}
	if (u.kind == blank || u.kind == dash) && len(chars) > 1 {
		f.cluster(chars[:1])
		f.cluster(chars[1:])
		return
	}
	if u.kind == blank {
		u.key = " "
	} else {
		var b strings.Builder
		for i, c := range chars {
			if i == 0 || !isSkinTone(c.r) {
				b.WriteRune(c.r)
			}
		}
		u.key = norm.NFD.String(b.String()) // puts the marks into one order
		u.kind, u.unspaced = kindOfKey(u.key)
	}
	f.units = append(f.units, u)
}

// accented are the scripts whose marks are accents. In all others the marks
// are letters of their own right or tell letters apart.
var accented = []*unicode.RangeTable{unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Arabic, unicode.Hebrew}

// bearsLetters says whether the marks on a letter are letters of their own
// right, in a script that is spaced by words.
func (u unit) bearsLetters() bool {
	first, _ := utf8.DecodeRuneInString(u.key)
	return u.kind == letter && !u.unspaced && !unicode.In(first, accented...)
}

// unspaced are the scripts that are not spaced by words. The long vowel mark of
// kana belongs to no script in Unicode and is added where this is used.
var unspaced = []*unicode.RangeTable{
	unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Bopomofo, unicode.Hangul,
	unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar,
}

// kindOfKey gives the kind of the unit with this key, and whether it is a letter
// of a script that is not spaced by words. A digit under a keycap is an emoji,
// however the two came together.
func kindOfKey(key string) (k kind, notSpaced bool) {
	first, size := utf8.DecodeRuneInString(key)
	if size < len(key) && '0' <= first && first <= '9' && strings.ContainsRune(key, keycap) {
		return sign, false
	}
	k = kindOf(first)
	return k, k == letter && (unicode.In(first, unspaced...) || first == 'ー')
}

// kindOf gives the kind of the unit that starts with r.
func kindOf(r rune) kind {
	switch {
	case unicode.IsSpace(r):
		return blank
	case r == '-':
		return dash
	case isSuperscript(r):
		return sign
	case unicode.In(r, unicode.L, unicode.Nl):
		return letter
	case unicode.IsMark(r) && !unicode.Is(unicode.Inherited, r):
		return letter
	case unicode.Is(unicode.Nd, r):
		return digit
	}
	return sign
}

// isSuperscript says whether r is a letter that stands raised or lowered: the
// ordinal signs and those modifier letters that are forms of another letter.
func isSuperscript(r rune) bool {
	return r == 'ª' || r == 'º' || unicode.Is(unicode.Lm, r) && norm.NFKD.String(string(r)) != string(r)
}

// decompose takes full and half width, ligatures and letter forms back to the
// plain letters and decomposes canonically. Signs that look like letters, such
// as ™, ① and ½, keep their form, as do the letters of scripts in which a part
// of a letter is not a letter.
func decompose(r rune) string {
	if r < utf8.RuneSelf {
		return string(r)
	}
	if w := width.LookupRune(r).Folded(); w != 0 {
		r = w
	}
	s := norm.NFD.String(string(r))
	first, _ := utf8.DecodeRuneInString(s)
	if unicode.In(first, unicode.L, unicode.Nl, unicode.Nd) && !unicode.In(first, unspaced...) && !isSuperscript(first) {
		// The isolated forms of Arabic marks decompose to a blank that carries the mark.
		s = strings.TrimPrefix(norm.NFKD.String(s), " ")
	}
	return s
}

// foldKind folds the kind of quotes and of dashes.
func foldKind(r rune) rune {
	switch r {
	case '’', '‘', '‚', '‛', 'ʼ', '´', '`':
		return '\''
	case '“', '”', '„', '‟', '«', '»':
		return '"'
	case '−':
		return '-'
	}
	if unicode.Is(unicode.Pd, r) {
		return '-'
	}
	return r
}

// isInvisible says whether r shows nothing by itself: soft hyphens, zero-width
// characters, byte order and directional marks, variation selectors, and the
// tatweel, which only stretches a word.
func isInvisible(r rune) bool {
	return r == 'ـ' || unicode.In(r, unicode.Cf, unicode.Variation_Selector, unicode.Other_Default_Ignorable_Code_Point)
}

// foldStroke folds the letters with a stroke, which Unicode does not decompose,
// and the letters æ and œ.
func foldStroke(r rune) string {
	switch r {
	case 'æ':
		return "ae"
	case 'Æ':
		return "AE"
	case 'œ':
		return "oe"
	case 'Œ':
		return "OE"
	}
	if i := strings.IndexRune(stroked, r); i >= 0 {
		plain := []rune(unstroked)
		return string(plain[utf8.RuneCountInString(stroked[:i])])
	}
	return string(r)
}

const (
	stroked   = "łŁøØđĐħĦŧŦƀɃǥǤɨƗɉɈɍɌɏɎƶƵⱥȺȼȻɇɆⱦȾᵽⱣꝁꝀ"
	unstroked = "lLoOdDhHtTbBgGiIjJrRyYzZaAcCeEtTpPkK"
)

// foldCase is full Unicode case folding; the dotless ı is an i too.
func (f *folder) foldCase(s string) string {
	if len(s) == 1 {
		return strings.ToLower(s)
	}
	if s == "ı" {
		return "i"
	}
	// The library swaps the two cases of Cherokee.
	if r, _ := utf8.DecodeRuneInString(s); unicode.Is(unicode.Cherokee, r) {
		return strings.ToUpper(s)
	}
	return norm.NFD.String(f.lower.String(s))
}

// joinWords marks the signs that are part of a word: the apostrophe of n't
// after a letter, and a point or comma between two digits.
func joinWords(units []unit) {
	for i := 1; i+1 < len(units); i++ {
		before, after := units[i-1], units[i+1]
		switch units[i].key {
		case ".", ",":
			units[i].joined = before.kind == digit && after.kind == digit
		case "'":
			units[i].joined = strings.EqualFold(before.key, "n") && strings.EqualFold(after.key, "t") &&
				i >= 2 && units[i-2].kind == letter &&
				(i+2 == len(units) || wordEnds(after, units[i+2]))
		}
	}
}

// collapseRuns makes one blank of every run of blanks, and of every run of
// blanks and dashes that stands between two words.
func collapseRuns(units []unit) []unit {
	isWord := func(u unit) bool { return u.inWord() || u.wildcard }
	out := make([]unit, 0, len(units))
	for i := 0; i < len(units); {
		if !isGap(units[i]) {
			out = append(out, units[i])
			i++
			continue
		}
		j := i
		for j < len(units) && isGap(units[j]) {
			j++
		}
		run := units[i:j]
		if i > 0 && j < len(units) && isWord(units[i-1]) && isWord(units[j]) {
			out = append(out, unit{key: " ", kind: blank, start: run[0].start, end: run[len(run)-1].end})
			i = j
			continue
		}
		for k, u := range run {
			if k > 0 && u.kind == blank && run[k-1].kind == blank {
				out[len(out)-1].end = u.end
				continue
			}
			out = append(out, u)
		}
		i = j
	}
	return out
}

func isBlank(u unit) bool { return u.kind == blank }

// isGap says whether the unit is part of a run of blanks and dashes.
func isGap(u unit) bool { return u.kind == blank || u.kind == dash }

func trimLeft(units []unit, drop func(unit) bool) []unit {
	for len(units) > 0 && drop(units[0]) {
		units = units[1:]
	}
	return units
}

func trimRight(units []unit, drop func(unit) bool) []unit {
	for len(units) > 0 && drop(units[len(units)-1]) {
		units = units[:len(units)-1]
	}
	return units
}

func trimBlanks(units []unit) []unit { return trimRight(trimLeft(units, isBlank), isBlank) }
