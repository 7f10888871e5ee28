package rules

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// A quickFolder folds the many terms of a file in far less time than fold does,
// as a stream folds texts. It is used again for term after term.
type quickFolder struct {
	stream stream
	ascii  [4]*[utf8.RuneSelf]asciiFold // by options.index
	units  []unit
}

// fold gives the units that the function of this name gives, without their
// places. They are good until the next call.
func (q *quickFolder) fold(s string, o options) []unit {
	ascii := &q.ascii[o.index()]
	if *ascii == nil {
		*ascii = newASCII(o)
	}
	q.stream.fold(s, nil, runeTableOf(o), *ascii)
	keys := string(q.stream.keys[:q.stream.n])
	q.units = q.units[:0]
	for start := 0; start < len(keys); {
		end := start + 1
		for end < len(keys) && q.stream.class(end)&startsUnit == 0 {
			end++
		}
		c := q.stream.class(start)
		u := unit{key: keys[start:end], kind: c.kind(), unspaced: c&isUnspaced != 0}
		u.joined = u.kind == sign && c&isWord != 0
		if strings.IndexByte(u.key, inUnit) >= 0 {
			u.key = strings.ReplaceAll(u.key, string([]byte{inUnit}), "")
		}
		q.units = append(q.units, u)
		start = end
	}
	return q.units
}

// pattern gives the pattern of a literal, a word or a substring as it is under
// some options, as literalPattern and containsPattern do but for its needle.
func (q *quickFolder) pattern(t *Term, o options) pattern {
	units := q.fold(t.Text, o)
	if t.Kind == Literal {
		markWildcards(units)
	}
	units = collapseRuns(units)
	if t.Kind == Contains {
		return pattern{units: units}
	}
	return pattern{units: trimBlanks(units), edges: true}
}

// canned gives the pattern of a canned response, as referenceCanned does.
func (q *quickFolder) canned(s string, o options) cannedPattern {
	s = markGaps(s)
	chars := plainChars(s)
	if hasMarkup(s) {
		chars = markdownChars(s)
	}
	return newCannedPattern(chars, func(chars []char) []unit { return slices.Clone(q.fold(charsText(chars), o)) })
}

// kind gives the kind that the class is of.
func (c class) kind() kind {
	switch {
	case c&isLetter != 0:
		return letter
	case c&isDigit != 0:
		return digit
	case c&isBlankRun != 0:
		return blank
	case c&isDash != 0:
		return dash
	}
	return sign
}
