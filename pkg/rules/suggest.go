package rules

import (
	"fmt"
	"strings"
)

// longest is the longest word that is compared, in characters.
const longest = 64

// Nearest gives the candidate that word is most likely a misspelling of, ""
// when none is near.
func Nearest(word string, candidates []string) string {
	w := []rune(strings.ToLower(word))
	if len(w) == 0 || len(w) > longest {
		return ""
	}
	best, bestDistance := "", 0
	for _, c := range candidates {
		r := []rune(strings.ToLower(c))
		if len(r) > longest {
			continue
		}
		// One slip in a short word, one in three letters at most.
		most := max(1, min(len(w), len(r))/3)
		if abs(len(w)-len(r)) > most {
			continue
		}
		d := editDistance(w, r)
		if d > most || d >= min(len(w), len(r)) {
			continue
		}
		if best == "" || d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}

// editDistance is the optimal string alignment distance: insertions,
// deletions, substitutions and swaps of neighbours. Neither word may be longer
// than longest.
func editDistance(a, b []rune) int {
	var rows [3][longest + 1]int
	before, last, row := rows[0][:len(b)+1], rows[1][:len(b)+1], rows[2][:len(b)+1]
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}

// nearest is Nearest, until so many words were compared that
// the time would be felt.
func (c *collector) nearest(word string, candidates []string) string {
	const most = 1_000_000
	if c.compared += len(candidates); c.compared > most {
		return ""
	}
	return Nearest(word, candidates)
}

// didYouMean gives `; did you mean "x"?`, or otherwise when no candidate is
// near.
func (c *collector) didYouMean(word string, candidates []string, otherwise string) string {
	if near := c.nearest(word, candidates); near != "" {
		return fmt.Sprintf("; did you mean %s?", quote(near))
	}
	return otherwise
}

// enumerate gives "a, b or c".
func enumerate(words []string, last string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " " + last + " " + words[len(words)-1]
}

// knownNames gives the first 10 names to choose from.
func knownNames(names []string) string {
	const most = 10
	more := ""
	if len(names) > most {
		names, more = names[:most], ", ..."
	}
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = quote(n)
	}
	return strings.Join(quoted, ", ") + more
}
