package main

import (
	"embed"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"autotag/pkg/rules/words"
	"autotag/pkg/transcript"
)

// How text and terms are made, as the output says it too.
const howMade = `Text: words of the lists in .ci/bench/words (German, Polish, Japanese: written for this; English: that and
pkg/rules/words), the common ones often (Zipf), in messages of 30 to 300 bytes and transcripts of 20 messages, with
capitals, punctuation and numbers; mixed: messages in the four languages, with emoji, full width and decomposed letters.
One word in 200 is a term, in places of its own; nothing else in the text is one, at any size.
Terms: 70 % words, 20 % phrases of two or three words, 10 % with a wildcard (Japanese has none: 20 % are longer runs).
Words are those of the list that the text leaves out, then, English: a letter model (order 3) trained on the list;
German and Japanese: compounds of two; Polish: prefix, stem and ending. Ten terms make a rule.
`

//go:embed words/*.txt
var lists embed.FS

const (
	oneIn       = 200 // words for each term in the text
	perChat     = 20  // messages
	inflections = "s ed ing er en em y a"
)

// A language is what texts and terms are made of.
type language struct {
	name    string
	text    []string // the words of the text, the common ones first
	spare   []string // words that the text leaves out
	glue    []string // Japanese: what stands between two words
	compose func(r *rand.Rand) string
}

func random(seed string) *rand.Rand {
	var key [32]byte
	copy(key[:], seed)
	return rand.New(rand.NewChaCha8(key))
}

func readList(name string) []string {
	data, err := lists.ReadFile("words/" + name + ".txt")
	if err != nil {
		panic(err)
	}
	return unique(strings.Fields(string(data)))
}

func unique(words []string) []string {
	seen := make(map[string]bool, len(words))
	return slices.DeleteFunc(words, func(w string) bool {
		again := seen[w]
		seen[w] = true
		return again
	})
}

func shuffled(r *rand.Rand, words []string) []string {
	r.Shuffle(len(words), func(i, j int) { words[i], words[j] = words[j], words[i] })
	return words
}

func pick(r *rand.Rand, words []string) string { return words[r.IntN(len(words))] }

func languages() []*language {
	return []*language{english(), german(), polish(), japanese()}
}

func english() *language {
	common := readList("english")
	inCommon := make(map[string]bool)
	for _, w := range common {
		inCommon[w] = true
	}
	rest := shuffled(random("english words"), slices.DeleteFunc(slices.Clone(words.All()), func(w string) bool { return inCommon[w] }))
	half := len(rest) / 2
	model := newLetterModel(words.All())
	return &language{name: "English", text: append(common, rest[:half]...), spare: rest[half:], compose: model.word}
}

func german() *language {
	l := split("German", readList("german"))
	all := slices.Concat(l.text, l.spare)
	parts := slices.DeleteFunc(all, func(w string) bool { return len(w) < 4 })
	l.compose = func(r *rand.Rand) string {
		return pick(r, parts) + pick(r, []string{"", "", "s", "n", "en"}) + pick(r, parts)
	}
	return l
}

func polish() *language {
	l := split("Polish", readList("polish"))
	prefixes := strings.Split(" po prze wy za na od do pod roz u przy bez nie", " ")
	endings := strings.Fields("a y i e ę ą o u em om ami ach ie owi ów ować owanie owania owany owana owane uję ujesz uje ujemy ił iła ili ony ona one any ana ane enie enia eniem ność ności owy owa owe nik niki")
	var stems []string
	for _, w := range slices.Concat(l.text, l.spare) {
		letters := []rune(w)
		for _, cut := range []int{1, 2} {
			if len(letters)-cut >= 3 {
				stems = append(stems, string(letters[:len(letters)-cut]))
			}
		}
	}
	stems = unique(stems)
	l.compose = func(r *rand.Rand) string { return pick(r, prefixes) + pick(r, stems) + pick(r, endings) }
	return l
}

func japanese() *language {
	var glue, list []string
	data, err := lists.ReadFile("words/japanese.txt")
	if err != nil {
		panic(err)
	}
	for line := range strings.Lines(string(data)) {
		f := strings.Fields(line)
		if f[0] == "particles" {
			glue = append(glue, f[1:]...)
		} else {
			list = append(list, f[1:]...)
		}
	}
	l := split("Japanese", unique(list))
	l.glue = glue
	l.compose = func(r *rand.Rand) string {
		w := pick(r, l.text) + pick(r, l.text)
		if r.IntN(4) == 0 {
			w += pick(r, l.text)
		}
		return w
	}
	return l
}

// split leaves every fifth word out of the text.
func split(name string, list []string) *language {
	l := &language{name: name}
	for i, w := range list {
		if i%5 == 4 {
			l.spare = append(l.spare, w)
		} else {
			l.text = append(l.text, w)
		}
	}
	return l
}

// A letterModel makes words whose every four letters in a row stand so in a
// word of a list.
type letterModel struct{ next map[string][]byte }

func newLetterModel(list []string) *letterModel {
	m := &letterModel{make(map[string][]byte)}
	for _, w := range list {
		w = "^^^" + w + "$"
		for i := 3; i < len(w); i++ {
			m.next[w[i-3:i]] = append(m.next[w[i-3:i]], w[i])
		}
	}
	return m
}

func (m *letterModel) word(r *rand.Rand) string {
	for {
		w := "^^^"
		for len(w) < 20 {
			next := m.next[w[len(w)-3:]]
			c := next[r.IntN(len(next))]
			if c == '$' {
				break
			}
			w += string(c)
		}
		if len(w) >= 3+4 && len(w) < 20 {
			return w[3:]
		}
	}
}

// terms gives n terms, none of which stands in the filler text.
func (l *language) terms(n int, f *folder, filler []*transcript.Transcript) []string {
	r := random(l.name + " terms")
	spare := slices.Clone(l.spare)
	word := func() string {
		if len(spare) > 0 {
			w := spare[len(spare)-1]
			spare = spare[:len(spare)-1]
			return w
		}
		return l.compose(r)
	}
	phrase := func() string {
		n := 2 + r.IntN(2)
		list := make([]string, n)
		for i := range list {
			list[i] = pick(r, l.text)
			if i > 0 && r.IntN(2) == 0 {
				list[i] = l.text[r.IntN(min(200, len(l.text)))]
			}
		}
		if l.glue != nil {
			return list[0] + pick(r, l.glue) + list[1] + pick(r, l.glue)
		}
		return strings.Join(list, " ")
	}
	stem := func() string { return strings.TrimRight(l.compose(r), "'") + "*" }

	var made []string
	seen := make(map[string]bool)
	for len(made) < n {
		// What stands in the filler is replaced in the next round.
		var more []string
		for i := len(made); i < n; i++ {
			make := word
			switch i % 10 {
			case 3, 7:
				make = phrase
			case 9:
				make = stem
				if l.glue != nil {
					make = word
				}
			}
			t := make()
			for seen[t] {
				t = make()
			}
			seen[t] = true
			more = append(more, t)
		}
		stands := standing(f, more, filler)
		if l.glue != nil {
			dropContaining(made, more, stands)
		} else {
			dropCovered(made, more, stands)
		}
		made = append(made, slices.DeleteFunc(more, func(t string) bool { return stands[t] })...)
	}
	return made
}

// dropContaining adds to drop those of more that hold another term: without
// blanks between words both would be found.
func dropContaining(made, more []string, drop map[string]bool) {
	terms := make(map[string]bool, len(made)+len(more))
	for _, t := range slices.Concat(made, more) {
		terms[t] = true
	}
	holds := func(t string) bool {
		for from := range t {
			for to := range t[from:] {
				if part := t[from : from+to]; terms[part] {
					return true
				}
			}
			if from > 0 && terms[t[from:]] {
				return true
			}
		}
		return false
	}
	for _, t := range more {
		if holds(t) {
			drop[t] = true
		}
	}
}

// dropCovered adds to drop those of more that begin as a wildcard does.
func dropCovered(made, more []string, drop map[string]bool) {
	stems := make(map[string]bool)
	for _, t := range slices.Concat(made, more) {
		if stem, ok := strings.CutSuffix(t, "*"); ok {
			stems[stem] = true
		}
	}
	for _, t := range more {
		word := strings.TrimSuffix(t, "*")
		for to := range word {
			if stems[word[:to]] {
				drop[t] = true
			}
		}
		if word == t && stems[word] {
			drop[t] = true
		}
	}
}

// standing gives those of the terms that stand in a text.
func standing(f *folder, terms []string, in []*transcript.Transcript) map[string]bool {
	folded := make(map[string][]int)
	lengths := make(map[int]bool)
	all := make([]foldedTerm, len(terms))
	for i, t := range terms {
		all[i] = f.term(t)
		folded[all[i].text] = append(folded[all[i].text], i)
		lengths[len(all[i].text)] = true
	}
	var sorted []int
	for n := range lengths {
		sorted = append(sorted, n)
	}
	slices.Sort(sorted)
	stands := make(map[string]bool)
	var text []byte
	for _, t := range in {
		for _, m := range t.Messages {
			text = f.fold(text[:0], m.Texts[0].Text)
			for from := range text {
				if !utf8.RuneStart(text[from]) {
					continue
				}
				if from > 0 {
					before, _ := utf8.DecodeLastRune(text[:from])
					here, _ := utf8.DecodeRune(text[from:])
					if spaced(before) && spaced(here) {
						continue
					}
				}
				for _, n := range sorted {
					if from+n > len(text) {
						break
					}
					for _, i := range folded[string(text[from:from+n])] {
						if all[i].stands(text, from, from+n) {
							stands[terms[i]] = true
						}
					}
				}
			}
		}
	}
	return stands
}

// A corpus is a text with its terms.
type corpus struct {
	terms   []string
	chats   []*transcript.Transcript
	bytes   []int // by chat
	planted []int // by chat: different terms
	byRule  []int // by chat: rules with such terms, of those that are tried as regexps
	words   int
	plants  int
}

// A writer composes chats. The filler is the same whatever terms are planted in
// it, since these have random numbers of their own.
type writer struct {
	langs  []*language
	filler *rand.Rand
	plant  *rand.Rand
	zipf   []*rand.Zipf
	corpus *corpus
	due    int // words until the next term
	now    map[int]bool
}

func write(name string, langs []*language, terms []string, size int) *corpus {
	w := &writer{langs: langs, filler: random(name + " text"), plant: random(name + " plants"), corpus: &corpus{terms: terms}}
	for _, l := range langs {
		w.zipf = append(w.zipf, rand.NewZipf(w.filler, 1.15, 8, uint64(len(l.text)-1)))
	}
	w.due = w.plant.IntN(oneIn)
	total := 0
	at := time.Date(2026, 11, 2, 9, 0, 0, 0, time.UTC)
	for total < size {
		t := &transcript.Transcript{Complete: true}
		w.now = make(map[int]bool)
		bytes := 0
		for i := range perChat {
			author := transcript.Customer
			if w.filler.IntN(2) == 0 {
				author = transcript.Agent
			}
			text := w.message()
			bytes += len(text)
			at = at.Add(time.Second)
			t.Messages = append(t.Messages, transcript.Message{
				EventID: "T_" + strconv.Itoa(i+1), At: at, Author: author,
				Texts: []transcript.Text{{Field: "text", Text: text}},
			})
		}
		rules := make(map[int]bool)
		for term := range w.now {
			if term/perRule < maxRegexps {
				rules[term/perRule] = true
			}
		}
		c := w.corpus
		c.chats = append(c.chats, t)
		c.bytes = append(c.bytes, bytes)
		c.planted = append(c.planted, len(w.now))
		c.byRule = append(c.byRule, len(rules))
		c.plants += len(w.now)
		total += bytes
	}
	return w.corpus
}

var emoji = strings.Fields("🙂 👍 😡 ❤️ 🙏 👩‍💻 🎉 😂 👍🏽 🇵🇱")

func (w *writer) message() string {
	which := w.filler.IntN(len(w.langs))
	l := w.langs[which]
	length := 30 + w.filler.IntN(220)
	var b strings.Builder
	filler, start := 0, true
	for filler < length {
		word := l.text[w.zipf[which].Uint64()]
		switch {
		case w.filler.IntN(30) == 0:
			word = strconv.Itoa(w.filler.IntN(100_000))
		case len(w.langs) > 1 && w.filler.IntN(40) == 0:
			word = pick(w.filler, emoji)
		case len(w.langs) > 1 && w.filler.IntN(60) == 0:
			word = strings.Map(fullWidth, word)
		case len(w.langs) > 1 && w.filler.IntN(20) == 0:
			word = norm.NFD.String(word)
		case start && w.filler.IntN(3) > 0:
			word = capital(word)
		case strings.Contains(word, "'") && w.filler.IntN(2) == 0:
			word = strings.ReplaceAll(word, "'", "’")
		}
		filler += len(word) + 1
		if planted, ok := w.term(start); ok {
			word = planted
		}
		b.WriteString(word)
		w.corpus.words++
		start = false
		end := w.filler.IntN(12)
		if l.glue != nil {
			glue := pick(w.filler, l.glue)
			switch end {
			case 0, 1:
				glue += "。"
			case 2:
				glue += "、"
			}
			b.WriteString(glue)
			filler += len(glue)
			w.corpus.words++
			if w.due > 0 {
				w.due--
			}
			continue
		}
		switch end {
		case 0:
			b.WriteString(pick(w.filler, []string{". ", "! ", "? ", ".\n"}))
			start = true
		case 1:
			b.WriteString(", ")
		default:
			b.WriteString(" ")
		}
	}
	text := strings.TrimSpace(b.String())
	if l.glue == nil {
		text += pick(w.filler, []string{"", "", ".", "!", "?", " :)"})
	}
	return text
}

// term gives a term as a customer might write it, when one is due.
func (w *writer) term(capitalized bool) (string, bool) {
	if len(w.corpus.terms) == 0 {
		return "", false
	}
	if w.due > 0 {
		w.due--
		return "", false
	}
	w.due = oneIn - 1
	i := w.plant.IntN(len(w.corpus.terms))
	w.now[i] = true
	text, wildcard := strings.CutSuffix(w.corpus.terms[i], "*")
	if wildcard {
		text += pick(w.plant, strings.Fields(inflections))
	}
	if w.plant.IntN(20) == 0 {
		text = strings.ReplaceAll(text, " ", pick(w.plant, []string{"  ", "-", "\u00a0"}))
	}
	switch {
	case w.plant.IntN(20) == 0:
		text = strings.ToUpper(text)
	case capitalized:
		text = capital(text)
	}
	return text, true
}

func capital(s string) string {
	r, size := utf8.DecodeRuneInString(s)
	return string(unicode.ToUpper(r)) + s[size:]
}

func fullWidth(r rune) rune {
	if '!' <= r && r <= '~' {
		return r - '!' + '！'
	}
	return r
}

// A made corpus is checked: each message has the size of a chat's.
func (c *corpus) check() error {
	for _, t := range c.chats {
		for _, m := range t.Messages {
			if n := len(m.Texts[0].Text); n < 25 || n > 400 {
				return fmt.Errorf("a message has %d bytes: %q", n, m.Texts[0].Text)
			}
		}
	}
	return nil
}
