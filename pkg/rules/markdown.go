package rules

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/yuin/goldmark/ast"
	"github.com/yuin/goldmark/parser"
	"github.com/yuin/goldmark/text"
	"github.com/yuin/goldmark/util"
)

// commonMark reads CommonMark without extensions.
var commonMark = parser.NewParser(
	parser.WithBlockParsers(parser.DefaultBlockParsers()...),
	parser.WithInlineParsers(parser.DefaultInlineParsers()...),
	parser.WithParagraphTransformers(parser.DefaultParagraphTransformers()...),
)

// The parser takes the square of the length and more for some texts, which nobody
// writes: 20 seconds for 16 KB of "1. 1. 1. ... " with line breaks after it. These
// bounds leave it a few milliseconds for 16 KB. A text beyond one of them is
// searched as it is written.
const (
	maxMarkdown = 64 << 10 // bytes, four times what LiveChat puts into one message
	maxMarks    = 2500     // brackets and runs of stars, underlines and backticks
	maxLinks    = 4 << 20  // targets of links times bytes
	maxNested   = 100      // marks of lists and quotes that one line begins with
	maxWaiting  = 4000     // the most of these times blank lines
)

// readsQuickly says whether a text is within these bounds.
func readsQuickly(s string) bool {
	if len(s) > maxMarkdown || strings.Count(s, "](")*len(s) > maxLinks {
		return false
	}
	marks, deepest, blankLines := 0, 0, 0
	nested, indent, atStart := 0, 0, true // of the line
	for i := range len(s) {
		c, next := s[i], byte('\n')
		if i+1 < len(s) {
			next = s[i+1]
		}
		if c == '[' || c == '<' || (c == '*' || c == '_' || c == '`') && next != c {
			marks++
		}
		switch {
		case c == '\n' || c == '\r':
			if atStart {
				blankLines++
			}
			nested, indent, atStart = 0, 0, true
		case !atStart, '0' <= c && c <= '9':
		case c == ' ':
			indent++
		case c == '\t':
			indent += 4
		case c == '>', strings.IndexByte("-+*.)", c) >= 0 && next <= ' ':
			nested++
		default:
			atStart = false
		}
		// What is in a list is indented by two at least.
		deepest = max(deepest, nested+indent/2)
	}
	return marks <= maxMarks && deepest <= maxNested && deepest*blankLines <= maxWaiting
}

// markdownChars gives the text content of a CommonMark text: blocks apart by
// line breaks, alternative texts of images kept, link targets and HTML dropped.
func markdownChars(s string) []char {
	if !readsQuickly(s) {
		return plainChars(s)
	}
	source := []byte(s)
	m := markdownReader{source: source, position: make([]int, len(source)+1), chars: make([]char, 0, len(source))}
	n := 0
	for i := range s {
		m.position[i] = n
		n++
	}
	m.position[len(source)] = n
	m.node(commonMark.Parse(text.NewReader(source)))
	for len(m.chars) > 0 && m.chars[len(m.chars)-1].r == '\n' {
		m.chars = m.chars[:len(m.chars)-1] // nothing follows the last block
	}
	return m.chars
}

// A markdownReader collects the text content of a syntax tree.
type markdownReader struct {
	source   []byte
	position []int // code point of a byte offset at which a code point starts
	chars    []char
}

func (m *markdownReader) node(n ast.Node) {
	switch n := n.(type) {
	case *ast.HTMLBlock, *ast.RawHTML, *ast.LinkReferenceDefinition:
		return
	case *ast.Text:
		if n.IsRaw() || isCode(n.Parent()) {
			m.raw(n.Segment.Start, n.Segment.Stop)
		} else {
			m.escaped(n.Segment.Start, n.Segment.Stop)
		}
		if n.SoftLineBreak() || n.HardLineBreak() {
			m.lineBreak(n.Segment.Stop)
		}
		return
	case *ast.AutoLink:
		start := n.Pos() + len("<")
		m.raw(start, start+len(n.Label(m.source)))
		return
	}
	if n.Type() == ast.TypeBlock {
		m.blockBreak()
		if n.IsRaw() {
			for i := range n.Lines().Len() {
				line := n.Lines().At(i)
				m.raw(line.Start, line.Stop)
			}
		}
	}
	for child := n.FirstChild(); child != nil; child = child.NextSibling() {
		m.node(child)
	}
	if n.Type() == ast.TypeBlock {
		m.blockBreak()
	}
}

func isCode(n ast.Node) bool {
	_, is := n.(*ast.CodeSpan)
	return is
}

// blockBreak sets what follows apart from what came before.
func (m *markdownReader) blockBreak() {
	if n := len(m.chars); n > 0 && m.chars[n-1].r != '\n' {
		m.chars = append(m.chars, char{'\n', m.chars[n-1].end, m.chars[n-1].end})
	}
}

// lineBreak adds the line break that follows the byte offset i.
func (m *markdownReader) lineBreak(i int) {
	m.chars = append(m.chars, char{'\n', m.position[i], m.position[min(i+1, len(m.source))]})
}

// raw adds source bytes as they are.
func (m *markdownReader) raw(start, stop int) {
	for i := start; i < stop; {
		r, size := utf8.DecodeRune(m.source[i:stop])
		m.add(r, i, i+size)
		i += size
	}
}

var entity = regexp.MustCompile(`^&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[a-zA-Z][a-zA-Z0-9]*);`)

// escaped adds source bytes with backslash escapes and character references
// taken back to the characters that they stand for.
func (m *markdownReader) escaped(start, stop int) {
	for i := start; i < stop; {
		if m.source[i] == '\\' && i+1 < stop && util.IsPunct(m.source[i+1]) {
			m.add(rune(m.source[i+1]), i, i+2)
			i += 2
			continue
		}
		if m.source[i] == '&' {
			ref := entity.Find(m.source[i:stop])
			if value := util.ResolveNumericReferences(util.ResolveEntityNames(ref)); !bytes.Equal(value, ref) {
				for _, r := range string(value) {
					m.add(r, i, i+len(ref))
				}
				i += len(ref)
				continue
			}
		}
		r, size := utf8.DecodeRune(m.source[i:stop])
		m.add(r, i, i+size)
		i += size
	}
}

func (m *markdownReader) add(r rune, start, stop int) {
	m.chars = append(m.chars, char{r, m.position[start], m.position[stop]})
}
