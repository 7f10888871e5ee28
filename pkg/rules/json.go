package rules

import (
	"bytes"
	"regexp"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"
)

// JSON is YAML but for what YAML 1.2 mended and yaml.v3 does not know: a
// character beyond U+FFFF as two escapes (a surrogate pair), and the escape \/.
// translateJSON puts other escapes of the same length in their place, so that
// columns stay true; restore then gives the texts what was meant. Where a file
// uses those other escapes itself it is left alone, and yaml.v3 refuses it.

var yaml12 = regexp.MustCompile(`(?m)^%YAML[ \t]+1\.2\b`)

func translateJSON(data []byte) (text []byte, restore func(*yaml.Node)) {
	t := translation{text: bytes.Clone(data)}
	// yaml.v3 refuses the directive of the version that it mostly follows.
	for _, at := range yaml12.FindAllIndex(t.text, -1) {
		t.text[at[1]-1] = '1'
	}
	t.pairs = !usesPrivate(data)
	if bytes.Contains(data, []byte(`\/`)) {
		t.chooseSlash()
	}
	t.replace()
	return t.text, t.restore
}

type translation struct {
	text   []byte
	pairs  bool // surrogate pairs may be replaced
	paired bool // some were
	// \/ is written as a backslash and slash; its text is slashRune.
	slash     byte // 0: \/ is left alone
	slashRune rune
}

// chooseSlash looks for an escape that the file does not use.
func (t *translation) chooseSlash() {
	for _, c := range []struct {
		escape byte
		is     rune
		hex    string
	}{{'P', '\u2029', "2029"}, {'L', '\u2028', "2028"}, {'v', '\v', "0b"}, {'a', '\a', "07"}, {'e', '\x1b', "1b"}} {
		if !bytes.Contains(t.text, []byte{'\\', c.escape}) && !bytes.Contains(bytes.ToLower(t.text), []byte(c.hex)) && !bytes.ContainsRune(t.text, c.is) {
			t.slash, t.slashRune = c.escape, c.is
			return
		}
	}
}

func (t *translation) replace() {
	b := t.text
	for i := 0; i+1 < len(b); i++ {
		switch {
		case b[i] != '\\':
		case b[i+1] == '/' && t.slash != 0:
			b[i+1] = t.slash
			i++
		case t.pairs && i+12 <= len(b) && isEscape(b[i:], "89ab") && isEscape(b[i+6:], "cdef"):
			b[i+2], b[i+3] = b[i+2]+1, "0123"[strings.IndexByte("89ab", lower(b[i+3]))]
			b[i+8], b[i+9] = b[i+8]+1, "4567"[strings.IndexByte("cdef", lower(b[i+9]))]
			t.paired = true
			i += 11
		default:
			i++ // the escaped character, which may be a backslash
		}
	}
}

func lower(b byte) byte { return b | 0x20 }

// isEscape says whether b begins with \udXhh with X among second.
func isEscape(b []byte, second string) bool {
	return b[0] == '\\' && b[1] == 'u' && lower(b[2]) == 'd' && strings.IndexByte(second, lower(b[3])) >= 0 && isHex(b[4]) && isHex(b[5])
}

func isHex(b byte) bool {
	return b >= '0' && b <= '9' || lower(b) >= 'a' && lower(b) <= 'f'
}

// usesPrivate says whether a file has characters from U+E000 to U+EFFF, as
// they are or as escapes.
func usesPrivate(data []byte) bool {
	return bytes.IndexByte(data, 0xee) >= 0 || bytes.Contains(data, []byte(`\ue`)) || bytes.Contains(data, []byte(`\uE`))
}

// restore mends every text of a tree. Where escapes mean nothing, what stood
// there is put back.
func (t *translation) restore(n *yaml.Node) {
	if !t.paired && t.slash == 0 {
		return
	}
	switch {
	case n.Kind != yaml.ScalarNode:
	case n.Style&yaml.DoubleQuotedStyle == 0:
		n.Value = t.written(n.Value)
	default:
		n.Value = t.meant(n.Value)
	}
	for _, c := range n.Content {
		t.restore(c)
	}
}

// meant gives the text of a double-quoted scalar.
func (t *translation) meant(s string) string {
	var b strings.Builder
	for rest := s; rest != ""; {
		r, n := utf8.DecodeRuneInString(rest)
		rest = rest[n:]
		switch {
		case t.slash != 0 && r == t.slashRune:
			r = '/'
		case t.paired && r >= 0xe000 && r < 0xe400:
			low, n := utf8.DecodeRuneInString(rest)
			r, rest = 0x10000+(r-0xe000)<<10+(low-0xe400), rest[n:]
		}
		b.WriteRune(r)
	}
	return b.String()
}

// written gives the text of any other scalar.
func (t *translation) written(s string) string {
	b := []byte(s)
	for i := 0; i+1 < len(b); i++ {
		switch {
		case b[i] != '\\':
		case t.slash != 0 && b[i+1] == t.slash:
			b[i+1] = '/'
		case t.paired && i+6 <= len(b) && b[i+1] == 'u' && lower(b[i+2]) == 'e' && b[i+3] >= '0' && b[i+3] <= '7':
			b[i+2], b[i+3] = b[i+2]-1, "89abcdef"[b[i+3]-'0']
		}
	}
	return string(b)
}
