package rules

import (
	"bytes"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"autotag/pkg/transcript"
)

// Files and chats made to cost much: what they cost is bounded and grows no
// faster than they do. No test here asks for an absolute time.

// allocated gives the bytes that f allocates. A test that uses it is not
// parallel, so that nothing else allocates meanwhile.
func allocated(f func()) int {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return int(after.TotalAlloc - before.TotalAlloc)
}

// checkLinear checks that what prepare gives takes about 16 times as long for 16
// times as much, and less than most times in any case. Something quadratic takes
// 256 times as long. Each is taken at its best, again and again while the machine
// may have been busy.
func checkLinear(t *testing.T, n, most int, prepare func(n int) func()) {
	t.Helper()
	const times, tries = 16, 150
	small, large := prepare(n), prepare(times*n)
	bestSmall, bestLarge := time.Duration(1<<62), time.Duration(1<<62)
	for range tries {
		// What takes a moment only is repeated, for the clock's sake.
		start, repeats := time.Now(), 0
		for repeats == 0 || time.Since(start) < 200*time.Microsecond {
			small()
			repeats++
		}
		bestSmall = min(bestSmall, time.Since(start)/time.Duration(repeats))
		start = time.Now()
		large()
		bestLarge = min(bestLarge, time.Since(start))
		if bestLarge < time.Duration(most)*bestSmall {
			return
		}
	}
	t.Errorf("%d times as much takes %d times as long: %v, then %v", times, bestLarge/bestSmall, bestSmall, bestLarge)
}

// hostileTerms are terms for which careless matching goes over the text again
// and again, as YAML.
var hostileTerms = []string{
	"'aa*'", "'aa* aa* aa* aa* b'", "a a a a a a a a b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab", "'{word: a}'", "'**'", "'[[[[[[['",
	"{contains: aaaaaaaaaaaaaaaab}", "{contains: a a a a a b}", "{contains: '********b'}", "{contains: 'e'}",
	"{canned: '%x%a%y%a%z%a%u%b'}", "{canned: 'a%x%aa%y%aaa%z%b'}", "{canned: '%x% %y% %z% b'}",
	"{regex: '(a+)+b'}", "{regex: '(a|aa)+$'}", "{regex: '(.*)*b'}", "{regex: '(?s).*a.*a.*a.*b'}", "{regex: '^(\\s*a)*\\s*!'}", "{regex: '(a?){50}a{50}b'}", "{regex: '[^b]*b'}",
	"{word: á, accents: exact}", "{word: A, case: exact}", "{word: 返金}", "n't b", "'1,1,1,1 b'", "👩‍👩‍👧", "'\"a\" b'",
}

// hostileTexts repeat what folding and matching have to look ahead or back for.
var hostileTexts = map[string]string{
	"one letter":         "a",
	"one-letter words":   "a ",
	"words that go on":   "aab ",
	"near matches":       "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa aa aa aa ",
	"stars":              "*",
	"stars and letters":  "a*",
	"brackets":           "[",
	"brackets and links": "[a](",
	"combining marks":    "\u0301",
	"marks on letters":   "e\u0301\u0323",
	"blanks":             " ",
	"blanks and dashes":  " - ",
	"line breaks":        "\n",
	"apostrophes":        "n't",
	"numbers":            "1,",
	"joiners":            "\u200d",
	"families":           "👩\u200d",
	"flags":              "🇸",
	"skin tones":         "🏽",
	"jamo":               "ᄀ",
	"unspaced":           "返",
	"not UTF-8":          "\xff",
	"NUL":                "\x00",
	"direction":          "\u202e",
	"ligature":           "ﷺ",
	"quotes":             "> ",
	"entities":           "&amp",
	"backticks":          "`a``",
	"underscores":        "_a__",
	"emphasis":           "*a_ ",
	"numbered lists":     "1. ",
	"lists":              "- ",
	"quotes and lists":   "> - ",
	"tags":               "<a ",
}

func hostileSet(t testing.TB) *Set {
	t.Helper()
	var b strings.Builder
	b.WriteString("rules:\n")
	for i, term := range hostileTerms {
		fmt.Fprintf(&b, "  - {tag: t%d, any: [%s]}\n", i, term)
	}
	return mustParse(t, b.String())
}

// repeated gives a chat of one message of about n bytes.
func repeated(text string, n int, markdown bool) *transcript.Transcript {
	who := "c: "
	if markdown {
		who = "cm: "
	}
	return chat(who + strings.Repeat(text, n/len(text)))
}

// It runs alone, so that no other test is measured. A text of many marks is read
// as Markdown up to a length and as it is written beyond, at several times the
// cost of a byte, hence the room below the square.
func TestHostileTextsTakeLinearTime(t *testing.T) {
	set := hostileSet(t)
	for name, text := range hostileTexts {
		for _, markdown := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, markdown %v", name, markdown), func(t *testing.T) {
				checkLinear(t, 2<<10, 128, func(n int) func() {
					c := repeated(text, n, markdown)
					return func() { set.Match(c) }
				})
			})
		}
	}
}

// What costs much must not be got cheaper by finding something else.
func TestHostileTextsMatchAsTheReference(t *testing.T) {
	t.Parallel()
	set := hostileSet(t)
	for name, text := range hostileTexts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, markdown := range []bool{false, true} {
				for _, end := range []string{"", "b", " b", "!"} {
					c := repeated(text, 300, markdown)
					c.Messages[0].Texts[0].Text += end
					if got, want := set.Match(c), set.MatchReference(c); !reflect.DeepEqual(got, want) {
						t.Errorf("markdown %v, end %q: got %+v, want %+v", markdown, end, got, want)
					}
				}
			}
		})
	}
}

// The largest thread there is, and more: what matching allocates is the size of
// the text at most, however many terms there are.
func TestLargestChat(t *testing.T) {
	set := mustParse(t, `
lists:
  many: [`+many("word%d, ", 5000)+`]
rules:
  - {tag: common, any: [parcel, "where is", last*], min: 4000}
  - {tag: never, any: [{list: many}, {regex: '(x+x+)+y'}, {contains: xxxxxxxxxy}, {canned: '%a%xx%b%y'}]}
  - {tag: message, within: message, all: [parcel, week, {any: [nowhere, already]}], none: [cancelled]}
  - {tag: end, any: [the last word of it]}
  - {tag: near, all: [parcel, nowhere]}
`)
	messages, size := 5000, 16<<10
	if raceEnabled {
		messages = 250
	}
	const sentence = "Where is my PARCEL? It should have been here last week already, xxxxxxxxxxxxxx; "
	text := strings.Repeat(sentence, size/len(sentence))
	c := &transcript.Transcript{Complete: true}
	for i := range messages {
		c.Messages = append(c.Messages, transcript.Message{
			EventID: fmt.Sprintf("T_%d", i+1), At: time.Unix(int64(i), 0), Author: transcript.Customer,
			Texts: []transcript.Text{{Field: "text", Text: text}},
		})
	}
	c.Messages[messages-1].Texts[0].Text = text + "that was the last word of it"
	set.Match(chat("c: " + text)) // compiles, and makes room for one message

	eighth := &transcript.Transcript{Complete: true, Messages: c.Messages[:messages/8]}
	part := allocated(func() { set.Match(eighth) })
	var got Result
	bytes := allocated(func() { got = set.Match(c) })
	t.Logf("%d messages of %d bytes: %d bytes allocated", messages, len(text), bytes)
	// What is found is remembered, no text is. The rest is room for one text, which
	// the race detector has made anew at times.
	if most := messages*4096 + 256*size; bytes > most {
		t.Errorf("%d bytes allocated, more than %d", bytes, most)
	}
	var tags []string
	for _, h := range got.Tags {
		tags = append(tags, h.Tag)
		if len(h.Evidence) > maxEvidence {
			t.Errorf("%d pieces of evidence of %s", len(h.Evidence), h.Tag)
		}
	}
	want := []string{"common", "message", "end"}
	if messages < 4000 {
		want = want[1:]
	}
	if !reflect.DeepEqual(tags, want) {
		t.Fatalf("tags %q, want %q", tags, want)
	}
	end := got.Tags[len(got.Tags)-1].Evidence[0]
	if at := len(text) + len("that was "); end.EventID != fmt.Sprintf("T_%d", messages) || end.Start != at || end.End != at+len("the last word of it") {
		t.Errorf("the last word is found at %+v", end)
	}
	// An eighth of the messages takes about its share.
	if bytes > 24*part+256*size {
		t.Errorf("%d bytes allocated for an eighth of the messages, %d for all", part, bytes)
	}
}

// A file that is far too large is refused by its size alone.
func TestHugeFile(t *testing.T) {
	for name, unit := range map[string]string{"NUL": "\x00", "brackets": "[", "aliases": "- &a [*a]\n", "honest": "      - refund\n"} {
		file := bytes.Repeat([]byte(unit), 100_000_000/len(unit))
		for _, parse := range []func() (bool, Problems){
			func() (bool, Problems) { set, ps := Parse("rules.yaml", file); return set != nil, ps },
			func() (bool, Problems) {
				tests, ps := ParseTests("rules.yaml", file, &Set{})
				return tests != nil, ps
			},
		} {
			var ok bool
			var ps Problems
			bytes := allocated(func() { ok, ps = parse() })
			const want = "the file has more than 8388608 bytes (8 MiB); take words that are not used out of it"
			if ok || len(ps) != 1 || ps[0].Message != want || ps[0].Line != 1 || ps[0].Column != 1 {
				t.Errorf("%s: refused %v\n%s", name, !ok, ps)
			}
			if bytes > 1<<20 {
				t.Errorf("%s: %d bytes allocated to refuse it", name, bytes)
			}
		}
	}
}
