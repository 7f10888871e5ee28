package rules

import (
	"bytes"
	"fmt"
	"unicode/utf8"
)

// MaxFile is the largest file that is read, in bytes. A reader of files need not
// go further than one byte beyond.
const MaxFile = 8 << 20

// source is one file's bytes and its lines. A line ends with LF, CRLF or CR,
// as editors count; a byte order mark is no character of the first line.
type source struct {
	file  string
	data  []byte // without the byte order mark
	lines []int  // offset of each line's first byte

	// yaml.v3 ends lines at U+0085, U+2028 and U+2029 too. Where the file has
	// one of them, yamlLines holds the place of each of its lines' first
	// character; otherwise it is nil, and both count alike.
	yamlLines []place

	// cursor is the place that was last looked up, and its offset: on a long
	// line the next one is found from there, forwards or backwards.
	cursor       place
	cursorOffset int
}

var utf8BOM = []byte("\xef\xbb\xbf")

func newSource(file string, data []byte) *source {
	s := &source{file: file, data: bytes.TrimPrefix(data, utf8BOM), lines: make([]int, 1, bytes.Count(data, []byte{'\n'})+2)}
	for i := 0; i < len(s.data); i++ {
		if n := lineBreak(s.data[i:]); n > 0 {
			i += n - 1
			s.lines = append(s.lines, i+1)
		}
	}
	if bytes.ContainsAny(s.data, "\u0085\u2028\u2029") {
		s.indexYAMLLines()
	}
	return s
}

func lineBreak(b []byte) int {
	switch {
	case b[0] == '\n':
		return 1
	case b[0] == '\r' && len(b) > 1 && b[1] == '\n':
		return 2
	case b[0] == '\r':
		return 1
	}
	return 0
}

func (s *source) indexYAMLLines() {
	at := place{1, 1}
	s.yamlLines = []place{at}
	for rest := s.data; len(rest) > 0; {
		if n := lineBreak(rest); n > 0 {
			rest, at = rest[n:], place{at.line + 1, 1}
			s.yamlLines = append(s.yamlLines, at)
			continue
		}
		r, n := utf8.DecodeRune(rest)
		rest, at.col = rest[n:], at.col+1
		if r == '\u0085' || r == '\u2028' || r == '\u2029' {
			s.yamlLines = append(s.yamlLines, at)
		}
	}
}

// place turns a line and column of yaml.v3, from 1, into the file's own.
func (s *source) place(line, col int) place {
	line, col = max(line, 1), max(col, 1)
	if s.yamlLines == nil {
		return place{line, col}
	}
	if line > len(s.yamlLines) {
		return place{len(s.lines) + 1, 1} // clamp makes it the end
	}
	first := s.yamlLines[line-1]
	return place{first.line, first.col + col - 1}
}

// clamp keeps a place within the file: YAML reports the end of a file on a
// line after the last one.
func (s *source) clamp(p place) place {
	if p.line <= len(s.lines) && !(p.line == len(s.lines) && p.line > 1 && len(s.line(p.line)) == 0) {
		return p
	}
	last := len(s.lines)
	for last > 1 && len(bytes.TrimSpace(s.line(last))) == 0 {
		last--
	}
	return place{last, utf8.RuneCount(s.line(last)) + 1}
}

// line gives the bytes of a line, from 1, without its break.
func (s *source) line(n int) []byte {
	end := len(s.data)
	if n < len(s.lines) {
		end = s.lines[n]
	}
	return bytes.TrimRight(s.data[s.lines[n-1]:end], "\r\n")
}

// near is how much of a line is looked at around a place, in bytes.
const near = 1000

// offset gives where a place is in data, or the end of its line.
func (s *source) offset(p place) int {
	if p.line > len(s.lines) {
		return len(s.data)
	}
	start := s.lines[p.line-1]
	if s.cursor.line != p.line || p.col < s.cursor.col/2 {
		s.cursor, s.cursorOffset = place{p.line, 1}, start
	}
	for s.cursor.col > p.col {
		_, n := utf8.DecodeLastRune(s.data[start:s.cursorOffset])
		s.cursor.col--
		s.cursorOffset -= n
	}
	rest := s.line(p.line)[s.cursorOffset-start:]
	for s.cursor.col < p.col && len(rest) > 0 {
		_, n := utf8.DecodeRune(rest)
		rest = rest[n:]
		s.cursor.col++
		s.cursorOffset += n
	}
	return s.cursorOffset
}

// after gives what follows a place on its line.
func (s *source) after(p place) string {
	if p.line > len(s.lines) {
		return ""
	}
	rest := s.line(p.line)[s.offset(p)-s.lines[p.line-1]:]
	return string(rest[:min(len(rest), near)])
}

// before gives what precedes a place on its line.
func (s *source) before(p place) string {
	if p.line > len(s.lines) {
		return ""
	}
	start := s.lines[p.line-1]
	end := s.offset(p)
	return string(s.data[max(start, end-near):end])
}

// attach gives each problem its source line. The problems are sorted, so one
// walk is enough even if all are on one long line.
func (s *source) attach(ps []Problem) {
	var (
		line, col int    // where rest begins
		all, rest []byte // of the line
		cut       bool   // the line is too long to be shown whole
	)
	for i := range ps {
		p := &ps[i]
		if p.Line != line {
			line, col, all = p.Line, 1, s.line(p.Line)
			rest, cut = all, utf8.RuneCount(all) > maxSource
		}
		from := 1
		if cut {
			from = max(1, p.Column-maxSource/2)
		}
		for col < from && len(rest) > 0 {
			_, n := utf8.DecodeRune(rest)
			rest, col = rest[n:], col+1
		}
		var shown []rune
		for b := rest; len(b) > 0; {
			if len(shown) == maxSource {
				shown = append(shown, '…')
				break
			}
			r, n := utf8.DecodeRune(b)
			shown, b = append(shown, printable(r)), b[n:]
		}
		p.caret = p.Column - col + 1
		if col > 1 {
			shown, p.caret = append([]rune{'…'}, shown...), p.caret+1
		}
		p.Source = string(shown)
	}
}

// checkBytes reports what bytes alone show. YAML is not tried on such a file.
func (s *source) checkBytes(c *collector) {
	d := s.data
	if encoding := otherEncoding(d); encoding != "" {
		// The bytes are no text to show or count in.
		c.src = &source{file: s.file, lines: []int{0}}
		c.fault(place{1, 1}, "the file is in %s; save it as UTF-8", encoding)
		return
	}
	at := place{1, 1}
	bad := 0 // line that has a fault already: one is enough
	for i := 0; i < len(d); {
		for at.line < len(s.lines) && i >= s.lines[at.line] {
			at = place{at.line + 1, 1}
		}
		r, n := utf8.DecodeRune(d[i:])
		switch {
		case at.line == bad:
		case r == utf8.RuneError && n == 1:
			bad = at.line
			c.fault(at, "byte 0x%02x is not UTF-8; save the file as UTF-8", d[i])
		case !yamlCharacter(r):
			bad = at.line
			c.fault(at, "the control character U+%04X cannot stand in the file; remove it%s", r, escapeHint(r))
		}
		i += n
		at.col++
	}
}

func escapeHint(r rune) string {
	if r > 0xff {
		return ""
	}
	return fmt.Sprintf(`, or write "\x%02x" in double quotes`, r)
}

// yamlCharacter says whether YAML lets a character stand for itself.
func yamlCharacter(r rune) bool {
	switch {
	case r == '\t', r == '\n', r == '\r', r == '\u0085':
		return true
	case r < 0x20, r >= 0x7f && r < 0xa0, r == 0xfffe, r == 0xffff:
		return false
	}
	return true
}

// otherEncoding recognises UTF-16 and UTF-32, with a byte order mark or by the
// zero bytes beside ASCII.
func otherEncoding(d []byte) string {
	zero := func(i int) bool { return i < len(d) && d[i] == 0 }
	ascii := func(i int) bool { return i < len(d) && d[i] != 0 && d[i] < 0x80 }
	switch {
	case bytes.HasPrefix(d, []byte{0xff, 0xfe, 0, 0}), bytes.HasPrefix(d, []byte{0, 0, 0xfe, 0xff}),
		zero(0) && zero(1) && zero(2) && ascii(3), ascii(0) && zero(1) && zero(2) && zero(3):
		return "UTF-32"
	case bytes.HasPrefix(d, []byte{0xff, 0xfe}), bytes.HasPrefix(d, []byte{0xfe, 0xff}),
		zero(0) && ascii(1), ascii(0) && zero(1):
		return "UTF-16"
	}
	return ""
}
