package rules

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"autotag/pkg/transcript"
)

// agreements is how often Match is held against MatchReference by
// TestMatchAgrees; make fuzz asks for a million.
var agreements = flag.Int("agreements", 20_000, "comparisons of Match with MatchReference")

// vocabulary is words of twenty scripts and more.
var vocabulary = []string{
	"refund", "refunds", "money", "back", "money back", "not", "can", "can't", "don't", "app", "happy", "the", "I", "e-mail", "co-op", "C++", "a", "b", "ab", "abc",
	"straße", "strasse", "müller", "łódź", "Zażółć", "crème brûlée", "ﬁnal", "L'adresse", "İstanbul", "ısı", "Œuvre",
	"επιστροφή", "Σίσυφος", "возврат", "ёлка", "елка", "й", "استرداد", "كِتَـــاب", "كتاب", "החזר", "שָׁלוֹם",
	"धनवापसी", "हिन्दी", "हिन्", "कि", "क", "टाका", "টাকা", "ফেরত", "பணம்", "திரும்ப", "డబ్బు", "ಹಣ", "പണം", "ਪੈਸੇ",
	"คืนเงิน", "เงิน", "ไม่", "ไม", "ເງິນ", "ប្រាក់", "ငွေ", "ငွေပြန်", "退款", "退", "我的iPhone坏了", "iPhone", "返金", "へんきん", "キャンセル", "ｷｬﾝｾﾙ", "コピー", "환불", "환불을", "환",
	"თანხა", "գումար", "ገንዘብ", "མི", "ᠮᠣᠩᠭᠣᠯ",
	"100", "1.5", "1,100", "24", "24小时", "2024-05-01", "٣", "#1", "$100", "US$100", ":)", "<3", "👍", "👩‍👩‍👧", "❤️", "1️⃣", "🇩🇪", "👍🏽",
	"https://shop.example/refund", "a_b", "@home",
}

var joints = []string{" ", " ", " ", " ", "", "-", " - ", "\n", ". ", ", ", "'", "*", "\u00a0", "\u00ad", "\u200d", "!"}

var regexes = []string{
	"refund", "re(fund|turn)s?", "(?:money|cash) +back", `\d{2,}`, "[a-c]+b", "ſtraße", "k", "ß", "^refund", "back$", "(?m)^money", "a*", "(?-i)Refund",
	"[[:upper:]]{2}", "(возврат|退款)", ".", "x?y?", "(refund|)", "\\bapp\\b", "S", "é", "\ufffd", "(", "a{3,}b|c", "(?s)a.b", "İ",
}

// A chooser chooses at random: 0 to n-1. Zero is the simplest.
type chooser interface{ IntN(n int) int }

func pick[T any](c chooser, from []T) T { return from[c.IntN(len(from))] }

// often is true n times of ten.
func often(c chooser, n int) bool { return c.IntN(10) >= 10-n }

type sample struct {
	chooser
	said  []string // the texts of terms, to be said in chats
	lists [][]*Term
}

func (s *sample) words(most int) string {
	var b strings.Builder
	for i := range 1 + s.IntN(most) {
		if i > 0 {
			b.WriteString(pick(s, joints))
		}
		if often(s, 7) {
			b.WriteString(pick(s, vocabulary))
		} else {
			b.WriteString(pick(s, pieces))
		}
	}
	return b.String()
}

func (s *sample) leaf() *Term {
	t := &Term{Kind: pick(s, []Kind{Literal, Literal, Literal, Word, Contains, Regex, Canned}), Min: 1}
	t.CaseExact, t.AccentsExact = often(s, 2), often(s, 2)
	t.Text = s.words(1 + s.IntN(3))
	switch t.Kind {
	case Literal:
		if often(s, 3) {
			t.Text += "*"
		}
		if often(s, 1) {
			t.Text += pick(s, []string{" ", "-", ""}) + s.words(1)
		}
	case Contains:
		if often(s, 3) {
			r := []rune(t.Text)
			t.Text = string(r[s.IntN(len(r)):])
		}
	case Regex:
		t.AccentsExact = false
		if often(s, 7) {
			t.Text = pick(s, regexes)
		}
	case Canned:
		if often(s, 5) {
			t.Text = pick(s, []string{"%n%", "", "Hi "}) + t.Text + pick(s, []string{"%n%", ", %n%!", "%a%%b%"})
		}
	}
	if len(s.said) > 0 && often(s, 1) {
		t.Text = pick(s, s.said) // the same again, perhaps of another kind
	}
	s.said = append(s.said, t.Text)
	s.window(t)
	return t
}

func (s *sample) window(t *Term) {
	switch {
	case often(s, 1):
		t.First = 1 + s.IntN(3)
	case often(s, 1):
		t.Last = 1 + s.IntN(3)
	}
	if often(s, 2) {
		t.Min = 1 + s.IntN(3)
	}
}

func (s *sample) term(depth int) *Term {
	switch {
	case len(s.lists) > 0 && often(s, 3):
		t := &Term{Kind: List, Min: 1}
		i := s.IntN(len(s.lists))
		t.Text, t.Entries = "list"+strconv.Itoa(i), s.lists[i]
		if often(s, 2) {
			t.Min = 1 + s.IntN(3)
		}
		return t
	case depth > 0 && often(s, 3):
		t := s.group(depth - 1)
		return &t
	}
	return s.leaf()
}

func (s *sample) terms(most, depth int) (terms []*Term) {
	for range s.IntN(most + 1) {
		terms = append(terms, s.term(depth))
	}
	return terms
}

func (s *sample) group(depth int) Term {
	t := Term{Kind: Group, Any: s.terms(3, depth), All: s.terms(2, depth), Min: 1}
	if often(s, 3) {
		t.None = s.terms(2, depth)
	}
	if often(s, 2) {
		t.Min = 1 + s.IntN(3)
	}
	return t
}

func (s *sample) set() *Set {
	for range s.IntN(4) {
		s.lists = append(s.lists, s.terms(4, 1))
	}
	set := &Set{}
	for i := range 1 + s.IntN(8) {
		r := &Rule{
			Name: "rule" + strconv.Itoa(i), Tag: "tag" + strconv.Itoa(s.IntN(4)),
			Status: pick(s, []Status{Active, Active, Active, Active, Shadow, Off}),
			From:   pick(s, []From{FromAnyone, FromAnyone, FromCustomer, FromAgent, FromBot}),
			Within: pick(s, []Within{WithinChat, WithinChat, WithinMessage}),
		}
		r.Internal = often(s, 3)
		r.Fallback = often(s, 1)
		if often(s, 3) {
			r.Set = pick(s, []string{"x", "y"})
		}
		if often(s, 1) {
			r.Groups = []int{s.IntN(3)}
		}
		if often(s, 1) {
			r.UnlessTagged = []string{"vip"}
		}
		if !r.Fallback {
			r.Body = s.group(2)
		}
		set.Rules = append(set.Rules, r)
	}
	return set
}

func (s *sample) text() string {
	var b strings.Builder
	for range 1 + s.IntN(4) {
		switch {
		case len(s.said) > 0 && often(s, 5):
			b.WriteString(pick(s, s.said))
		case often(s, 1):
			b.WriteByte(byte(s.IntN(256)))
		default:
			b.WriteString(s.words(3))
		}
		b.WriteString(pick(s, joints))
	}
	text := b.String()
	switch s.IntN(20) {
	case 17:
		text = strings.ToUpper(text)
	case 18:
		text = strings.Repeat(text, 1+s.IntN(10))
	case 19:
		text = strings.ReplaceAll(text, " ", "**")
	}
	return text
}

func (s *sample) chat() *transcript.Transcript {
	t := &transcript.Transcript{Complete: !often(s, 1), Groups: []int{s.IntN(3)}}
	if often(s, 2) {
		t.Tagged = []string{"vip"}
	}
	for i := range s.IntN(6) {
		m := transcript.Message{
			EventID: "T_" + strconv.Itoa(i), At: time.Unix(int64(i), 0),
			Author:   pick(s, []transcript.Author{transcript.Customer, transcript.Customer, transcript.Agent, transcript.Bot, transcript.Unknown}),
			Internal: often(s, 1),
		}
		for j := range 1 + s.IntN(10)/8 {
			text := s.text()
			if len(s.said) > 0 && often(s, 2) {
				text = pick(s, s.said) // canned responses are whole messages
				if often(s, 3) {
					text = strings.ReplaceAll(text, "%n%", s.words(1))
				}
			}
			m.Texts = append(m.Texts, transcript.Text{Field: "answer:" + strconv.Itoa(j), Text: text, Markdown: often(s, 2)})
		}
		t.Messages = append(t.Messages, m)
	}
	return t
}

// checkAgreement compares the two matchers on a set and chats for it.
func checkAgreement(s *sample, chats int) error {
	set := s.set()
	for range chats {
		chat := s.chat()
		if want, got := set.MatchReference(chat), set.Match(chat); !reflect.DeepEqual(want, got) {
			diff := cmp.Diff(want, got)
			return fmt.Errorf("Match differs (-reference +match):\n%s\nrules:\n%schat:\n%s", diff, describeSet(set), describeChat(chat))
		}
	}
	return nil
}

func describeSet(set *Set) string {
	var b strings.Builder
	for _, r := range set.Rules {
		fmt.Fprintf(&b, "  %s: tag %s, %s, from %s, within %s, internal %v, fallback %v, set %q, groups %v, unless %v\n",
			r.Name, r.Tag, r.Status, r.From, r.Within, r.Internal, r.Fallback, r.Set, r.Groups, r.UnlessTagged)
		describeTerm(&b, "    ", "", &r.Body)
	}
	return b.String()
}

func describeTerm(b *strings.Builder, indent, where string, t *Term) {
	fmt.Fprintf(b, "%s%skind %d %+q, exact %v %v, min %d, first %d, last %d\n", indent, where, t.Kind, t.Text, t.CaseExact, t.AccentsExact, t.Min, t.First, t.Last)
	for _, list := range []struct {
		name  string
		terms []*Term
	}{{"any: ", t.Any}, {"all: ", t.All}, {"none: ", t.None}, {"entry: ", t.Entries}} {
		for _, term := range list.terms {
			describeTerm(b, indent+"  ", list.name, term)
		}
	}
}

func describeChat(c *transcript.Transcript) string {
	var b strings.Builder
	for _, m := range c.Messages {
		for _, text := range m.Texts {
			fmt.Fprintf(&b, "  %s, internal %v, markdown %v: %+q\n", m.Author, m.Internal, text.Markdown, text.Text)
		}
	}
	return b.String()
}

// Match says exactly what the reference says.
func TestMatchAgrees(t *testing.T) {
	t.Parallel()
	const chats = 20 // for each set
	seed := rand.Uint64()
	if given := os.Getenv("AGREEMENT_SEED"); given != "" {
		seed, _ = strconv.ParseUint(given, 10, 64)
	}
	sets := uint64(*agreements / chats)
	var next atomic.Uint64
	for worker := range runtime.GOMAXPROCS(0) {
		t.Run(strconv.Itoa(worker), func(t *testing.T) {
			t.Parallel()
			for i := next.Add(1); i <= sets; i = next.Add(1) {
				s := &sample{chooser: rand.New(rand.NewPCG(seed, i))}
				if err := checkAgreement(s, chats); err != nil {
					t.Fatalf("AGREEMENT_SEED=%d, set %d: %v", seed, i, err)
				}
			}
		})
	}
}

// drawn chooses what rapid draws, so that it can make a failure small.
type drawn struct{ *rapid.T }

func (d drawn) IntN(n int) int { return rapid.IntRange(0, n-1).Draw(d.T, "n") }

func TestMatchAgreesOnSmallSets(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		if err := checkAgreement(&sample{chooser: drawn{t}}, 1); err != nil {
			t.Fatal(err)
		}
	})
}

// spelt chooses what bytes say, for the fuzzer.
type spelt struct{ rest []byte }

func (w *spelt) IntN(n int) int {
	if len(w.rest) == 0 {
		return 0
	}
	i := int(w.rest[0])
	w.rest = w.rest[1:]
	if n > 256 && len(w.rest) > 0 {
		i = i<<8 | int(w.rest[0])
		w.rest = w.rest[1:]
	}
	return i % n
}

func FuzzMatchAgrees(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 20 {
		b := make([]byte, 200+r.IntN(800))
		for i := range b {
			b[i] = byte(r.IntN(256))
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if err := checkAgreement(&sample{chooser: &spelt{b}}, 2); err != nil {
			t.Fatal(err)
		}
	})
}

// Matching takes new memory for its result alone.
func TestMatchAllocates(t *testing.T) {
	set := mustParse(t, `
lists: {words: [chargeback, "money back", dispute*]}
rules:
  - {tag: a, any: [refund, {list: words}, {contains: fraud}, {regex: 'order #\d+'}, {canned: "Hi %name%, I am here to help"}]}
  - {tag: b, within: message, all: [parcel, late], none: [thanks]}
  - {tag: c, any: [{word: Straße, case: exact}, 退款, ":("]}
`)
	s := newMatch(set.matcher())
	for _, test := range []struct {
		says string
		chat *transcript.Transcript
		want float64
	}{
		{"nothing is found", chat("c: Hello, I'd like to know more about it!", "a: Of course - what is it about?", "c: der Käse, 24小时, naïve"), 0},
		{"a veto alone is found", chat("c: thanks a lot"), 0},
		{"a word: the hits and the evidence of one", chat("c: my refund please"), 2},
		{"a rule message by message", chat("c: my parcel is late"), 2},
	} {
		t.Run(test.says, func(t *testing.T) {
			if got := testing.AllocsPerRun(100, func() { s.match(test.chat) }); got != test.want {
				t.Errorf("%v allocations, want %v", got, test.want)
			}
		})
	}
}

// What is slow for other matchers is not for this one: a term's beginning again
// and again, words without an end, marks without an end.
func TestMatchOfLongTexts(t *testing.T) {
	t.Parallel()
	set := mustParse(t, `
rules:
  - {tag: a, any: [refund*, "refund* now", "re* re* re* x", "退款* x", 退退退退x, {contains: aaaaaaab}, {regex: '(a+)+b'}, {canned: "%a%refund%b%refund%c%x"}]}
`)
	var lines []string
	for i, part := range []string{"refund ", "re ", "退款", "退", "a", "e\u0301", "\u0301", "क्", "👩\u200d", "🇩", "- ", "n't", "1.", "\xff", "**", "[", "&amp;", "İ", "ﷺ"} {
		text := strings.Repeat(part, 2<<10/len(part))
		lines = append(lines, "c: "+text)
		if i%2 == 0 {
			lines = append(lines, "cm: "+text)
		}
	}
	tr := chat(lines...)
	if want, got := set.MatchReference(tr), set.Match(tr); !reflect.DeepEqual(want, got) {
		t.Error(cmp.Diff(want, got))
	}
}
