package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode"
)

// Severity of a Problem.
type Severity string

const (
	// Error is a fault: the whole file is refused.
	Error Severity = "error"
	// Warning leaves the file usable.
	Warning Severity = "warning"
)

// Problem is one thing that is wrong with a file, at its place. Its JSON form
// is an entry of Report.
type Problem struct {
	File     string   `json:"-"`
	Line     int      `json:"line"`   // from 1
	Column   int      `json:"column"` // in characters from 1; a tab is one
	Severity Severity `json:"severity"`
	Message  string   `json:"message"`
	// Source is the line that the problem is on, or the part around the place
	// where the line is very long. Characters that cannot be shown are U+FFFD.
	// It is empty where there is nothing to show.
	Source string `json:"-"`

	caret int // column within Source; 0: as Column
}

// String gives "FILE:LINE:COL: message", the source line and a line with a
// caret under the place, without a line break at the end. Warnings say so.
func (p Problem) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: ", strings.Map(printable, p.File), p.Line, p.Column)
	if p.Severity == Warning {
		b.WriteString("warning: ")
	}
	b.WriteString(p.Message)
	if strings.TrimSpace(p.Source) == "" {
		return b.String()
	}
	b.WriteString("\n" + p.Source + "\n")
	caret := p.caret
	if caret == 0 {
		caret = p.Column
	}
	n := 1
	for _, r := range p.Source {
		if n == caret {
			break
		}
		if r != '\t' {
			r = ' '
		}
		b.WriteRune(r)
		n++
	}
	b.WriteString("^")
	return b.String()
}

// Problems are the faults and warnings of one file in the order of their
// places.
type Problems []Problem

// Failed says whether any problem is a fault, which refuses the file.
func (ps Problems) Failed() bool {
	return slices.ContainsFunc(ps, func(p Problem) bool { return p.Severity == Error })
}

// String gives every problem, each ended by a line break.
func (ps Problems) String() string {
	var b strings.Builder
	for _, p := range ps {
		b.WriteString(p.String())
		b.WriteByte('\n')
	}
	return b.String()
}

// Report is the JSON form of a check of one file.
type Report struct {
	File     string   `json:"file"`
	OK       bool     `json:"ok"` // no faults; warnings may be there
	Problems Problems `json:"problems"`
}

// NewReport makes the Report of a file.
func NewReport(file string, ps Problems) Report {
	if ps == nil {
		ps = Problems{}
	}
	return Report{File: file, OK: !ps.Failed(), Problems: ps}
}

// place is a line and a column (in characters), both from 1.
type place struct{ line, col int }

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.line, q.line), cmp.Compare(p.col, q.col))
}

// later gives the place further down: a fault of two places is reported there.
func later(p, q place) place {
	if p.compare(q) < 0 {
		return q
	}
	return p
}

const (
	maxProblems = 1000   // shown
	maxHeld     = 20_000 // kept until they are sorted
	maxSource   = 160    // characters of a source line
)

// collector gathers the problems of one file, each once: what is aliased is
// read several times.
type collector struct {
	src      *source
	list     []Problem
	seen     map[Problem]bool
	dropped  int
	severity Severity // the worst that was dropped
	compared int      // words, in search of near spellings
	faults   int      // how often there was one, the same one too
}

func newCollector(src *source) *collector {
	return &collector{src: src, seen: map[Problem]bool{}, severity: Warning}
}

func (c *collector) fault(at place, format string, args ...any) {
	c.faults++
	c.add(Error, at, format, args)
}

func (c *collector) warn(at place, format string, args ...any) {
	c.add(Warning, at, format, args)
}

func (c *collector) add(s Severity, at place, format string, args []any) {
	if len(c.list) >= maxHeld {
		c.drop(s)
		return
	}
	at = c.src.clamp(at)
	p := Problem{File: c.src.file, Line: at.line, Column: at.col, Severity: s, Message: fmt.Sprintf(format, args...)}
	if c.seen[p] {
		return
	}
	c.seen[p] = true
	c.list = append(c.list, p)
}

func (c *collector) drop(s Severity) {
	c.dropped++
	if s == Error {
		c.severity = Error
	}
}

func (c *collector) failed() bool { return c.severity == Error || Problems(c.list).Failed() }

// problems gives what was gathered, sorted by place.
func (c *collector) problems() Problems {
	slices.SortStableFunc(c.list, func(p, q Problem) int {
		return cmp.Or(place{p.Line, p.Column}.compare(place{q.Line, q.Column}), cmp.Compare(p.Severity, q.Severity))
	})
	if len(c.list) > maxProblems {
		for _, p := range c.list[maxProblems:] {
			c.drop(p.Severity)
		}
		c.list = c.list[:maxProblems]
	}
	if c.dropped > 0 {
		last := c.list[len(c.list)-1]
		last.Severity, last.Message = c.severity, fmt.Sprintf("%d more problems are not shown; mend these first", c.dropped)
		c.list = append(c.list, last)
	}
	c.src.attach(c.list)
	return c.list
}

// printable makes a source line safe to show, character by character, so that
// columns stay true. Only tabs survive among the control characters.
func printable(r rune) rune {
	switch {
	case r == '\t':
		return r
	case r == '\u2028' || r == '\u2029':
		return ' '
	case unicode.IsControl(r):
		return unicode.ReplacementChar
	}
	return r
}

// quote shows a piece of the file inside a message.
func quote(s string) string {
	const most = 60
	n := 0
	for i := range s {
		if n == most {
			return fmt.Sprintf("%q", s[:i]+"…")
		}
		n++
	}
	return fmt.Sprintf("%q", s)
}
