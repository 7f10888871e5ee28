package rules

import "strings"

// A pattern is the folded form of a literal, a word or a substring.
type pattern struct {
	units []unit
	edges bool // a letter or digit at an edge asks for a word end there

	// needle is what the folded text must hold at a find: the keys up to
	// the first wildcard.
	needle string
}

func literalPattern(s string, o options, wildcards bool) pattern {
	units := clusters(plainChars(s), o)
	joinWords(units)
	if wildcards {
		markWildcards(units)
	}
	return newPattern(trimBlanks(collapseRuns(units)), true)
}

func containsPattern(s string, o options) pattern {
	return newPattern(fold(plainChars(s), o), false)
}

func newPattern(units []unit, edges bool) pattern {
	return pattern{units: units, edges: edges, needle: needleOf(units)}
}

// needleOf gives the keys of the units up to the first wildcard.
func needleOf(units []unit) string {
	var needle strings.Builder
	for _, u := range units {
		if u.wildcard {
			break
		}
		needle.WriteString(u.key)
	}
	return needle.String()
}

// markWildcards turns each star that ends a word of two or more letters or
// digits into a wildcard. Any other star is a star.
func markWildcards(units []unit) {
	for i, u := range units {
		if u.key != "*" {
			continue
		}
		if i+1 < len(units) && (units[i+1].inWord() || units[i+1].key == "*") {
			continue
		}
		length := 0
		for j := i - 1; j >= 0 && units[j].inWord() && units[j].unspaced == units[i-1].unspaced; j-- {
			if !units[j].joined {
				length++
			}
		}
		units[i].wildcard = length >= 2
	}
}

// A foldedText is the folded form of one text of a message.
type foldedText struct {
	units  []unit
	joined string // the keys of all units
	unitAt []int  // by byte of joined: the unit that starts there, or -1
	runEnd []int  // by unit: the next unit that is not in a word, from this one on
}

func newFoldedText(units []unit) foldedText {
	var b strings.Builder
	for _, u := range units {
		b.WriteString(u.key)
	}
	t := foldedText{units: units, joined: b.String(), unitAt: make([]int, b.Len()), runEnd: make([]int, len(units)+1)}
	at := 0
	for i, u := range units {
		t.unitAt[at] = i
		for j := 1; j < len(u.key); j++ {
			t.unitAt[at+j] = -1
		}
		at += len(u.key)
	}
	t.runEnd[len(units)] = len(units)
	for i := len(units) - 1; i >= 0; i-- {
		t.runEnd[i] = i
		if units[i].inWord() {
			t.runEnd[i] = t.runEnd[i+1]
		}
	}
	return t
}

// find gives the earliest find of the pattern as code points of the field.
func (p pattern) find(t foldedText) (start, end int, found bool) {
	if len(p.units) == 0 {
		return 0, 0, false
	}
	for from := 0; ; from++ {
		i := strings.Index(t.joined[from:], p.needle)
		if i < 0 {
			return 0, 0, false
		}
		from += i
		first := t.unitAt[from]
		if first < 0 || p.edges && p.units[0].inWord() && first > 0 && !wordEnds(t.units[first-1], t.units[first]) {
			continue
		}
		if next, ok := p.matchAt(t, first, 0); ok {
			return t.units[first].start, t.units[next-1].end, true
		}
	}
}

// matchAt says whether the pattern from its unit j on stands at unit i of the
// text, and which unit follows.
func (p pattern) matchAt(t foldedText, i, j int) (next int, ok bool) {
	text := t.units
	for ; j < len(p.units); j++ {
		switch {
		case !p.units[j].wildcard:
			if i == len(text) || !p.sameUnit(text[i], j) {
				return 0, false
			}
			i++
		case j+1 < len(p.units):
			// What follows a wildcard is no part of a word, so the ending goes
			// on as far as anything of words does. (In a script that is not
			// spaced by words that is more than one word.)
			i = t.runEnd[i]
		default:
			for i < len(text) && !wordEnds(text[i-1], text[i]) {
				i++
			}
		}
	}
	if last := p.units[len(p.units)-1]; p.edges && last.inWord() && i < len(text) && !wordEnds(text[i-1], text[i]) {
		return 0, false
	}
	return i, true
}

// sameUnit says whether unit u of a text is unit j of the pattern. Where the
// word may go on (before a wildcard, at the end of a substring) the last letter
// may bear further signs that are letters themselves, such as a vowel sign of
// Devanagari.
func (p pattern) sameUnit(u unit, j int) bool {
	q := p.units[j]
	if u.key == q.key {
		return true
	}
	open := j+1 < len(p.units) && p.units[j+1].wildcard || j+1 == len(p.units) && !p.edges
	return open && q.bearsLetters() && strings.HasPrefix(u.key, q.key)
}
