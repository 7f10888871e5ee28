package rules

import (
	"testing"
	"unicode"

	"golang.org/x/text/cases"
)

// Letters that differ in case alone, for Unicode, are the same when folded.
func TestCaseFoldingIsWhole(t *testing.T) {
	t.Parallel()
	f := folder{lower: cases.Fold()}
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if other := unicode.SimpleFold(r); f.foldCase(string(r)) != f.foldCase(string(other)) {
			t.Errorf("%c (%U) and %c (%U) are two letters", r, r, other, other)
		}
	}
}
