package main

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// A folder is the folding that the libraries would need, made for speed: one
// pass, a table entry for each code point, no offsets back into the text.
// Letters are NFKD without accents and in folded case; quotes are straight; a
// run of white space and dashes is one blank; the invisible is left out.
//
// It is less than the rules ask for: no emoji clusters, no joined numbers, and
// dashes are blanks wherever they stand.
type folder struct {
	ascii [utf8.RuneSelf]byte // 0: dropped; a blank: part of a run
	pages map[rune]*[256]string
	lower cases.Caser
}

func newFolder() *folder {
	f := &folder{pages: make(map[rune]*[256]string), lower: cases.Fold()}
	for c := range f.ascii {
		if s := f.entry(rune(c)); s != "" {
			f.ascii[c] = s[0]
		}
	}
	return f
}

// fold appends the folded text to dst.
func (f *folder) fold(dst []byte, s string) []byte {
	blank := true // at the beginning nothing has to be parted
	for i := 0; i < len(s); {
		if c := s[i]; c < utf8.RuneSelf {
			i++
			switch c = f.ascii[c]; {
			case c > ' ':
				dst = append(dst, c)
				blank = false
			case c == ' ' && !blank:
				dst = append(dst, ' ')
				blank = true
			}
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		i += size
		page := f.pages[r>>8]
		if page == nil {
			page = f.page(r >> 8)
		}
		switch folded := page[r&0xff]; {
		case folded == " ":
			if !blank {
				dst = append(dst, ' ')
				blank = true
			}
		case folded != "":
			dst = append(dst, folded...)
			blank = false
		}
	}
	return dst
}

func (f *folder) page(n rune) *[256]string {
	page := new([256]string)
	for i := range page {
		page[i] = f.entry(n<<8 | rune(i))
	}
	f.pages[n] = page
	return page
}

var plainLetters = map[rune]string{'ł': "l", 'ø': "o", 'đ': "d", 'ħ': "h", 'æ': "ae", 'œ': "oe", 'ı': "i"}

func (f *folder) entry(r rune) string {
	switch {
	case unicode.IsSpace(r), unicode.Is(unicode.Dash, r):
		return " "
	case strings.ContainsRune("'’‘ʼ´`", r):
		return "'"
	case strings.ContainsRune(`"“”„«»`, r):
		return `"`
	case unicode.Is(unicode.Cf, r), unicode.Is(unicode.Variation_Selector, r), unicode.IsControl(r):
		return ""
	}
	var b strings.Builder
	for _, r := range norm.NFKD.String(string(r)) {
		for _, r := range f.lower.String(string(r)) {
			if unicode.Is(unicode.Mn, r) && unicode.Is(unicode.Inherited, r) && !unicode.Is(unicode.Hiragana, r) && r != '\u3099' && r != '\u309a' {
				continue
			}
			if plain, ok := plainLetters[r]; ok {
				b.WriteString(plain)
			} else {
				b.WriteRune(r)
			}
		}
	}
	return b.String()
}

// A foldedTerm is a term as it is looked for in folded text.
type foldedTerm struct {
	text     string
	wildcard bool
	edgeFrom bool // a word has to begin where it begins
	edgeTo   bool // and to end where it ends
}

func (f *folder) term(text string) foldedTerm {
	text, wildcard := strings.CutSuffix(text, "*")
	t := foldedTerm{text: string(f.fold(nil, text)), wildcard: wildcard}
	first, _ := utf8.DecodeRuneInString(t.text)
	last, _ := utf8.DecodeLastRuneInString(t.text)
	t.edgeFrom = spaced(first)
	t.edgeTo = spaced(last) && !wildcard
	return t
}

// stands says whether the term that was found at text[from:to] stands there as
// whole words.
func (t *foldedTerm) stands(text []byte, from, to int) bool {
	if t.edgeFrom && from > 0 {
		if r, _ := utf8.DecodeLastRune(text[:from]); spaced(r) {
			return false
		}
	}
	if t.edgeTo && to < len(text) {
		if r, _ := utf8.DecodeRune(text[to:]); spaced(r) {
			return false
		}
	}
	return true
}

// spaced says whether r is a letter or digit of a script that is spaced by words.
func spaced(r rune) bool {
	switch {
	case r < utf8.RuneSelf:
		return 'a' <= r && r <= 'z' || '0' <= r && r <= '9'
	case r >= 0x3000 && unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana) || r == 'ー':
		return false
	}
	return unicode.IsLetter(r) || unicode.IsDigit(r)
}
