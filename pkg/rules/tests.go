package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"

	yaml "go.yaml.in/yaml/v3"

	"autotag/pkg/transcript"
)

// Tests is a valid rules_test.yaml.
type Tests struct {
	Cases []Case
}

// Case is one chat with the tags that the rules must give it.
type Case struct {
	Name   string // "test 3" for the third one when none is given
	Line   int    // of the case's first key, from 1
	Chat   *transcript.Transcript
	Tags   []string // sorted; exactly these
	Shadow []string // sorted; exactly these; nil: not asked
}

// Run says which expected tags the rules do not give and which unexpected ones
// they do. Both are sorted and not nil; shadow tags are marked "(shadow)".
func (c Case) Run(set *Set) (missing, extra []string) {
	result := set.Match(c.Chat)
	missing, extra = difference(c.Tags, tagSet(result.Tags))
	if c.Shadow != nil {
		m, e := difference(c.Shadow, tagSet(result.Shadow))
		for _, tag := range m {
			missing = append(missing, tag+" (shadow)")
		}
		for _, tag := range e {
			extra = append(extra, tag+" (shadow)")
		}
	}
	return missing, extra
}

// difference gives what is only in want and what is only in got.
func difference(want, got []string) (missing, extra []string) {
	missing, extra = []string{}, []string{}
	for _, tag := range want {
		if !slices.Contains(got, tag) {
			missing = append(missing, tag)
		}
	}
	for _, tag := range got {
		if !slices.Contains(want, tag) {
			extra = append(extra, tag)
		}
	}
	return missing, extra
}

var (
	testFileKeys = []string{"tests"}
	caseKeys     = []string{"name", "chat", "groups", "tagged", "tags", "shadow"}
	authorKeys   = []string{string(transcript.Customer), string(transcript.Agent), string(transcript.Bot)}
	messageFlags = []string{"internal", "markdown", "greeting", "deleted"}
	messageKeys  = slices.Concat(authorKeys, messageFlags)
	contentKeys  = []string{"form", "button"}
)

// ParseTests reads a file of tests for the rules of set. file is the name that
// problems carry. The tests are nil when any problem is a fault.
func ParseTests(file string, data []byte, set *Set) (*Tests, Problems) {
	r := &testReader{document: load(file, data, "tests:"), named: map[string]place{}}
	r.know(set)
	if r.root != nil {
		r.file(r.root)
	}
	if r.failed() {
		return nil, r.problems()
	}
	return &r.tests, r.problems()
}

type testReader struct {
	*document
	tests Tests
	named map[string]place
	ruled tagNames // the tags that rules set
	asked tagNames // those and the ones that unless_tagged names
}

// tagNames are tags in the order of the file.
type tagNames struct {
	all  []string
	seen map[string]bool
}

func (t *tagNames) add(tag string) {
	if t.seen == nil {
		t.seen = map[string]bool{}
	}
	if !t.seen[tag] {
		t.seen[tag] = true
		t.all = append(t.all, tag)
	}
}

func (r *testReader) know(set *Set) {
	for _, rule := range set.Rules {
		r.ruled.add(rule.Tag)
		r.asked.add(rule.Tag)
		for _, tag := range rule.UnlessTagged {
			r.asked.add(tag)
		}
	}
}

func (r *testReader) file(n *yaml.Node) {
	if !r.isMapping(n, "a file of tests", "tests: and a list of tests") {
		return
	}
	m := r.read(n, testFileKeys, oneOf("a file of tests", testFileKeys))
	tests, ok := m.fields["tests"]
	switch {
	case m.lacks("tests"):
		r.fault(r.first(n), "the key tests is missing; write tests: and a list of tests")
	case !ok:
	case tests.value.Kind == yaml.SequenceNode && len(tests.value.Content) == 0:
		r.warn(r.place(tests.value), "there are no tests")
	default:
		for i, item := range r.items(tests.value, "tests", "{chat: [{customer: refund}], tags: [refund]}") {
			r.testCase(resolve(item), i+1)
		}
	}
}

func (r *testReader) testCase(n *yaml.Node, number int) {
	if !r.isMapping(n, "a test", "{chat: [{customer: refund}], tags: [refund]}") {
		return
	}
	first := r.first(n)
	m := r.read(n, caseKeys, oneOf("a test", caseKeys))
	f := m.fields
	c := Case{
		Name: fmt.Sprintf("test %d", number),
		Line: first.line,
		Chat: &transcript.Transcript{Groups: []int{0}, Complete: true},
		Tags: []string{},
	}
	if v, ok := f["name"]; ok {
		if name, ok := r.label(v.value, "name"); ok {
			c.Name = name
			at := r.place(v.value)
			if other, twice := r.named[name]; twice {
				r.warn(at, "two tests are named %s, the other one in line %d; write another name", quote(name), other.line)
			} else {
				r.named[name] = at
			}
		}
	}
	if m.lacks("chat") {
		r.fault(first, "the test has no chat; write chat: and a list of messages, or chat: [] for none")
	}
	if v, ok := f["chat"]; ok {
		for i, item := range r.list(v.value, "chat", "{customer: refund}") {
			r.message(resolve(item), i+1, c.Chat)
		}
	}
	if v, ok := f["groups"]; ok {
		c.Chat.Groups = nil
		for _, item := range r.list(v.value, "groups", "0") {
			if g, ok := r.number(resolve(item), "a group id", 0); ok {
				c.Chat.Groups = append(c.Chat.Groups, g)
			}
		}
		slices.Sort(c.Chat.Groups)
		c.Chat.Groups = slices.Compact(c.Chat.Groups)
	}
	if v, ok := f["tagged"]; ok {
		c.Chat.Tagged = r.tags(v.value, "tagged", func(at place, tag string) {
			// Any tag may be on a chat; one that differs in a letter is a slip.
			if r.asked.seen[tag] {
				return
			}
			if near := r.nearest(tag, r.asked.all); near != "" {
				r.warn(at, "no rule asks for the tag %s, so it changes nothing; did you mean %s?", quote(tag), quote(near))
			}
		})
	}
	known := func(at place, tag string) {
		if !r.ruled.seen[tag] {
			hint := "; no rule has any tag"
			if len(r.ruled.all) > 0 {
				hint = "; the tags are " + knownNames(r.ruled.all)
			}
			r.fault(at, "no rule has the tag %s%s", quote(tag), r.didYouMean(tag, r.ruled.all, hint))
		}
	}
	if m.lacks("tags") {
		r.fault(first, "the test does not say which tags to expect; write tags: and a list of tags, or tags: [] for none")
	}
	if v, ok := f["tags"]; ok {
		c.Tags = r.tags(v.value, "tags", known)
	}
	if v, ok := f["shadow"]; ok {
		c.Shadow = r.tags(v.value, "shadow", known)
	}
	r.tests.Cases = append(r.tests.Cases, c)
}

// list is items for a list that may be empty.
func (r *testReader) list(n *yaml.Node, what, example string) []*yaml.Node {
	if n.Kind == yaml.SequenceNode && len(n.Content) == 0 {
		return nil
	}
	return r.items(n, what, example)
}

// tags reads a list of tags, sorted and never nil.
func (r *testReader) tags(n *yaml.Node, what string, check func(place, string)) []string {
	tags := []string{}
	for _, item := range r.list(n, what, "refund") {
		if tag, ok := r.label(resolve(item), "a tag"); ok {
			check(r.place(resolve(item)), tag)
			tags = append(tags, tag)
		}
	}
	slices.Sort(tags)
	return slices.Compact(tags)
}

// message reads the message of a given number and adds it to the chat if it
// leaves one.
func (r *testReader) message(n *yaml.Node, number int, chat *transcript.Transcript) {
	if !r.isMapping(n, "a message", "{customer: "+inQuotes(n.Value)+"}") {
		return
	}
	keys := r.read(n, messageKeys, oneOf("a message", messageKeys))
	f := keys.fields
	var authors []field
	for _, key := range authorKeys {
		if v, ok := f[key]; ok {
			authors = append(authors, v)
		}
	}
	flags := map[string]bool{}
	for _, key := range messageFlags {
		if v, ok := f[key]; ok {
			flags[key] = r.bool(v.value, key)
		}
	}
	switch {
	case len(authors) == 0:
		if keys.unknown == 0 {
			r.fault(r.place(n), "the message has no author; write {customer: \"...\"}, agent or bot")
		}
		return
	case len(authors) > 1:
		a, b := authors[0], authors[1]
		if r.place(a.key).compare(r.place(b.key)) > 0 {
			a, b = b, a
		}
		r.fault(r.place(b.key), "a message has one author, and this is from %s already; write {%s: ...} as an entry of its own", resolve(a.key).Value, resolve(b.key).Value)
		return
	}
	author := transcript.Author(resolve(authors[0].key).Value)
	for _, key := range []string{"internal", "greeting"} {
		if flags[key] && author == transcript.Customer {
			r.fault(later(r.place(f[key].key), r.place(authors[0].key)), "%s cannot stand on a customer's message; remove it, or write agent in place of customer", key)
		}
	}
	m := transcript.Message{
		EventID:  fmt.Sprintf("t_%d", number),
		At:       time.Unix(int64(number), 0).UTC(),
		Author:   author,
		Internal: flags["internal"],
	}
	v := authors[0].value
	if v.Kind == yaml.MappingNode {
		m.Texts = r.content(v, author)
		if flags["markdown"] {
			r.fault(later(r.place(f["markdown"].key), r.place(authors[0].key)), "markdown is for written messages, not for a form or a button; remove it")
		}
	} else if s, ok := r.text(v, "the message"); ok {
		if s == "" {
			r.fault(r.place(v), "the message is empty; write a text, or remove it")
		}
		m.Texts = []transcript.Text{{Field: "text", Text: s, Markdown: flags["markdown"]}}
	}
	if len(m.Texts) > 0 && !flags["greeting"] && !flags["deleted"] {
		chat.Messages = append(chat.Messages, m)
	}
}

// content reads a filled form or a chosen button.
func (r *testReader) content(n *yaml.Node, author transcript.Author) []transcript.Text {
	if r.mistagged(n) {
		return nil
	}
	m := r.read(n, contentKeys, func(f field) string {
		if len(n.Content) == 2 && f.value.Kind == yaml.ScalarNode {
			return "; if this is text, put it in quotes: " + inQuotes(r.mappingText(n, f))
		}
		return "; write {form: {Question: answer}} or {button: \"...\"}"
	})
	form, isForm := m.fields["form"]
	button, isButton := m.fields["button"]
	switch {
	case isForm && isButton:
		r.fault(later(r.place(form.key), r.place(button.key)), "a message is a form or a button, not both; write them as two messages")
	case !isForm && !isButton:
		if m.unknown == 0 {
			r.fault(r.place(n), "the message is empty; write a text, {form: {Question: answer}} or {button: \"...\"}")
		}
	case author != transcript.Customer:
		key := "form"
		if isButton {
			key = "button"
		}
		r.fault(r.place(m.fields[key].key), "only customers fill in forms and choose buttons; write customer in place of %s", author)
	case isButton:
		if s, ok := r.label(button.value, "button"); ok {
			return []transcript.Text{{Field: "button", Text: s}}
		}
	default:
		return r.answers(form.value)
	}
	return nil
}

func (r *testReader) answers(n *yaml.Node) []transcript.Text {
	if !r.isMapping(n, "form", "{form: {Question: answer}}") {
		return nil
	}
	if len(n.Content) == 0 {
		r.fault(r.place(n), "form is empty; write {form: {Question: answer}}")
	}
	var texts []transcript.Text
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := resolve(n.Content[i])
		if key.Kind != yaml.ScalarNode || n.Content[i].Tag == "!!merge" {
			continue // reported with the structure
		}
		if s, ok := r.text(resolve(n.Content[i+1]), "the answer"); ok && strings.TrimSpace(s) != "" {
			texts = append(texts, transcript.Text{Field: "answer:" + key.Value, Text: s})
		}
	}
	return texts
}
