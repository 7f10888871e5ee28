package rules

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// checkStream compares a stream with the folding that the language means.
func checkStream(t interface{ Fatalf(string, ...any) }, s *stream, text string, chars []char, o options) {
	plain := charsText(chars)
	if chars == nil {
		plain, chars = text, nil
	}
	s.fold(plain, chars, runeTableOf(o), newASCII(o))
	if chars == nil {
		chars = plainChars(text)
	}
	units := fold(chars, o)
	i := 0
	for _, u := range units {
		key := string(appendKey(nil, u.key))
		c := classOf(u.kind, u.unspaced)
		if u.joined {
			c |= isWord
		}
		end := i + len(key)
		if end > s.n || string(s.keys[i:end]) != key || s.class(i) != c|startsUnit {
			t.Fatalf("%+q, options %v: unit %+v is %+q of class %b (want %b)", text, o, u, s.keys[i:min(end, s.n)], s.classes[i], c|startsUnit)
		}
		for j := i + 1; j < end; j++ {
			if s.class(j) != c {
				t.Fatalf("%+q, options %v: class %b inside the unit %+v", text, o, s.classes[j], u)
			}
		}
		if start, stop := s.place(i, end); start != u.start || stop != u.end {
			t.Fatalf("%+q, options %v: unit %+v stands at %d to %d", text, o, u, start, stop)
		}
		i = end
	}
	if i != s.n {
		t.Fatalf("%+q, options %v: %+q more than wanted", text, o, s.keys[i:s.n])
	}
	var words []extent
	for i, n := 0, 0; i < len(units); {
		spaced := func(u unit) bool { return (u.kind == letter || u.kind == digit) && !u.unspaced }
		size := len(appendKey(nil, units[i].key))
		if !spaced(units[i]) {
			n += size
			i++
			continue
		}
		first, start := i, n
		for i < len(units) && spaced(units[i]) {
			n += len(appendKey(nil, units[i].key))
			i++
		}
		if first == 0 || wordEnds(units[first-1], units[first]) {
			words = append(words, extent{int32(start), int32(n)})
		}
	}
	if len(words) != len(s.words) {
		t.Fatalf("%+q, options %v: words %v, want %v", text, o, s.words, words)
	}
	for i, w := range words {
		if s.words[i] != w {
			t.Fatalf("%+q, options %v: words %v, want %v", text, o, s.words, words)
		}
	}
}

func TestStreamIsTheFolding(t *testing.T) {
	t.Parallel()
	s := new(stream)
	rapid.Check(t, func(t *rapid.T) {
		text := strings.Join(rapid.SliceOfN(rapid.SampledFrom(append(pieces, vocabulary...)), 1, 30).Draw(t, "text"), rapid.SampledFrom(joints).Draw(t, "joint"))
		o := options{rapid.Bool().Draw(t, "case exact"), rapid.Bool().Draw(t, "accents exact")}
		var chars []char
		if rapid.Bool().Draw(t, "markdown") {
			if chars = markdownChars(text); chars == nil {
				return
			}
		}
		checkStream(t, s, text, chars, o)
	})
}

// Code points between letters and beside themselves.
func TestStreamOfCodePoints(t *testing.T) {
	t.Parallel()
	s := new(stream)
	for r := rune(0); r <= 0x1FFFF; r++ {
		if r > 0x3400 && r%31 != 0 && r&0xFF00 != 0xFF00 && r&0xFF00 != 0xFE00 && r&0xF000 != 0x3000 {
			continue // like its neighbours
		}
		c := string(r)
		checkStream(t, s, "n"+c+"t"+c+c+"1", nil, options{accentsExact: r%2 == 0})
	}
}
