package rules

import "slices"

// gapMark stands for a placeholder while the canned text is read as Markdown.
// It is a noncharacter, so no text holds it.
const gapMark = '\uFDD0'

// A cannedPattern is the folded form of a canned response: the pieces between
// its placeholders.
type cannedPattern struct{ pieces []cannedPiece }

// A cannedPiece is a text between two placeholders. What it has of blanks and
// dashes beside a placeholder folds by what stands for the placeholder, so
// there it asks only that there are some.
type cannedPiece struct {
	units         []unit
	before, after gap
}

// gap is what a piece has of blanks and dashes at an edge.
type gap uint8

const (
	noGap     gap = iota
	blankGap      // found at the ends of the text too, where blanks do not count
	dashedGap     // with at least one dash
)

func gapOf(run []unit) gap {
	switch {
	case len(run) == 0:
		return noGap
	case slices.ContainsFunc(run, func(u unit) bool { return u.kind == dash }):
		return dashedGap
	}
	return blankGap
}

// markGaps puts the mark of a gap in place of each placeholder.
func markGaps(s string) string { return placeholder.ReplaceAllString(s, string(gapMark)) }

// referenceCanned gives the pattern of a canned response.
func referenceCanned(s string, o options) cannedPattern {
	return newCannedPattern(markdownChars(markGaps(s)), func(chars []char) []unit { return fold(chars, o) })
}

// newCannedPattern makes the pattern of a text without Markdown.
func newCannedPattern(chars []char, fold func([]char) []unit) cannedPattern {
	var c cannedPattern
	for first := true; ; first = false {
		end := 0
		for end < len(chars) && chars[end].r != gapMark {
			end++
		}
		last := end == len(chars)
		piece := cannedPiece{units: fold(chars[:end])}
		if first {
			piece.units = trimLeft(piece.units, isBlank)
		}
		if last {
			piece.units = trimRight(piece.units, isBlank)
		}
		if !first {
			rest := trimLeft(piece.units, isGap)
			piece.before = gapOf(piece.units[:len(piece.units)-len(rest)])
			piece.units = rest
		}
		if !last {
			rest := trimRight(piece.units, isGap)
			piece.after = gapOf(piece.units[len(rest):])
			piece.units = rest
		}
		c.pieces = append(c.pieces, piece)
		if last {
			return c
		}
		chars = chars[end+1:]
	}
}

// onlyPlaceholders says whether nothing but placeholders is left without
// Markdown and blanks, so that any text would be the canned response.
func (c cannedPattern) onlyPlaceholders() bool {
	return !slices.ContainsFunc(c.pieces, func(p cannedPiece) bool {
		return len(p.units) > 0 || p.before == dashedGap || p.after == dashedGap
	})
}

// find says whether the whole text is the canned response.
func (c cannedPattern) find(text []unit) (start, end int, found bool) {
	text = trimBlanks(text)
	if len(text) == 0 || c.onlyPlaceholders() || !c.matches(text) {
		return 0, 0, false
	}
	return text[0].start, text[len(text)-1].end, true
}

// matches looks for the pieces one after the other, each as early as it can
// be; the first and the last are bound to the ends of the text.
func (c cannedPattern) matches(text []unit) bool {
	first := c.pieces[0]
	at := len(first.units)
	if !first.standsAt(text, 0) {
		return false
	}
	rest := c.pieces[1:]
	if len(rest) == 0 {
		return at == len(text)
	}
	for _, p := range rest[:len(rest)-1] {
		for !p.standsAt(text, at) {
			if at++; at > len(text) {
				return false
			}
		}
		at += len(p.units)
	}
	last := rest[len(rest)-1]
	start := len(text) - len(last.units)
	return start >= at && last.standsAt(text, start)
}

func (p cannedPiece) standsAt(text []unit, i int) bool {
	end := i + len(p.units)
	if end > len(text) {
		return false
	}
	for j, u := range p.units {
		if text[i+j].key != u.key {
			return false
		}
	}
	return p.before.isMet(text, i-1) && p.after.isMet(text, end)
}

// isMet says whether a gap is at unit i of the text, which may lie just outside.
func (g gap) isMet(text []unit, i int) bool {
	switch outside := i < 0 || i == len(text); g {
	case blankGap:
		return outside || isGap(text[i])
	case dashedGap:
		return !outside && isGap(text[i])
	}
	return true
}
