// Package words counts the common English words that begin alike, so that a
// wildcard that stands for far too many can be warned of.
//
// The list is made from SCOWL; LICENSE says how, and under which terms.
package words

import (
	_ "embed"
	"sort"
	"strings"
	"sync"
)

// Each line is a word: how many of its first letters are those of the line
// before, in one digit, and the letters that follow.
//
//go:embed english.txt
var packed string

var list = sync.OnceValue(func() []string {
	words := make([]string, 0, strings.Count(packed, "\n"))
	var word string
	for line := range strings.Lines(packed) {
		word = word[:line[0]-'0'] + strings.TrimSuffix(line[1:], "\n")
		words = append(words, word)
	}
	return words
})

// All gives the words in order, all of the letters a to z. The slice is not to
// be changed.
func All() []string { return list() }

// Count says how many words of the list begin with prefix, which is to be
// folded: lower case and without accents. The word that is the prefix counts
// too.
func Count(prefix string) int {
	words := list()
	from := sort.SearchStrings(words, prefix)
	return sort.Search(len(words)-from, func(i int) bool { return !strings.HasPrefix(words[from+i], prefix) })
}
