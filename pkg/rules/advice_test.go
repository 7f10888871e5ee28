package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"autotag/pkg/transcript"
)

// A piece is a rule, a list or a term of a drawn file. Each begins on a line of
// its own, so that a warning names it.
type piece struct {
	head           string // what is written before the lists
	any, all, none []*piece
	dropped        bool
	line           int
}

func (p *piece) lists() [][]*piece { return [][]*piece{p.any, p.all, p.none} }

// file is a drawn rules file.
type file struct {
	defaults     string
	lists, rules []*piece
}

// write gives the file without what is dropped, and the piece of each line. It
// says no when dropping leaves a list empty.
func (f *file) write() (text string, parts map[int]*piece, ok bool) {
	var b strings.Builder
	parts, ok = map[int]*piece{}, true
	line := 1
	put := func(s string) {
		b.WriteString(s + "\n")
		line++
	}
	var terms func(key string, list []*piece)
	var term func(p *piece)
	terms = func(key string, list []*piece) {
		left := 0
		put("      " + key + ": [")
		for _, p := range list {
			if !p.dropped {
				left++
				term(p)
			}
		}
		put("      ]")
		ok = ok && left > 0
	}
	groups := func(p *piece) {
		for i, list := range p.lists() {
			if len(list) > 0 {
				terms("    "+groupKeys[i], list)
				b.WriteString("      ,")
			}
		}
	}
	term = func(p *piece) {
		p.line = line
		parts[line] = p
		if len(p.any)+len(p.all)+len(p.none) == 0 {
			put("          " + p.head + ",")
			return
		}
		put("          {" + p.head)
		groups(p)
		put("          },")
	}
	put("version: 1")
	put("defaults: {" + f.defaults + "}")
	put("lists: {")
	for _, l := range f.lists {
		terms(l.head, l.any)
		b.WriteString("      ,")
	}
	put("}")
	put("rules: [")
	for _, r := range f.rules {
		if r.dropped {
			continue
		}
		put("  {")
		r.line = line
		parts[line] = r
		put("      " + r.head)
		groups(r)
		put("  },")
	}
	put("]")
	return b.String(), parts, ok
}

var drawnTerms = []string{
	"re", "fund", "refund", "refund*", "Refund", "re fund", "fund re", "my re fund", "fund*", "réfund", "'re, fund'", "'re*'",
	"{word: re}", "{word: Refund, case: exact}", "{word: refund, case: exact}", "{word: réfund, accents: exact}", "{word: refund, case: folded}",
	"{contains: fund}", "{contains: und}", "{contains: re f}", "{regex: 're.*nd'}", "{regex: '$x'}", "{canned: Refund}", "{canned: '%x% fund'}", "{canned: 're fund'}",
	"{word: re, first: 1}", "{word: re, first: 2}", "{word: re, last: 1}", "{word: re fund, min: 2}", "{word: fund, min: 2}", "{word: refund, first: 2, min: 2}",
	"{list: l0}", "{list: l1}", "{list: l0, case: exact}", "{list: l1, first: 1}", "{list: l0, min: 2}",
}

func drawPiece(t *rapid.T, depth int) *piece {
	if depth > 0 && rapid.IntRange(0, 3).Draw(t, "group") == 0 {
		p := &piece{head: rapid.SampledFrom([]string{"", "", "", "case: exact, ", "first: 1, ", "min: 2, "}).Draw(t, "options")}
		drawGroup(t, p, depth-1)
		return p
	}
	return &piece{head: rapid.SampledFrom(drawnTerms).Draw(t, "term")}
}

func drawGroup(t *rapid.T, p *piece, depth int) {
	list := func(least int) []*piece {
		var parts []*piece
		for range rapid.IntRange(least, 3).Draw(t, "terms") {
			parts = append(parts, drawPiece(t, depth))
		}
		return parts
	}
	switch rapid.IntRange(0, 5).Draw(t, "lists") {
	case 0, 1:
		p.any = list(1)
	case 2:
		p.all = list(1)
	case 3:
		p.any, p.none = list(1), list(1)
	case 4:
		p.all, p.none = list(1), list(1)
	default:
		p.any, p.all, p.none = list(1), list(1), list(0)
	}
}

func drawFile(t *rapid.T) *file {
	f := &file{defaults: rapid.SampledFrom([]string{"", "", "within: message", "case: exact", "from: customer"}).Draw(t, "defaults")}
	for i := range 2 {
		l := &piece{head: fmt.Sprintf("l%d", i)}
		for range rapid.IntRange(1, 4).Draw(t, "entries") {
			p := drawPiece(t, 1)
			if i == 0 && strings.Contains(fmt.Sprint(p.head, len(p.any)+len(p.all)), "list:") {
				p.head = "entry"
			}
			l.any = append(l.any, p)
		}
		f.lists = append(f.lists, l)
	}
	for i := range rapid.IntRange(1, 4).Draw(t, "rules") {
		r := &piece{head: fmt.Sprintf("tag: t%d,", i)}
		for _, options := range [][]string{
			{"", "set: s,"}, {"", "", "", "status: shadow,"}, {"", "", "", "within: message,", "within: chat,"}, {"", "", "", "from: customer,", "from: agent,"},
			{"", "", "", "internal: true,"}, {"", "", "", "", "min: 2,"}, {"", "", "", "", "first: 2,"}, {"", "", "", "groups: [0],", "groups: [0, 1],"}, {"", "", "", "case: exact,"},
		} {
			if s := rapid.SampledFrom(options).Draw(t, "option"); s != "" {
				r.head += " " + s
			}
		}
		drawGroup(t, r, 2)
		f.rules = append(f.rules, r)
	}
	f.rules = append(f.rules, &piece{head: "tag: none, fallback: true,"})
	if rapid.IntRange(0, 3).Draw(t, "fallbacks") == 0 {
		f.rules[len(f.rules)-1].head += " set: f, groups: [0],"
		f.rules = append(f.rules, &piece{head: "tag: none too, fallback: true, set: f, groups: [0],"}, &piece{head: "tag: none at all, fallback: true, set: f,"})
	}
	return f
}

func drawChat(t *rapid.T) *transcript.Transcript {
	words := rapid.SampledFrom([]string{"re", "fund", "refund", "Refund", "refunds", "réfund", "re fund", "fund re", "my", ",", "funding", "x"})
	var lines []string
	for range rapid.IntRange(0, 4).Draw(t, "messages") {
		who := rapid.SampledFrom([]string{"c: ", "c: ", "c: ", "a: ", "ai: ", "b: "}).Draw(t, "author")
		lines = append(lines, who+strings.Join(rapid.SliceOfN(words, 1, 3).Draw(t, "words"), " "))
	}
	tr := chat(lines...)
	tr.Groups = [][]int{{0}, {0}, {1}, {2}}[rapid.IntRange(0, 3).Draw(t, "groups")]
	return tr
}

// droppable says whether a warning promises that nothing changes without the
// piece that it stands at.
func droppable(p Problem) bool {
	return slices.ContainsFunc([]string{"changes nothing; remove it", "so is this; remove it", "to the search; remove one", "is in this list twice", "never helps", "can never apply", "never gives its tag", "group changes nothing"},
		func(s string) bool { return strings.Contains(p.Message, s) })
}

// What is said to change nothing does not: without it, and without all of it at
// once, every chat gets the same tags.
func TestAdviceIsTrue(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		f := drawFile(t)
		text, parts, _ := f.write()
		set, ps := Parse("rules.yaml", []byte(text))
		if set == nil {
			return
		}
		var useless []*piece
		for _, p := range ps {
			if !droppable(p) {
				continue
			}
			piece := parts[p.Line]
			if piece == nil {
				t.Fatalf("no piece at %s\n%s", p, text)
			}
			if strings.Contains(p.Message, "never helps") && !isWay(f, piece) {
				continue // what is in an all or in none is not what never helps
			}
			useless = append(useless, piece)
		}
		if len(useless) == 0 {
			return
		}
		var chats []*transcript.Transcript
		for range 8 {
			chats = append(chats, drawChat(t))
		}
		check := func() {
			shorter, _, ok := f.write()
			if !ok {
				return
			}
			without, _ := Parse("rules.yaml", []byte(shorter))
			if without == nil {
				return // a branch may now have no words at all
			}
			for _, c := range chats {
				want, got := set.Match(c), without.Match(c)
				if !slices.Equal(want.TagSet(), got.TagSet()) || !slices.Equal(tagSet(want.Shadow), tagSet(got.Shadow)) {
					t.Fatalf("tags %q, shadow %q, but without what changes nothing %q, %q\n%s%s\n%s\n%+v", want.TagSet(), tagSet(want.Shadow), got.TagSet(), tagSet(got.Shadow), text, ps, shorter, c.Messages)
				}
			}
		}
		for _, p := range useless {
			p.dropped = true
			check()
			p.dropped = false
		}
		for _, p := range useless {
			p.dropped = true
		}
		check()
	})
}

// isWay says whether a piece stands in an any of the file.
func isWay(f *file, p *piece) bool {
	var in func(q *piece) bool
	in = func(q *piece) bool {
		return slices.Contains(q.any, p) || slices.ContainsFunc(slices.Concat(q.lists()...), in)
	}
	return slices.ContainsFunc(slices.Concat(f.lists, f.rules), in)
}

// Looking for what changes nothing is bounded, however many terms look alike.
func TestAdviceIsBounded(t *testing.T) {
	t.Parallel()
	const head = "version: 1\nrules:\n  - tag: a\n    any:\n"
	lists := "version: 1\nlists:\n  big:\n" + many("    - word%d\n", 20_000) + "rules:\n"
	for i := range 20 {
		lists += fmt.Sprintf("  - {tag: t%d, set: s, first: %d, any: [{list: big}, word%d x]}\n", i, i+1, i)
	}
	set := "version: 1\nrules:\n"
	for i := range 5000 {
		set += fmt.Sprintf("  - {tag: t%d, set: s, any: [word%d, {list: x}], none: [not%d]}\n", i, i, i)
	}
	files := map[string]string{
		"one needle":         head + many("      - refund* w%d\n", 50_000),
		"one word":           head + many("      - {word: refund, first: 1%d}\n", 50_000),
		"parts of each":      head + many("      - {contains: thethethe%d}\n", 5000) + strings.Repeat("      - "+strings.Repeat("the", 3000)+"\n", 100),
		"wildcards":          head + "      - '" + strings.Repeat("ab* ", 100_000) + "'\n      - cd*\n",
		"letters with marks": head + many("      - e\u0301a\u0308o%d\n", 50_000),
		"in all":             strings.Replace(head, "any", "all", 1) + many("      - w%d x\n", 50_000),
		"in none":            head + many("      - w%d x\n", 25_000) + "    none:\n" + many("      - w%d x y\n", 25_000),
		"canned":             head + many("      - {canned: 'Hello %%name%%, **%d**'}\n", 20_000),
		"a list with many":   lists,
		"a set of many":      strings.Replace(set, "rules:", "lists: {x: [refund]}\nrules:", 1),
	}
	start := time.Now()
	if set, ps := Parse("rules.yaml", []byte(head+many("      - word%d\n", 100_000))); set == nil {
		t.Fatal(ps)
	}
	honest := time.Since(start)
	for name, file := range files {
		start := time.Now()
		if set, ps := Parse("rules.yaml", []byte(file)); set == nil {
			t.Errorf("%s: %s", name, ps)
		}
		// Generous: what is not bounded takes hundreds of times as long.
		if took := time.Since(start); took > 20*honest {
			t.Errorf("%s: took %v, an honest file %v", name, took, honest)
		} else {
			t.Logf("%s: %v, an honest file %v", name, took, honest)
		}
	}
}
