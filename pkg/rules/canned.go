package rules

import (
	"bytes"
	"strings"
)

// A cannedIndex finds canned responses of the same options. The letters of a
// response, in a row without anything between, are those of the message: a message
// is read as Markdown, which takes long, only if its letters are.
type cannedIndex struct {
	whole map[string][]int32 // by all letters; without placeholders
	parts map[string][]int32 // by the first letters of those with placeholders
	items []cannedItem
}

type cannedItem struct {
	leaf           int32
	pattern        cannedPattern
	before, behind []byte // the letters before the first and behind the last placeholder
}

// cannedKey is how many bytes of letters those with placeholders are looked up by.
const cannedKey = 8

func newCannedIndex() *cannedIndex {
	return &cannedIndex{whole: make(map[string][]int32), parts: make(map[string][]int32)}
}

func (x *cannedIndex) add(leaf int32, p cannedPattern) {
	if p.onlyPlaceholders() {
		return // never found
	}
	first, last := p.pieces[0], p.pieces[len(p.pieces)-1]
	item := cannedItem{leaf, p, lettersOf(nil, first.units), lettersOf(nil, last.units)}
	at := int32(len(x.items))
	x.items = append(x.items, item)
	if len(p.pieces) == 1 {
		x.whole[string(item.before)] = append(x.whole[string(item.before)], at)
		return
	}
	key := string(item.before[:min(len(item.before), cannedKey)])
	x.parts[key] = append(x.parts[key], at)
}

// lettersOf appends the keys of the letters among units.
func lettersOf(b []byte, units []unit) []byte {
	for _, u := range units {
		if u.kind == letter {
			b = appendKey(b, u.key)
		}
	}
	return b
}

// appendLetters appends the keys of the letters in the stream.
func (s *stream) appendLetters(b []byte) []byte {
	for i, c := range s.classes[:s.n] {
		if class(c)&isLetter != 0 {
			b = append(b, s.keys[i])
		}
	}
	return b
}

// findCanned finds canned responses in a text that is in the stream, without
// Markdown if it is marked as such.
func (s *match) findCanned(x *cannedIndex, options int, v *view) {
	stream := &s.stream
	if !v.source.Markdown && (stream.hardRuns > 0 || strings.ContainsAny(v.source.Text, "<&[`~\\")) {
		// Markdown may take letters away from this text, or bring letters and
		// the marks on them together.
		chars := v.withoutMarkdown()
		s.plainStream.fold(charsText(chars), chars, stream.table, stream.ascii)
		stream = &s.plainStream
	}
	s.letters = stream.appendLetters(s.letters[:0])
	for _, at := range x.whole[string(s.letters)] {
		s.tryCanned(&x.items[at], options, v)
	}
	for n := 0; n <= min(len(s.letters), cannedKey) && len(x.parts) > 0; n++ {
		for _, at := range x.parts[string(s.letters[:n])] {
			item := &x.items[at]
			if bytes.HasPrefix(s.letters, item.before) && bytes.HasSuffix(s.letters, item.behind) {
				s.tryCanned(item, options, v)
			}
		}
	}
}

func (s *match) tryCanned(item *cannedItem, index int, v *view) {
	if s.isFound(item.leaf) {
		return
	}
	if start, end, found := item.pattern.find(v.stripped(runeTables[index].options)); found {
		s.note(item.leaf, start, end)
	}
}
