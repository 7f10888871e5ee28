package rules

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
	yaml "go.yaml.in/yaml/v3"
	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"

	"autotag/pkg/livechat"
	"autotag/pkg/transcript"
)

// A sentence is an entry of the files in testdata/language: one claim that the
// language makes, with cases that hold it to its word.
//
// Cases of matching give the tag t, in finds, or do not, in not. They are tried
// on the rules of the sentence, or on one rule for t with its term. Cases of
// files are refused with these faults, or read with these warnings, or with
// nothing to say (fine).
type sentence struct {
	Says    string `yaml:"says"`
	Reading string `yaml:"reading"` // how a sentence is taken that can be taken in two ways
	Defines string `yaml:"defines"` // why there is nothing to try

	Term     yaml.Node `yaml:"term"`
	Markdown bool      `yaml:"markdown"` // messages that are plain texts are marked as Markdown
	Defaults yaml.Node `yaml:"defaults"`
	Lists    yaml.Node `yaml:"lists"`
	Rules    yaml.Node `yaml:"rules"`

	Finds []yaml.Node `yaml:"finds"` // a text that the customer writes, or an example
	Not   []yaml.Node `yaml:"not"`

	Faults []fileExample `yaml:"faults"`
	Warns  []fileExample `yaml:"warns"`
	Fine   []fileExample `yaml:"fine"`

	at string // file and line
}

// An example is one chat, or several of one message each, with what the rules
// make of it.
type example struct {
	Term     yaml.Node   `yaml:"term"` // in place of the sentence's
	In       yaml.Node   `yaml:"in"`   // texts of one message each
	Markdown bool        `yaml:"markdown"`
	Chat     yaml.Node   `yaml:"chat"` // as in a file of tests
	Groups   []int       `yaml:"groups"`
	Tagged   []string    `yaml:"tagged"`
	Thread   *thread     `yaml:"thread"` // what the platform sends, in place of a chat
	Tags     []string    `yaml:"tags"`   // exactly these; [t] in finds and none in not, when not given
	Shadow   []string    `yaml:"shadow"`
	Lost     bool        `yaml:"lost"`   // events are missing for good
	Names    []string    `yaml:"names"`  // of the rules that gave tags
	Pieces   []yaml.Node `yaml:"pieces"` // of the texts, as written: all the evidence of t
}

// A thread is what the webhooks tell of it.
type thread struct {
	Events   []any `yaml:"events"` // of the incoming_chat
	Webhooks []struct {
		Action  string `yaml:"action"`
		Payload any    `yaml:"payload"`
	} `yaml:"webhooks"`
}

// A fileExample is a rules file with all that is said about it.
type fileExample struct {
	File  string   `yaml:"file"`
	From  string   `yaml:"from"`  // a file in testdata, in place of the text
	Bytes int      `yaml:"bytes"` // the text is filled up to so many with a comment
	Says  []string `yaml:"says"`  // LINE:COLUMN: message
	Shows string   `yaml:"shows"` // the same as people see it
}

// languageFiles are in the order of the language's sections.
func languageFiles(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/language/*")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	return files
}

func readSentences(t *testing.T, file string) []sentence {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var nodes []yaml.Node
	if err := yaml.Unmarshal(data, &nodes); err != nil {
		t.Fatal(file, err)
	}
	sentences := make([]sentence, len(nodes))
	for i := range nodes {
		decodeStrictly(t, &nodes[i], &sentences[i])
		sentences[i].at = fmt.Sprintf("%s:%d", filepath.Base(file), nodes[i].Line)
	}
	return sentences
}

// decodeStrictly refuses keys that are not known, so that no case is left out
// by a slip.
func decodeStrictly(t *testing.T, n *yaml.Node, into any) {
	t.Helper()
	data, err := yaml.Marshal(written(n))
	if err != nil {
		t.Fatal(err)
	}
	d := yaml.NewDecoder(bytes.NewReader(data))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil && !errors.Is(err, io.EOF) {
		t.Fatalf("%s\n%v", data, err)
	}
}

// written gives a copy of a node with what its aliases stand for in their place.
func written(n *yaml.Node) *yaml.Node {
	c := *resolve(n)
	c.Anchor, c.Content = "", nil
	for _, child := range resolve(n).Content {
		c.Content = append(c.Content, written(child))
	}
	return &c
}

// TestLanguage tries every sentence of the language.
func TestLanguage(t *testing.T) {
	t.Parallel()
	for _, file := range languageFiles(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			for _, s := range readSentences(t, file) {
				t.Run(s.Says, func(t *testing.T) {
					t.Parallel()
					s.try(t)
				})
			}
		})
	}
}

// TestEverySentenceIsTried lists the sentences that lack a kind of case: one
// that finds and one that does not, or a file with what is said about it.
func TestEverySentenceIsTried(t *testing.T) {
	t.Parallel()
	known := map[string]string{}
	for _, file := range languageFiles(t) {
		for _, s := range readSentences(t, file) {
			if other, twice := known[s.Says]; twice {
				t.Errorf("%s: the sentence %q is in %s too", s.at, s.Says, other)
			}
			known[s.Says] = s.at
			matching, files := len(s.Finds)+len(s.Not) > 0, len(s.Faults)+len(s.Warns) > 0
			switch {
			case s.Says == "":
				t.Errorf("%s: an entry says nothing", s.at)
			case s.Defines != "":
				if matching || files {
					t.Errorf("%s: %q has cases, so there is something to try", s.at, s.Says)
				}
			case matching && len(s.Finds) == 0:
				t.Errorf("%s: %q has no case that finds", s.at, s.Says)
			case matching && len(s.Not) == 0:
				t.Errorf("%s: %q has no case that does not find", s.at, s.Says)
			case !matching && !files:
				t.Errorf("%s: %q has no cases", s.at, s.Says)
			}
		}
	}
}

func (s sentence) try(t *testing.T) {
	for i := range s.Finds {
		s.tryExample(t, &s.Finds[i], true)
	}
	for i := range s.Not {
		s.tryExample(t, &s.Not[i], false)
	}
	for _, f := range s.Faults {
		f.try(t, Error)
	}
	for _, f := range s.Warns {
		f.try(t, Warning)
	}
	for _, f := range s.Fine {
		if len(f.Says) > 0 {
			t.Errorf("%s: a file that is fine has problems", s.at)
		}
		f.try(t, Warning)
	}
}

// set is the rules that an example is tried on.
func (s sentence) set(t *testing.T, term *yaml.Node) *Set {
	t.Helper()
	file := "version: 1\n"
	if term.IsZero() {
		term = &s.Term
	}
	for _, part := range []struct {
		key   string
		value yaml.Node
	}{{"defaults", s.Defaults}, {"lists", s.Lists}, {"rules", s.Rules}} {
		if !part.value.IsZero() {
			file += marshal(t, part.key, &part.value)
		}
	}
	if s.Rules.IsZero() {
		if term.IsZero() {
			t.Fatalf("%s: neither rules nor a term", s.at)
		}
		file += marshal(t, "rules", &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{{Kind: yaml.MappingNode, Content: []*yaml.Node{
			{Kind: yaml.ScalarNode, Value: "tag"}, {Kind: yaml.ScalarNode, Value: "t"},
			{Kind: yaml.ScalarNode, Value: "any"}, {Kind: yaml.SequenceNode, Content: []*yaml.Node{term}},
		}}}})
	}
	set, ps := Parse("rules.yaml", []byte(file))
	if set == nil {
		t.Fatalf("%s:\n%s", s.at, ps)
	}
	return set
}

func marshal(t *testing.T, key string, value *yaml.Node) string {
	t.Helper()
	data, err := yaml.Marshal(&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{{Kind: yaml.ScalarNode, Value: key}, value}})
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func (s sentence) tryExample(t *testing.T, n *yaml.Node, finds bool) {
	t.Helper()
	var e example
	texts := []string{n.Value}
	if n.Kind == yaml.ScalarNode {
		e.Markdown = s.Markdown
	} else {
		decodeStrictly(t, n, &e)
		texts = nil
		switch e.In.Kind {
		case yaml.ScalarNode:
			texts = []string{e.In.Value}
		case yaml.SequenceNode:
			for _, item := range e.In.Content {
				texts = append(texts, item.Value)
			}
		}
		e.Markdown = e.Markdown || s.Markdown
	}
	set := s.set(t, &e.Term)
	var chats []*transcript.Transcript
	switch {
	case e.Thread != nil:
		chats = append(chats, e.Thread.transcript(t))
	case !e.Chat.IsZero():
		chats = append(chats, parseChat(t, set, &e.Chat))
	default:
		if len(texts) == 0 {
			t.Fatalf("%s: an example without a chat", s.at)
		}
		for _, text := range texts {
			c := chat("c: " + text)
			c.Messages[0].Texts[0].Markdown = e.Markdown
			chats = append(chats, c)
		}
	}
	want := e.Tags
	if want == nil && finds && e.Shadow == nil {
		want = []string{"t"}
	}
	if given := slices.Contains(want, "t") || slices.Contains(e.Shadow, "t"); given != finds {
		t.Fatalf("%s: an example with the tags %q and the shadow tags %q stands under the wrong key", s.at, want, e.Shadow)
	}
	for _, c := range chats {
		c.Complete = !e.Lost
		c.Tagged = append(c.Tagged, e.Tagged...)
		if e.Groups != nil {
			c.Groups = e.Groups
		}
		result := set.MatchReference(c)
		if diff := cmp.Diff(result, set.Match(c)); diff != "" {
			t.Errorf("%s: Match differs from MatchReference on %s\n%s", s.at, show(c), diff)
		}
		checkPlaces(t, c, result)
		if got := tagSet(result.Tags); !slices.Equal(got, sorted(want)) {
			t.Errorf("%s: tags %q, want %q, of %s", s.at, got, sorted(want), show(c))
		}
		if got := tagSet(result.Shadow); !slices.Equal(got, sorted(e.Shadow)) {
			t.Errorf("%s: shadow tags %q, want %q, of %s", s.at, got, sorted(e.Shadow), show(c))
		}
		if e.Names != nil {
			got := []string{}
			for _, h := range result.Tags {
				got = append(got, h.Rule)
			}
			if !slices.Equal(got, e.Names) {
				t.Errorf("%s: rules %q, want %q, of %s", s.at, got, e.Names, show(c))
			}
		}
		if e.Pieces != nil {
			wanted := []string{}
			for _, p := range e.Pieces {
				wanted = append(wanted, p.Value)
			}
			if diff := cmp.Diff(wanted, evidencePieces(c, append(result.Tags, result.Shadow...))); diff != "" {
				t.Errorf("%s: evidence of %s (-want +got):\n%s", s.at, show(c), diff)
			}
		}
	}
}

func sorted(tags []string) []string {
	tags = append([]string{}, tags...)
	slices.Sort(tags)
	return tags
}

// show gives the texts of a chat in ASCII, where most of what matters is seen.
func show(c *transcript.Transcript) string {
	var b strings.Builder
	for _, m := range c.Messages {
		for _, text := range m.Texts {
			fmt.Fprintf(&b, "%s: %+q ", m.Author, text.Text)
		}
	}
	return b.String()
}

// evidencePieces gives what the evidence of t covers.
func evidencePieces(c *transcript.Transcript, hits []Hit) []string {
	got := []string{}
	for _, h := range hits {
		if h.Tag != "t" {
			continue
		}
		for _, e := range h.Evidence {
			for _, m := range c.Messages {
				for _, text := range m.Texts {
					if m.EventID == e.EventID && text.Field == e.Field {
						got = append(got, string([]rune(text.Text)[e.Start:e.End]))
					}
				}
			}
		}
	}
	return got
}

// parseChat reads a chat as files of tests have them.
func parseChat(t *testing.T, set *Set, n *yaml.Node) *transcript.Transcript {
	t.Helper()
	file := marshal(t, "tests", &yaml.Node{Kind: yaml.SequenceNode, Content: []*yaml.Node{{Kind: yaml.MappingNode, Content: []*yaml.Node{
		{Kind: yaml.ScalarNode, Value: "chat"}, n,
		{Kind: yaml.ScalarNode, Value: "tags"}, {Kind: yaml.SequenceNode, Style: yaml.FlowStyle},
	}}}})
	tests, ps := ParseTests("rules_test.yaml", []byte(file), set)
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	return tests.Cases[0].Chat
}

// transcript is what the tagger would make of the thread.
func (x thread) transcript(t *testing.T) *transcript.Transcript {
	t.Helper()
	key := transcript.Key{Org: "org", Chat: "C", Thread: "T"}
	start := time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)
	facts := new(transcript.Facts)
	arrived := 0
	tell := func(action string, payload any) {
		data, err := json.Marshal(payload)
		if err != nil {
			t.Fatal(err)
		}
		p, err := livechat.ParsePayload(action, data)
		if err != nil {
			t.Fatal(err)
		}
		arrived++
		facts.AddAll(transcript.Read(key, action, p, start.Add(time.Duration(arrived)*time.Second)).Facts)
	}
	tell(livechat.IncomingChat, map[string]any{"chat": map[string]any{
		"id": "C",
		"users": []any{
			map[string]any{"id": "2c8f1e5a-9b34-4d7e-8a61-0f5d3c7b9e20", "type": "customer"},
			map[string]any{"id": "smith@example.com", "type": "agent"},
			map[string]any{"id": "9f3ad1c07be24d6a8e15c2b47d60fa93", "type": "agent"},
		},
		"thread": map[string]any{"id": "T", "active": true, "events": x.Events, "access": map[string]any{"group_ids": []int{0}}},
	}})
	for _, w := range x.Webhooks {
		tell(w.Action, w.Payload)
	}
	reading, more := transcript.Reduce(key, facts).Readings(1)
	if more {
		t.Fatal("the thread has several readings")
	}
	return reading[0]
}

func (f fileExample) try(t *testing.T, worst Severity) {
	t.Helper()
	data := []byte(f.File)
	if f.From != "" {
		var err error
		if data, err = os.ReadFile("testdata/" + f.From); err != nil {
			t.Fatal(err)
		}
	}
	if n := f.Bytes - len(data); n > 0 {
		data = append(data, bytes.Repeat([]byte("#"), n)...)
	}
	set, ps := Parse("rules.yaml", data)
	got := []string{}
	for _, p := range ps {
		got = append(got, fmt.Sprintf("%d:%d: %s", p.Line, p.Column, p.Message))
		if p.Severity != worst {
			t.Errorf("%s is a %s, not a %s, in\n%s", p.Message, p.Severity, worst, shorten(data))
		}
	}
	if refused := set == nil; refused != (worst == Error) {
		t.Errorf("refused: %v\n%s", refused, shorten(data))
	}
	if diff := cmp.Diff(append([]string{}, f.Says...), got); diff != "" {
		t.Errorf("problems (-want +got):\n%s\nof\n%s", diff, shorten(data))
	}
	if f.Shows != "" {
		if diff := cmp.Diff(f.Shows, ps.String()); diff != "" {
			t.Errorf("output (-want +got):\n%s\nof\n%s", diff, shorten(data))
		}
	}
}

func shorten(data []byte) []byte { return data[:min(len(data), 2000)] }

// What is a letter, a mark, a case or a cluster is what Unicode 15.0 says in
// all the libraries that are asked. With a newer Go they may part: uniseg then
// knows less than the others of what is new. Look at the cases of the language
// for what has changed before this number is.
func TestUnicodeVersion(t *testing.T) {
	t.Parallel()
	for library, version := range map[string]string{"unicode": unicode.Version, "norm": norm.Version, "cases": cases.UnicodeVersion} {
		if version != "15.0.0" {
			t.Errorf("%s has Unicode %s", library, version)
		}
	}
}
