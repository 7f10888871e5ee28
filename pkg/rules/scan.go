package rules

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"strings"
	"unicode/utf8"

	"autotag/pkg/transcript"
)

// A leafFind is the find of a leaf in a message.
type leafFind struct {
	find
	leaf int32
	next int32 // the index of its find in a later message, or -1
}

// A foundLeaf is a leaf that is found, with its first and its last find, and
// the one in the message that is being evaluated.
type foundLeaf struct{ leaf, first, last, now int32 }

// text finds all leaves in one text of the current message.
func (s *match) scanText(text *transcript.Text) {
	v := view{source: *text}
	plain, chars := text.Text, []char(nil)
	if text.Markdown && hasMarkup(plain) {
		chars = v.chars()
		plain = charsText(chars)
	}
	for i, x := range &s.m.indexes {
		if x == nil && s.m.canned[i] == nil {
			continue
		}
		s.stream.fold(plain, chars, &runeTables[i], s.m.ascii[i])
		s.wordsFrom, s.wordsTo = 1, 0
		if x != nil {
			s.scan(x)
		}
		if c := s.m.canned[i]; c != nil {
			s.findCanned(c, i, &v)
		}
	}
	if s.m.regexes != nil {
		s.findRegexes(s.m.regexes, plain, &v)
	}
}

// scan finds the leaves of an index in the stream.
func (s *match) scan(x *index) {
	s.current = &s.stream
	keys := s.stream.keys[:s.stream.n+padding]
	hasWords, hasPairs, hasPrefixes := !x.words.empty(), !x.pairs.empty(), !x.prefixes.empty()
	if hasWords || hasPairs || hasPrefixes {
		var before, earlier placedHash // of the last two words
		for _, w := range s.stream.words {
			n := int(w.end - w.start)
			first := binary.LittleEndian.Uint64(keys[w.start:])
			var h uint64
			if n <= 8 {
				h = mix(uint64(n) ^ first&lowBytes[n]) // as hashKey does it
			} else {
				h = hashKey(keys[w.start:], n)
			}
			if hasWords && x.words.mayHave(h) {
				s.lookUp(x, &x.words, h, int(w.start))
			}
			if hasPairs {
				if keys[max(w.start, 1)-1] == ' ' {
					switch d := w.start - before.end; {
					case d == 1:
						s.lookUpPair(x, before, ' ', h)
						if w.start-earlier.end <= maxBetween && keys[earlier.end] == '\'' { // we're here
							s.lookUpPair(x, earlier, betweenWords(keys, earlier.end, w.start), h)
						}
					case d <= maxBetween && keys[before.end] == '\'': // don't know
						s.lookUpPair(x, before, betweenWords(keys, before.end, w.start), h)
					}
				}
				before, earlier = placedHash{h, w.start, w.end}, before
			}
			if hasPrefixes {
				if found := x.lengths.find(first, n); found != 0 {
					s.lookUpPrefixes(x, keys[w.start:], int(w.start), found)
				}
			}
		}
	}
	if !x.unspaced.empty() || !x.signs.empty() || !x.anywhere.empty() {
		s.scanGrams(x, keys)
	}
}

// A placedHash is the hash of a word, and where it stands.
type placedHash struct {
	hash       uint64
	start, end int32
}

func (s *match) lookUpPair(x *index, first placedHash, between, second uint64) {
	if pair := hashPair(first.hash, between, second); x.pairs.mayHave(pair) {
		s.lookUp(x, &x.pairs, pair, int(first.start))
	}
}

// betweenWords gives the at most eight bytes [start, end).
func betweenWords(keys []byte, start, end int32) uint64 {
	return binary.LittleEndian.Uint64(keys[start:]) & lowBytes[end-start]
}

// lookUpPrefixes looks up the prefixes of some lengths, as bits, of a word.
func (s *match) lookUpPrefixes(x *index, word []byte, start int, lengths uint32) {
	first, second := binary.LittleEndian.Uint64(word), binary.LittleEndian.Uint64(word[8:])
	for found := lengths; found != 0; found &= found - 1 {
		n := bits.TrailingZeros32(found) + 1
		// As hashKey does it.
		var h uint64
		if n <= 8 {
			h = mix(uint64(n) ^ first&lowBytes[n])
		} else {
			h = mix(mix(uint64(n)^first) ^ second&lowBytes[n-8])
		}
		if x.prefixes.mayHave(h) {
			s.lookUp(x, &x.prefixes, h, start)
		}
	}
}

func (s *match) scanGrams(x *index, keys []byte) {
	for i, bits := range s.stream.classes[:s.stream.n] {
		c := class(bits)
		if c&startsUnit == 0 {
			continue
		}
		if !x.anywhere.empty() {
			s.scanGramsAt(x, &x.anywhere, keys, i)
		}
		if c&isUnspaced != 0 {
			s.scanGramsAt(x, &x.unspaced, keys, i)
		} else if c&(isLetter|isDigit|isBlankRun) == 0 {
			s.scanGramsAt(x, &x.signs, keys, i)
		}
	}
}

func (s *match) scanGramsAt(x *index, tables *gramTables, keys []byte, i int) {
	first := binary.LittleEndian.Uint64(keys[i:])
	for g, n := range grams {
		t := &tables[g]
		if t.empty() {
			continue
		}
		if h := mix(uint64(n) ^ first&lowBytes[n]); t.mayHave(h) {
			s.lookUp(x, t, h, i)
		}
	}
}

// lookUp looks at the stages of a hash at byte i of the keys.
func (s *match) lookUp(x *index, t *table, hash uint64, i int) {
	mask := uint32(len(t.slots) - 1)
	tag := tagOf(hash)
	for at := uint32(hash) & mask; t.slots[at].stage != 0; at = (at + 1) & mask {
		if t.slots[at].tag == tag {
			s.try(x, t.slots[at].stage-1, i, i)
		}
	}
}

// try looks which entries of a stage stand at byte i of the keys, in terms that
// begin at start.
func (s *match) try(x *index, stage int32, start, i int) {
	keys := s.current.keys[:s.current.n]
	text := keys[i:]
	for at := x.last(stage, text); at >= 0; at = x.entries[at].prefix {
		e := &x.entries[at]
		if !bytes.HasPrefix(text, x.keyOf(e)) {
			continue
		}
		end := i + int(e.key.end-e.key.start)
		cut := end < len(keys) && keys[end] == inUnit
		whole := e.flags&hasLeaf != 0 && (!cut || e.flags&wholeExt != 0) && (e.flags&asksEnd == 0 || s.wordEndsAt(end))
		if whole {
			s.found(e.leaf, start, end)
		}
		if e.more < 0 {
			continue
		}
		more := &x.more[e.more]
		if whole {
			for _, leaf := range more.whole {
				s.found(leaf, start, end)
			}
		}
		if len(more.open) == 0 && more.then < 0 || cut && e.flags&openExt == 0 {
			continue
		}
		for cut && end < len(keys) && s.current.class(end)&startsUnit == 0 {
			end++
		}
		if more.then >= 0 {
			// What follows a wildcard is no part of a word, so the ending goes
			// on as far as anything of words does.
			if next := s.wordsEnd(end); next < len(keys) {
				s.try(x, more.then, start, next)
			}
		}
		if len(more.open) > 0 {
			for end < len(keys) && !s.wordEndsAt(end) {
				end++
			}
			for _, leaf := range more.open {
				s.found(leaf, start, end)
			}
		}
	}
}

// wordEndsAt says whether a word ends before byte i of the keys, at which a unit
// begins or the text ends. Within a unit it says no, as there a word goes on.
func (s *match) wordEndsAt(i int) bool {
	if i == s.current.n {
		return true
	}
	c := s.current.class(i)
	return c&startsUnit != 0 && s.current.class(i-1).endsWord(c)
}

// wordsEnd gives the first byte from i on that is in no word. It remembers the
// last answer, since in some scripts that is far away, for many finds.
func (s *match) wordsEnd(i int) int {
	if s.wordsFrom <= i && i <= s.wordsTo {
		return s.wordsTo
	}
	s.wordsFrom = i
	for i < s.current.n && s.current.class(i)&isWord != 0 {
		i++
	}
	s.wordsTo = i
	return i
}

// found notes the find of a leaf, if it is the first in this message.
func (s *match) found(leaf int32, start, end int) {
	if leaf < 0 {
		s.candidate(^leaf)
		return
	}
	if s.isFound(leaf) {
		return
	}
	from, to := s.current.place(start, end)
	s.note(leaf, from, to)
}

// isFound says whether the leaf is found in the current message.
func (s *match) isFound(leaf int32) bool {
	f := s.leafOf(leaf)
	return f != nil && s.finds[f.last].message == s.message
}

// leafOf gives what is found of a leaf, or nil.
func (s *match) leafOf(leaf int32) *foundLeaf {
	if at := int(s.leafAt[leaf]); at < len(s.leaves) && s.leaves[at].leaf == leaf {
		return &s.leaves[at]
	}
	return nil
}

// note notes a find of a leaf that is not found in the current message yet.
func (s *match) note(leaf int32, start, end int) {
	at := int32(len(s.finds))
	s.finds = append(s.finds, leafFind{find{s.message, s.textIndex, start, end}, leaf, -1})
	if f := s.leafOf(leaf); f != nil {
		s.finds[f.last].next = at
		f.last = at
		return
	}
	s.leafAt[leaf] = int32(len(s.leaves))
	s.leaves = append(s.leaves, foundLeaf{leaf, at, at, at})
}

// hasMarkup says whether a text that is marked as Markdown may be more or less
// than it looks. It is sure of lines that begin with a letter and have nothing in
// them that CommonMark gives a meaning inside a line.
func hasMarkup(text string) bool {
	if text == "" {
		return false
	}
	first, last := text[0], text[len(text)-1]
	if first < utf8.RuneSelf && !('a' <= first|0x20 && first|0x20 <= 'z') || last <= ' ' {
		return true
	}
	return strings.ContainsAny(text, "\\&<[]!*_`~\x00\t\n\v\f\r")
}
