package rules

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
	"unicode/utf8"

	"github.com/rivo/uniseg"
	"golang.org/x/text/unicode/norm"
)

// A stream is the folded form of one text, as fold gives it, laid out for
// searching: the keys of all units in a row, each with its class and its place,
// and the words. It is used again for text after text.
//
// keys and classes have an entry for each byte of the keys.
type stream struct {
	keys    []byte
	classes []uint8  // each a class
	n       int      // bytes in use
	places  []placed // sorted
	words   []extent // where literals that begin with a letter or digit can begin

	table *runeTable
	lower uint64 // what folds the case of eight letters of ASCII
	ascii *[utf8.RuneSelf]asciiFold
	chars []char // the code points of the text, where they are not those of the field
	next  int    // code points read
	left  int    // bytes of the text that are not read yet

	word int // where the letters and digits began that the keys end with, or -1
	gap  int // where the blanks and dashes began that the keys end with, or -1

	gapUnits []gapUnit

	hard     hardRun
	hardRuns int // how often code points were folded by their neighbours
}

// A placed says where units stand in the text. One code point after the other
// mostly has a key of one byte, so that one of these serves for many.
type placed struct {
	at         int32 // the byte of the keys that this is true of, and of what follows
	start, end int32 // code points of the text
	row        bool  // each byte is the code point after that of the byte before
}

// An extent is a part of the keys: the bytes [start, end).
type extent struct{ start, end int32 }

// padding is how many zero bytes follow the keys, so that any eight can be read
// at once.
const padding = 16

type asciiFold struct {
	key   byte
	class class
}

// newASCII gives the foldings of ASCII in a table of its own, which is small.
func newASCII(o options) *[utf8.RuneSelf]asciiFold {
	var t [utf8.RuneSelf]asciiFold
	for r := range t {
		f := runeTableOf(o).fold(rune(r))
		t[r] = asciiFold{f.key[0], f.class | startsUnit}
	}
	return &t
}

// fold folds a text. Its code points are those of the field, or chars.
func (s *stream) fold(text string, chars []char, table *runeTable, ascii *[utf8.RuneSelf]asciiFold) {
	s.n, s.words, s.places = 0, s.words[:0], s.places[:0]
	s.table, s.ascii, s.chars = table, ascii, chars
	s.next, s.left, s.word, s.gap = 0, len(text), -1, -1
	s.hardRuns, s.lower = 0, 0
	if !table.options.caseExact {
		s.lower = eachByte * 0x20
	}
	s.grow(0)
	for i := 0; i < len(text); {
		stop := plainASCII(text, i)
		if stop < len(text) {
			stop-- // the last one may be joined by what follows
		}
		if i < stop {
			s.foldASCII(text[i:stop])
			i = stop
			s.left = len(text) - i
			continue
		}
		i = s.foldRunes(text, i)
	}
	s.closeWord()
	s.closeGap(0)
	s.grow(0)
	clear(s.keys[s.n : s.n+padding])
}

const (
	eachByte = 0x0101010101010101
	highBits = 0x80 * eachByte
)

// eight reads eight bytes of a text at once.
func eight(s string) uint64 {
	_ = s[7]
	return uint64(s[0]) | uint64(s[1])<<8 | uint64(s[2])<<16 | uint64(s[3])<<24 |
		uint64(s[4])<<32 | uint64(s[5])<<40 | uint64(s[6])<<48 | uint64(s[7])<<56
}

// plainASCII gives the end of the ASCII that begins at byte i of the text.
func plainASCII(text string, i int) int {
	for ; i+32 <= len(text); i += 32 {
		if (eight(text[i:])|eight(text[i+8:])|eight(text[i+16:])|eight(text[i+24:]))&highBits != 0 {
			break
		}
	}
	for ; i+8 <= len(text); i += 8 {
		if eight(text[i:])&highBits != 0 {
			break
		}
	}
	for i < len(text) && text[i] < utf8.RuneSelf {
		i++
	}
	return i
}

// letters says with how many letters of ASCII eight bytes of ASCII begin.
func letters(x uint64) int {
	x |= eachByte * 0x20
	fromA := x + eachByte*(0x80-'a')
	afterZ := x + eachByte*(0x7F-'z')
	return bits.TrailingZeros64(^(fromA&^afterZ)&highBits) / 8
}

const letterClass = isLetter | isSpaced | isWord | startsUnit

// foldASCII folds code points of ASCII that nothing else follows. There is room
// for them.
func (s *stream) foldASCII(text string) {
	ascii, n := s.ascii, s.n
	keys, classes := s.keys, s.classes[:len(s.keys)]
	next := s.next - n // the code point of a byte of the keys, less the byte
	s.inRow(next)
	s.next += len(text)
	for i := 0; i < len(text); {
		f := ascii[text[i]&0x7F]
		if f.class&isSpaced != 0 {
			if s.gap >= 0 {
				s.n = n
				s.closeGap(f.class)
				next += n - s.n
				n = s.n
				s.inRow(next)
			}
			if s.word < 0 {
				s.word = n
			}
			for {
				if i+8 <= len(text) {
					// Most words are done in one step. What is written
					// after the letters is written again.
					x := eight(text[i:])
					binary.LittleEndian.PutUint64(keys[n:], x|s.lower)
					binary.LittleEndian.PutUint64(classes[n:], eachByte*uint64(letterClass))
					size := letters(x)
					n, i = n+size, i+size
					if size == 8 {
						continue
					}
				}
				if i == len(text) {
					s.n = n
					return
				}
				if f = ascii[text[i]&0x7F]; f.class&isSpaced != 0 {
					keys[n], classes[n] = f.key, uint8(f.class)
					n, i = n+1, i+1
					if i == len(text) {
						s.n = n
						return
					}
					continue
				}
				if start := s.word; start == 0 || keys[start-1] == ' ' {
					s.words = append(s.words, extent{int32(start), int32(n)}) // as closeWord does
					s.word = -1
				} else {
					s.n = n
					s.closeWord()
				}
				if f.key != ' ' || i+1 >= len(text) || ascii[text[i+1]&0x7F].class&isSpaced == 0 {
					break
				}
				// Most words are followed by a blank and a word.
				keys[n], classes[n] = ' ', uint8(f.class)
				n, i = n+1, i+1
				s.word = n
			}
		} else if s.word >= 0 {
			s.n = n
			s.closeWord()
		}
		if f.class&isAnyGap == 0 {
			if s.gap >= 0 {
				s.n = n
				s.closeGap(f.class)
				next += n - s.n
				n = s.n
				s.inRow(next)
			}
		} else if s.gap < 0 {
			s.gap = n
		}
		keys[n], classes[n] = f.key, uint8(f.class)
		n, i = n+1, i+1
	}
	s.n = n
}

// inRow says that from here on, a byte of the keys is the code point as much
// after it in number as next says.
func (s *stream) inRow(next int) {
	if k := len(s.places); k > 0 && s.places[k-1].row && s.places[k-1].start-s.places[k-1].at == int32(next) {
		return
	}
	s.places = append(s.places, placed{at: int32(s.n), start: int32(s.n + next), row: true})
}

// at says where the unit stands whose key begins here.
func (s *stream) at(start, end int) {
	s.places = append(s.places, placed{at: int32(s.n), start: int32(start), end: int32(end)})
}

// foldRunes folds the code points from byte i of the text on, up to where ASCII
// alone follows, and gives the byte after them.
func (s *stream) foldRunes(text string, i int) int {
	r, size := utf8.DecodeRuneInString(text[i:])
	f := s.table.fold(r)
	for {
		next := i + size
		s.left = len(text) - next
		if next == len(text) {
			if f.form == hard {
				return s.foldHard(text, i)
			}
			s.simple(f)
			return next
		}
		followed := r >= utf8.RuneSelf && text[next] < utf8.RuneSelf
		r, size = utf8.DecodeRuneInString(text[next:])
		following := s.table.fold(r)
		if f.form == hard || following.form == hard {
			return s.foldHard(text, i)
		}
		s.simple(f)
		if followed {
			return next
		}
		f, i = following, next
	}
}

// simple appends the units of a simple code point.
func (s *stream) simple(f *runeFold) {
	at := s.next
	s.next++
	if f.form == singleUnit {
		s.open(f.class, int(f.size))
		if f.size == 1 {
			s.inRow(at - s.n)
		} else {
			s.at(at, at+1)
		}
		c := uint8(f.class | startsUnit)
		for _, b := range f.key[:f.size] {
			s.keys[s.n], s.classes[s.n] = b, c
			c = uint8(f.class)
			s.n++
		}
		return
	}
	for _, u := range f.more.units {
		s.unit(u.class, u.key, at, at+1)
	}
}

// unit appends a unit.
func (s *stream) unit(c class, key string, start, end int) {
	s.open(c, len(key))
	s.at(start, end)
	copy(s.keys[s.n:], key)
	for i := range len(key) {
		s.classes[s.n+i] = uint8(c)
	}
	s.classes[s.n] |= uint8(startsUnit)
	s.n += len(key)
}

// open ends what a unit of the class c ends, begins what it begins and makes
// room for its key.
func (s *stream) open(c class, size int) {
	if s.n+size+s.left+padding > len(s.keys) {
		s.grow(size)
	}
	if c&isSpaced == 0 {
		s.closeWord()
	}
	if c&isAnyGap != 0 {
		if s.gap < 0 {
			s.gap = s.n
		}
		return
	}
	s.closeGap(c)
	if c&isSpaced != 0 && s.word < 0 {
		s.word = s.n
	}
}

// grow makes room for a key of the size, for one byte for each that is left of
// the text, and for the padding.
func (s *stream) grow(size int) {
	need := s.n + size + s.left + padding
	if need <= len(s.keys) {
		return
	}
	need += need / 2
	s.keys = slices.Grow(s.keys[:s.n], need-s.n)[:need]
	s.classes = slices.Grow(s.classes[:s.n], need-s.n)[:need]
}

// closeWord ends the letters and digits that the keys end with. As joinWords
// does, it joins the sign before them where that is part of a word; then no word
// begins here.
func (s *stream) closeWord() {
	start := s.word
	if start < 0 {
		return
	}
	s.word = -1
	if start >= 2 {
		if before := s.keys[start-1]; (before == '.' || before == ',' || before == '\'') && s.joined(start) {
			s.classes[start-1] |= uint8(isWord)
			return
		}
	}
	s.words = append(s.words, extent{int32(start), int32(s.n)})
}

// joined says whether the sign before the letters and digits that begin at i and
// that the keys end with is part of a word.
func (s *stream) joined(i int) bool {
	switch s.keys[i-1] {
	case '.', ',':
		return s.class(i-1)&startsUnit != 0 && s.class(i-2)&isDigit != 0 && s.class(i)&isDigit != 0
	case '\'':
		// What follows a t is no letter or digit of a spaced script, so the
		// word ends.
		return s.class(i-1)&startsUnit != 0 && s.n == i+1 && s.keys[i]|0x20 == 't' &&
			s.keys[i-2]|0x20 == 'n' && s.class(i-2)&startsUnit != 0 &&
			i >= 3 && s.class(i-3)&isLetter != 0
	}
	return false
}

// class gives the class at byte i of the keys.
func (s *stream) class(i int) class { return class(s.classes[i]) }

// closeGap makes of the blanks and dashes that the keys end with what
// collapseRuns makes of them before a unit of the class next.
func (s *stream) closeGap(next class) {
	start := s.gap
	if start < 0 {
		return
	}
	s.gap = -1
	if s.n == start+1 && s.class(start)&isBlankRun != 0 {
		return
	}
	// Each of these units is one byte.
	size := s.n - start
	units := s.gapUnits[:0]
	for i := start; i < s.n; i++ {
		from, to := s.textPlace(i, i+1)
		units = append(units, gapUnit{s.keys[i], s.classes[i], from, to})
	}
	s.gapUnits = units
	s.n = start
	for k := len(s.places); k > 0 && int(s.places[k-1].at) >= start; k-- {
		s.places = s.places[:k-1]
	}
	if start > 0 && s.class(start-1)&isWord != 0 && next&isWord != 0 {
		units[0].key, units[0].class, units[0].end = ' ', uint8(isBlankRun|startsUnit), units[size-1].end
		units = units[:1]
	}
	for i := 0; i < len(units); {
		u := units[i]
		for i++; i < len(units) && class(u.class)&class(units[i].class)&isBlankRun != 0; i++ {
			u.end = units[i].end
		}
		s.at(u.start, u.end)
		s.keys[s.n], s.classes[s.n] = u.key, u.class
		s.n++
	}
}

// A gapUnit is a blank or a dash.
type gapUnit struct {
	key, class uint8
	start, end int
}

// A hardRun is what it takes to fold code points by their neighbours, as clusters
// does it.
type hardRun struct {
	chars  []char // start and end count code points of the text
	text   []byte // of chars
	folded []char
	bytes  []byte // of folded
	key    []byte
	normal []byte
	stored []byte
}

// foldHard folds the code points from byte i of the text on up to the first place
// between two simple ones, where nothing can reach across, and gives the byte
// after them.
func (s *stream) foldHard(text string, i int) int {
	s.hardRuns++
	h := &s.hard
	h.chars, h.text = h.chars[:0], h.text[:0]
	simple := false
	for i < len(text) {
		r, size := utf8.DecodeRuneInString(text[i:])
		f := s.table.fold(r)
		if simple && f.form != hard && len(h.chars) > 1 {
			break
		}
		simple = f.form != hard
		h.chars = append(h.chars, char{r, s.next, s.next + 1})
		h.text = utf8.AppendRune(h.text, r)
		s.next++
		i += size
	}
	s.left = len(text) - i

	rest, state, at, plain := h.text, -1, 0, 0
	for len(rest) > 0 {
		var cluster []byte
		cluster, rest, _, state = uniseg.FirstGraphemeCluster(rest, state)
		n := utf8.RuneCount(cluster)
		if c := h.chars[at : at+n]; isEmojiSequence(c) {
			s.hardPart(h.chars[plain:at])
			h.key = appendEmojiKey(h.key[:0], c)
			s.hardUnit(0, c[0].start, c[n-1].end)
			plain = at + n
		}
		at += n
	}
	s.hardPart(h.chars[plain:])
	return i
}

// hardPart folds code points among which there is no emoji sequence, as
// folder.run does it.
func (s *stream) hardPart(chars []char) {
	h := &s.hard
	h.folded, h.bytes = h.folded[:0], h.bytes[:0]
	accented := false // the marks here are accents
	for _, c := range chars {
		for _, step := range s.table.fold(c.r).more.steps {
			switch {
			case step.mark && (step.invisible || !s.table.options.accentsExact && accented):
				if n := len(h.folded); n > 0 && s.adjacent(h.folded[n-1].end, c.start) {
					h.folded[n-1].end = c.end
				}
				continue
			case step.invisible:
				continue
			case !step.mark:
				accented = step.accented
			}
			for _, r := range step.out {
				h.folded = append(h.folded, char{r, c.start, c.end})
			}
			h.bytes = append(h.bytes, step.out...)
		}
	}
	rest, state, at := h.bytes, -1, 0
	for len(rest) > 0 {
		var cluster []byte
		cluster, rest, _, state = uniseg.FirstGraphemeCluster(rest, state)
		n := utf8.RuneCount(cluster)
		s.hardCluster(h.folded[at : at+n])
		at += n
	}
}

// adjacent says whether what ends before the code point b of the text, which is
// the code point a or one after it, ends in the field where b begins.
func (s *stream) adjacent(end, start int) bool {
	if s.chars == nil {
		return end == start
	}
	return s.chars[end-1].end == s.chars[start].start
}

// hardCluster appends the unit of one grapheme cluster, as folder.cluster does it.
func (s *stream) hardCluster(chars []char) {
	first := s.table.fold(chars[0].r).more.own
	if first&isAnyGap != 0 && len(chars) > 1 {
		s.hardCluster(chars[:1])
		s.hardCluster(chars[1:])
		return
	}
	h := &s.hard
	h.key = h.key[:0]
	for i, c := range chars {
		if i == 0 || !isSkinTone(c.r) {
			h.key = utf8.AppendRune(h.key, c.r)
		}
	}
	if first&isBlankRun != 0 {
		h.key = append(h.key[:0], ' ')
	} else if !norm.NFD.IsNormal(h.key) {
		h.normal = norm.NFD.Append(h.normal[:0], h.key...)
		h.key, h.normal = h.normal, h.key
	}
	r, size := utf8.DecodeRune(h.key)
	c := s.table.fold(r).more.own
	if size < len(h.key) && c&isDigit != 0 && r < utf8.RuneSelf && slices.ContainsFunc(chars, func(c char) bool { return c.r == keycap }) {
		c = 0 // see kindOfKey
	}
	s.hardUnit(c, chars[0].start, chars[len(chars)-1].end)
}

// hardUnit appends the unit whose key is in hard.key.
func (s *stream) hardUnit(c class, start, end int) {
	h := &s.hard
	h.stored = appendKey(h.stored[:0], h.key)
	s.open(c, len(h.stored))
	s.at(start, end)
	for i, b := range h.stored {
		s.keys[s.n+i], s.classes[s.n+i] = b, uint8(c)
	}
	s.classes[s.n] |= uint8(startsUnit)
	s.n += len(h.stored)
}

// place gives the place of a find, the bytes [start, end) of the keys, as code
// points of the field.
func (s *stream) place(start, end int) (int, int) {
	first, last := s.textPlace(start, end)
	if s.chars == nil {
		return first, last
	}
	return s.chars[first].start, s.chars[last-1].end
}

// textPlace gives the same as code points of the text.
func (s *stream) textPlace(start, end int) (int, int) {
	find := func(i int) placed {
		k, found := slices.BinarySearchFunc(s.places, int32(i), func(p placed, i int32) int { return cmp.Compare(p.at, i) })
		if !found {
			k--
		}
		// The last one of a place is that of the unit; one before it has no bytes.
		for k+1 < len(s.places) && int(s.places[k+1].at) <= i {
			k++
		}
		p := s.places[k]
		if p.row {
			p.start += int32(i) - p.at
			p.end = p.start + 1
		}
		return p
	}
	return int(find(start).start), int(find(end - 1).end)
}
