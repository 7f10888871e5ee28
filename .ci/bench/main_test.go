package main

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"autotag/pkg/transcript"
)

// The whole program with tiny sizes: it agrees with the reference, every way
// finds what was planted, and each goal gets its verdict.
func TestRun(t *testing.T) {
	var out strings.Builder
	c := config{sizes: []int{100, 300}, languages: allLanguages, text: 40_000, rounds: 1, each: time.Millisecond, check: 20 * time.Millisecond}
	if err := run(c, &out); err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile(`(?m)^(\S+) +(\d+) +(?:[~.\d]+ +){5}(\d+) +(\d+) +(\d+) +(\d+) +(\d+) +(\d+)$`)
	rows := row.FindAllStringSubmatch(out.String(), -1)
	if len(rows) != len(c.sizes)*len(allLanguages) {
		t.Errorf("%d rows", len(rows))
	}
	for _, r := range rows {
		for _, share := range r[4:8] {
			if len(share) != 3 || share > "110" {
				t.Errorf("%s, %s terms: %s %% of the planted terms are found", r[1], r[2], share)
			}
		}
		if density := r[3]; len(density) != 3 || density < "150" || density > "250" {
			t.Errorf("%s, %s terms: a term is found in %s words", r[1], r[2], density)
		}
	}
	if t.Failed() {
		t.Log(out.String())
	}
}

func TestVerdict(t *testing.T) {
	cells := func(ours ...float64) []cell {
		var list []cell
		for i, n := range []int{100, 10_000, 100_000} {
			list = append(list, cell{language: "English", terms: n, speed: []float64{ours[i] * 1e6, 120e6, 20e6, 1e6, 1e6},
				compiled: compiled{compile: 900 * time.Millisecond, compiledHeap: 50e6, rulesHeap: 20e6}})
		}
		return list
	}
	for _, test := range []struct {
		cells []cell
		want  string // of the verdicts in order
	}{
		{cells(200, 180, 160), "met met met met"},
		{cells(200, 149, 160), "NOT NOT met met"},
		{cells(130, 119, 120), "NOT met NOT met"},
	} {
		var out strings.Builder
		printVerdict(&out, test.cells)
		var got []string
		for line := range strings.Lines(out.String()) {
			if f := strings.Fields(line); len(f) > 1 {
				got = append(got, f[0])
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("want %s:%s", test.want, out.String())
		}
	}
}

func TestFold(t *testing.T) {
	f := newFolder()
	for text, want := range map[string]string{
		"Where’s  my\n\tE-Mail?":   "where's my e mail?",
		"Żółć STRASSE Straße":      "zolc strasse strasse",
		"re\u0301sume\u0301 ＡＢＣ":   "resume abc",
		"re\u00adfund\u200b — now": "refund now",
		"ｶﾞ ガ":                     "カ\u3099 カ\u3099",
		"❤️ 👍":                     "❤ 👍",
	} {
		if got := string(f.fold(nil, text)); got != want {
			t.Errorf("%+q becomes %+q, want %+q", text, got, want)
		}
	}
}

func TestStands(t *testing.T) {
	f := newFolder()
	for _, test := range []struct {
		term, text string
		want       bool
	}{
		{"app", "happy", false}, {"app", "the app.", true}, {"app", "apps", false}, {"app*", "apps", true}, {"app*", "happs", false},
		{"money back", "MONEY-BACK", true}, {"返金", "返金してください", true}, {"größe", "GRÖSSE", true}, {"größe", "größen", false},
	} {
		l := &containsLoop{newLookup(f, []string{test.term})}
		if got := l.match(oneMessage(test.text)) == 1; got != test.want {
			t.Errorf("%q in %q: %v", test.term, test.text, got)
		}
		if got := newBobu(f, []string{test.term}).match(oneMessage(test.text)) == 1; got != test.want {
			t.Errorf("bobu: %q in %q: %v", test.term, test.text, got)
		}
		for _, dfa := range []bool{false, true} {
			if got := newPetar(f, []string{test.term}, dfa).match(oneMessage(test.text)) == 1; got != test.want {
				t.Errorf("petar: %q in %q: %v", test.term, test.text, got)
			}
		}
	}
}

func oneMessage(text string) *transcript.Transcript {
	return &transcript.Transcript{Complete: true, Messages: []transcript.Message{{Texts: []transcript.Text{{Field: "text", Text: text}}}}}
}
