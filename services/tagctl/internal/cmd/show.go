package cmd

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxShown is how much of a text is shown, in characters.
const maxShown = 60

// shown quotes a piece of text for a terminal: in one line, cut where it is
// long, and with what could steer the terminal or turn the writing direction
// written as escapes. Joiners inside of emoji stay.
func shown(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	n := 0
	for _, r := range text {
		if n++; n > maxShown {
			b.WriteString("…")
			break
		}
		b.WriteString(visible(r))
	}
	b.WriteByte('"')
	return b.String()
}

// word shows a term, tag or name of the rules file: as it is if that is one
// plain word, else quoted.
func word(text string) string {
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || visible(r) != string(r) }) &&
		utf8.RuneCountInString(text) <= maxShown {
		return text
	}
	return shown(text)
}

func visible(r rune) string {
	switch {
	case r == '\n':
		return `\n`
	case r == '\t':
		return `\t`
	case r < 0x80 && unicode.IsControl(r):
		return fmt.Sprintf(`\x%02x`, r)
	case unicode.IsControl(r), r == '\u2028', r == '\u2029', unicode.Is(unicode.Bidi_Control, r):
		return fmt.Sprintf(`\u%04x`, r)
	}
	return string(r)
}

// count gives "1 fault", "2 faults".
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
