package rules

import (
	"slices"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
	"golang.org/x/text/cases"
)

// What folding makes of a code point by itself is worked out once, by the same
// functions that fold a text, and remembered. Nearly all text consists of code
// points whose folding does not depend on their neighbours; they are called
// simple here. Between two of them there is always an end of a grapheme cluster.

// A class is what the matcher knows of a unit: its kind and more as bits.
type class uint8

const (
	isLetter class = 1 << iota
	isDigit
	isUnspaced // a letter of a script that is not spaced by words
	isWord     // part of a word: a letter, a digit or a sign that is joined
	isSpaced   // a letter or digit that is no isUnspaced
	isBlankRun
	isDash
	startsUnit // at the first byte of a unit's key
)

const isAnyGap = isBlankRun | isDash

// endsWord says whether a word ends between two neighbours; see wordEnds.
func (c class) endsWord(next class) bool {
	return c&isWord == 0 || next&isWord == 0 || (c|next)&isUnspaced != 0
}

func classOf(k kind, notSpaced bool) class {
	switch {
	case k == letter && notSpaced:
		return isLetter | isUnspaced | isWord
	case k == letter:
		return isLetter | isSpaced | isWord
	case k == digit:
		return isDigit | isSpaced | isWord
	case k == blank:
		return isBlankRun
	case k == dash:
		return isDash
	}
	return 0
}

// inUnit stands in the key of a unit before each code point but the first. It is
// no byte of UTF-8, so equal bytes are equal units.
const inUnit = 0xFF

// appendKey appends the key of a unit in the form in which it is searched.
func appendKey[K string | []byte](b []byte, key K) []byte {
	for i, c := range []byte(key) {
		if i > 0 && utf8.RuneStart(c) {
			b = append(b, inUnit)
		}
		b = append(b, c)
	}
	return b
}

// A runeFold is the folding of one code point.
type runeFold struct {
	form  form
	class class // of a single unit
	size  uint8 // of the key of a single unit
	key   [4]byte
	more  *runeMore
}

type form uint8

const (
	hard       form = iota // folds by its neighbours
	singleUnit             // simple: one short unit
	someUnits              // simple: units of any number and size
)

// runeMore is what few texts need of a code point.
type runeMore struct {
	units []unitKey // of one that is simple
	steps []foldStep
	own   class // the class of a unit that begins with it
}

type unitKey struct {
	class class
	key   string // as appendKey writes it
}

// A foldStep is the folding of one code point of a decomposition.
type foldStep struct {
	out       string // what is left of it
	mark      bool
	invisible bool
	accented  bool // the marks on it are accents
}

const foldPage = 128

type runePage [foldPage]runeFold

// A runeTable has the foldings of all code points with the same options, by
// pages that are made when they are first looked at.
type runeTable struct {
	options options
	pages   [(unicode.MaxRune + 1) / foldPage]atomic.Pointer[runePage]
}

// runeTables are by options.index.
var runeTables [4]runeTable

func runeTableOf(o options) *runeTable { return &runeTables[o.index()] }

func init() {
	for _, o := range []options{{}, {caseExact: true}, {accentsExact: true}, {true, true}} {
		runeTableOf(o).options = o
	}
}

func (t *runeTable) fold(r rune) *runeFold {
	page := t.pages[uint32(r)/foldPage].Load()
	if page == nil {
		page = t.newPage(r - r%foldPage)
	}
	return &page[uint32(r)%foldPage]
}

// newPage makes the page of the code points from first on. Two goroutines may
// make it at once; either result is right.
func (t *runeTable) newPage(first rune) *runePage {
	page := new(runePage)
	f := &folder{options: t.options, lower: cases.Fold()}
	for i := range page {
		page[i] = f.runeFold(first + rune(i))
	}
	t.pages[first/foldPage].Store(page)
	return page
}

func (f *folder) runeFold(r rune) runeFold {
	more := &runeMore{own: classOf(kindOfKey(string(r)))}
	for _, d := range decompose(r) {
		d = foldKind(d)
		s := foldStep{mark: unicode.IsMark(d), invisible: isInvisible(d), accented: unicode.In(d, accented...)}
		if !s.invisible || s.mark {
			s.out = f.plain(d)
		}
		more.steps = append(more.steps, s)
	}
	c := []char{{r, 0, 1}}
	f.folded, f.base = f.folded[:0], 0
	f.char(c[0])
	if !isSimple(r, more.steps, f.folded) {
		return runeFold{form: hard, more: more}
	}
	for _, u := range clusters(c, f.options) {
		more.units = append(more.units, unitKey{classOf(u.kind, u.unspaced), string(appendKey(nil, u.key))})
	}
	one := runeFold{form: someUnits, more: more}
	if key := more.units[0].key; len(more.units) == 1 && len(key) <= len(one.key) {
		one.form, one.class, one.size = singleUnit, more.units[0].class, uint8(len(key))
		copy(one.key[:], key)
	}
	return one
}

// isSimple says whether the code point r folds to the same units whatever
// simple code points are beside it.
func isSimple(r rune, steps []foldStep, folded []char) bool {
	switch {
	case r < utf8.RuneSelf:
		// Only a line break is joined to another (CR LF), and that is
		// undone for blanks.
		return true
	case len(folded) == 0, steps[0].mark, isSkinTone(r):
		return false
	}
	return !joins(r, r) && !joinsBefore(r) && !joinsAfter(r) &&
		!joinsBefore(folded[0].r) && !joinsAfter(folded[len(folded)-1].r)
}

// What a simple code point may be beside, before and after folding: a letter,
// an emoji, a letter of an Indic script, and syllables of Hangul and their
// parts.
var (
	before = []rune{'a', '👍', 'क', '가', '각', '\u1161', '\u11a8'}
	after  = []rune{'a', '👍', 'क', '가', '각', '\u1100'}
)

func joinsBefore(r rune) bool {
	return slices.ContainsFunc(before, func(b rune) bool { return joins(b, r) })
}

func joinsAfter(r rune) bool {
	return slices.ContainsFunc(after, func(a rune) bool { return joins(r, a) })
}

// joins says whether two code points are one grapheme cluster.
func joins(a, b rune) bool {
	_, rest, _, _ := uniseg.FirstGraphemeClusterInString(string(a)+string(b), -1)
	return rest == ""
}
