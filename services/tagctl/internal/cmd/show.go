package cmd

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rivo/uniseg"
	"golang.org/x/term"
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

// visibleText shows a text of any length like shown, without quotes.
func visibleText(text string) string {
	var b strings.Builder
	for _, r := range text {
		b.WriteString(visible(r))
	}
	return b.String()
}

// visibleLines is visibleText for a text of several lines.
func visibleLines(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = visibleText(line)
	}
	return strings.Join(lines, "\n")
}

// visible spells escapes as the faults of a rules file do, and as YAML takes them.
func visible(r rune) string {
	if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' || unicode.Is(unicode.Bidi_Control, r) {
		return strings.Trim(strconv.QuoteRune(r), "'")
	}
	return string(r)
}

// noTerminal is how many columns are used where standard output is no terminal.
const noTerminal = 100

// columns is how many columns are used of what standard output writes to.
func columns(stdout io.Writer) int {
	f, ok := stdout.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return noTerminal
	}
	n, _, err := term.GetSize(int(f.Fd()))
	if err != nil || n <= 0 {
		return noTerminal
	}
	return min(max(n, 40), 200)
}

// wrap breaks text at the width of the output.
func (s *session) wrap(first, rest int, text string) string { return wrap(s.width, first, rest, text) }

// wrap breaks text between words; first and rest are the indents of its first
// line and of the others, which leave 20 columns at least. A word that is longer
// than a line is broken too.
func wrap(width, first, rest int, text string) string {
	first, rest = min(first, width-20), min(rest, width-20)
	var b strings.Builder
	b.WriteString(strings.Repeat(" ", first))
	left := width - first
	newLine := func() {
		b.WriteString("\n" + strings.Repeat(" ", rest))
		left = width - rest
	}
	for i, word := range strings.Split(text, " ") {
		n := uniseg.StringWidth(word)
		switch {
		case i == 0:
		case n < left:
			b.WriteByte(' ')
			left--
		default:
			newLine()
		}
		if n <= left {
			b.WriteString(word)
			left -= n
			continue
		}
		for g := uniseg.NewGraphemes(word); g.Next(); {
			if g.Width() > left {
				newLine()
			}
			b.WriteString(g.Str())
			left -= g.Width()
		}
	}
	return b.String()
}

// clock shows a time, in UTC.
func clock(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05Z") }

// count gives "1 fault", "2 faults".
func count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
