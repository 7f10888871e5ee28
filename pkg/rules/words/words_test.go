package words

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestList(t *testing.T) {
	t.Parallel()
	words := All()
	if len(words) < 15_000 || len(packed) > 100_000 {
		t.Errorf("%d words in %d bytes", len(words), len(packed))
	}
	form := regexp.MustCompile(`^[a-z]{2,}$`)
	for i, w := range words {
		if !form.MatchString(w) {
			t.Errorf("word %d is %q", i, w)
		}
		if i > 0 && words[i-1] >= w {
			t.Errorf("%q stands before %q", words[i-1], w)
		}
	}
	for _, w := range []string{"refund", "refunds", "refunded", "refunding", "delivered", "email", "colour", "color"} {
		if !slices.Contains(words, w) {
			t.Errorf("%q is missing", w)
		}
	}
}

func TestCount(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"", "a", "ab", "re", "refund", "refunds", "refundx", "zz", "zulu", "é", "RE", "re "} {
		want := 0
		for _, w := range All() {
			if strings.HasPrefix(w, prefix) {
				want++
			}
		}
		if got := Count(prefix); got != want {
			t.Errorf("Count(%q) = %d, want %d", prefix, got, want)
		}
	}
	// The warning that uses the list is for more than a hundred words.
	for _, prefix := range []string{"re", "con", "pro", "un", "dis"} {
		if n := Count(prefix); n <= 100 {
			t.Errorf("only %d words begin with %q", n, prefix)
		}
	}
	for _, prefix := range []string{"refund", "deliver", "app", "order", "cancel", "ship"} {
		if n := Count(prefix); n == 0 || n > 100 {
			t.Errorf("%d words begin with %q", n, prefix)
		}
	}
}

func BenchmarkCount(b *testing.B) {
	for b.Loop() {
		Count("re")
	}
}
