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
	Name         string // "test 3" for the third one when none is given; the message of a one-line test
	Line, Column int    // of the case's first key, from 1
	Chat         *transcript.Transcript
	Tags         []string // sorted; exactly these; nil: not asked, NotTags are
	Wants        []Want   // what Tags ask for beside the tag, in the order of the file
	NotTags      []string // sorted; none of these
	Shadow       []string // sorted; exactly these; nil: not asked
}

// Want is what a case asks of a tag beside that the rules give it.
type Want struct {
	Tag      string
	Rule     string   // the name of the rule that gives it; "": any
	Evidence []string // pieces of the chat, as written, that the evidence of one rule names
}

// A Difference is a tag that the rules do not give as a case expects. Its text
// is the tag, "refund (shadow)", "refund (rule money-back)" or
// "refund (evidence \"my money\")".
type Difference struct {
	Tag      string
	Shadow   bool
	Rule     string // that does not give the tag, or gives it in place of another
	Evidence string // a piece of the chat that no evidence of the tag names
}

func (d Difference) String() string {
	switch {
	case d.Shadow:
		return d.Tag + " (shadow)"
	case d.Evidence != "":
		return fmt.Sprintf("%s (evidence %q)", d.Tag, d.Evidence)
	case d.Rule != "":
		return fmt.Sprintf("%s (rule %s)", d.Tag, d.Rule)
	}
	return d.Tag
}

// MarshalText gives the text of the difference.
func (d Difference) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// Run says which expected tags the rules do not give and which unexpected ones
// they do, sorted by tag; neither is nil.
func (c Case) Run(set *Set) (missing, extra []Difference) { return c.Compare(set.Match(c.Chat)) }

// Compare is Run for what the rules have said.
func (c Case) Compare(r Result) (missing, extra []Difference) {
	missing, extra = []Difference{}, []Difference{}
	compare := func(want, got []string, shadow bool) {
		for _, tag := range onlyIn(want, got) {
			missing = append(missing, Difference{Tag: tag, Shadow: shadow})
		}
		for _, tag := range onlyIn(got, want) {
			extra = append(extra, Difference{Tag: tag, Shadow: shadow})
		}
	}
	given := tagSet(r.Tags)
	if c.Tags != nil {
		compare(c.Tags, given, false)
	}
	for _, tag := range c.NotTags {
		if d := (Difference{Tag: tag}); slices.Contains(given, tag) && !slices.Contains(extra, d) {
			extra = append(extra, d)
		}
	}
	for _, w := range c.Wants {
		if slices.Contains(given, w.Tag) {
			m, e := w.compare(r, c.Chat)
			missing, extra = append(missing, m...), append(extra, e...)
		}
	}
	if c.Shadow != nil {
		compare(c.Shadow, tagSet(r.Shadow), true)
	}
	return missing, extra
}

// compare says what the rules that give the tag lack. Of several rules that do,
// one with everything is enough.
func (w Want) compare(r Result, chat *transcript.Transcript) (missing, extra []Difference) {
	var hits []Hit
	for _, h := range r.Tags {
		if h.Tag == w.Tag && (w.Rule == "" || h.Rule == w.Rule) {
			hits = append(hits, h)
		}
	}
	if len(hits) == 0 {
		missing = append(missing, Difference{Tag: w.Tag, Rule: w.Rule})
		for _, h := range r.Tags {
			if h.Tag == w.Tag {
				extra = append(extra, Difference{Tag: w.Tag, Rule: h.Rule})
			}
		}
		return missing, extra
	}
	var least []string
	for i, h := range hits {
		var found []string
		for _, e := range h.Evidence {
			found = append(found, wording(chat, e))
		}
		if lacks := onlyIn(w.Evidence, found); i == 0 || len(lacks) < len(least) {
			least = lacks
		}
	}
	for _, text := range least {
		missing = append(missing, Difference{Tag: w.Tag, Rule: w.Rule, Evidence: text})
	}
	return missing, extra
}

// wording gives the part of the chat that a piece of evidence names.
func wording(chat *transcript.Transcript, e Evidence) string {
	for _, m := range chat.Messages {
		for _, t := range m.Texts {
			if m.EventID == e.EventID && t.Field == e.Field {
				return string([]rune(t.Text)[e.Start:e.End])
			}
		}
	}
	return ""
}

// onlyIn gives what is in all and not in some.
func onlyIn(all, some []string) (left []string) {
	for _, s := range all {
		if !slices.Contains(some, s) {
			left = append(left, s)
		}
	}
	return left
}

var (
	testFileKeys = []string{"tests"}
	caseKeys     = []string{"name", "chat", "groups", "tagged", "tags", "not_tags", "shadow"}
	wantKeys     = []string{"tag", "rule", "evidence"}
	authorKeys   = []string{string(transcript.Customer), string(transcript.Agent), string(transcript.Bot)}
	messageFlags = []string{"internal", "markdown", "greeting", "deleted"}
	messageKeys  = slices.Concat(authorKeys, messageFlags, []string{"edited", "at"})
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
	rules map[string]*Rule // by name
	names []string         // of rules, in the order of the file
	ruled tagNames         // the tags that rules set
	asked tagNames         // those and the ones that unless_tagged names
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
	r.rules = map[string]*Rule{}
	for _, rule := range set.Rules {
		r.rules[rule.Name] = rule
		r.names = append(r.names, rule.Name)
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
	c := Case{
		Name: fmt.Sprintf("test %d", number),
		Line: first.line, Column: first.col,
		Chat: &transcript.Transcript{Groups: []int{0}, Complete: true},
		Tags: []string{},
	}
	if r.isOneLine(n) {
		r.oneLine(n, &c)
		return
	}
	m := r.read(n, caseKeys, oneOf("a test", caseKeys))
	f := m.fields
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
		at := time.Unix(0, 0).UTC()
		for i, item := range r.list(v.value, "chat", "{customer: refund}") {
			at = r.message(resolve(item), i+1, at, c.Chat)
		}
		slices.SortStableFunc(c.Chat.Messages, func(a, b transcript.Message) int { return a.At.Compare(b.At) })
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
	notTags, hasNot := f["not_tags"]
	if m.lacks("tags") && m.lacks("not_tags") {
		r.fault(first, "the test does not say which tags to expect; write tags: and a list of tags, or tags: [] for none")
	}
	if v, ok := f["tags"]; ok {
		r.wants(v.value, &c)
	} else if hasNot {
		c.Tags = nil
	}
	if hasNot {
		c.NotTags = r.tags(notTags.value, "not_tags", func(at place, tag string) {
			r.known(at, tag)
			if slices.Contains(c.Tags, tag) {
				r.fault(later(at, r.place(f["tags"].key)), "the tag %s is both in tags and in not_tags; remove one of them", quote(tag))
			}
		})
	}
	if v, ok := f["shadow"]; ok {
		c.Shadow = r.tags(v.value, "shadow", r.known)
	}
	r.tests.Cases = append(r.tests.Cases, c)
}

// known reports a tag that no rule has.
func (r *testReader) known(at place, tag string) {
	if r.ruled.seen[tag] {
		return
	}
	hint := "; no rule has any tag"
	if len(r.ruled.all) > 0 {
		hint = "; the tags are " + knownNames(r.ruled.all)
	}
	r.fault(at, "no rule has the tag %s%s", quote(tag), r.didYouMean(tag, r.ruled.all, hint))
}

// isOneLine says whether a test is a message of a customer with its tags:
// - "where is my parcel": [late-delivery]. A key that is nearly one of a longer
// test is a slip, unless it stands alone and in quotes, as messages do.
func (r *testReader) isOneLine(n *yaml.Node) bool {
	if len(n.Content) < 2 {
		return false
	}
	alone := len(n.Content) == 2
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := resolve(n.Content[i]), resolve(n.Content[i+1])
		quoted := key.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0
		if key.Kind != yaml.ScalarNode || n.Content[i].Tag == "!!merge" || value.Kind != yaml.SequenceNode && !alone ||
			slices.Contains(caseKeys, key.Value) || !(alone && quoted) && r.nearest(key.Value, caseKeys) != "" {
			return false
		}
	}
	return true
}

func (r *testReader) oneLine(n *yaml.Node, c *Case) {
	if len(n.Content) > 2 {
		r.fault(r.place(n.Content[2]), `a test in one line is an entry of its own; begin each with "- "`)
		return
	}
	text, ok := r.text(resolve(n.Content[0]), "the message")
	if ok && text == "" {
		r.fault(r.place(n.Content[0]), "the message is empty; write a text, or remove it")
	}
	tags := resolve(n.Content[1])
	if tags.Kind != yaml.SequenceNode {
		example := "refund"
		if tags.Kind == yaml.ScalarNode && tags.Value != "" {
			example = inFlow(tags.Value)
		}
		r.fault(r.place(n.Content[1]), "after a message comes the list of its tags, not %s; write [%s], or [] for none", kindName(tags), example)
		return
	}
	c.Name = text
	c.Chat.Messages = []transcript.Message{{
		EventID: "t_1", At: time.Unix(1, 0).UTC(), Author: transcript.Customer, Texts: []transcript.Text{{Field: "text", Text: text}},
	}}
	r.wants(tags, c)
	r.tests.Cases = append(r.tests.Cases, *c)
}

// wants reads the tags to expect, each with what else is asked of it.
func (r *testReader) wants(n *yaml.Node, c *Case) {
	c.Tags = []string{}
	for _, item := range r.list(n, "tags", "refund") {
		item = resolve(item)
		w := Want{}
		if item.Kind == yaml.MappingNode {
			if w = r.want(item); w.Tag == "" {
				continue
			}
			c.Wants = append(c.Wants, w)
		} else if tag, ok := r.label(item, "a tag"); ok {
			r.known(r.place(item), tag)
			w.Tag = tag
		} else {
			continue
		}
		c.Tags = append(c.Tags, w.Tag)
	}
	slices.Sort(c.Tags)
	c.Tags = slices.Compact(c.Tags)
}

// want reads {tag: refund, rule: money-back, evidence: ["my money"]}; its tag is
// "" when it is at fault.
func (r *testReader) want(n *yaml.Node) (w Want) {
	if r.mistagged(n) {
		return w
	}
	m := r.read(n, wantKeys, oneOf("an entry of tags", wantKeys))
	f := m.fields
	if m.lacks("tag") {
		r.fault(r.place(n), "this entry does not say which tag to expect; write {tag: refund, rule: ...}")
	}
	if v, ok := f["tag"]; ok {
		if tag, ok := r.label(v.value, "a tag"); ok {
			r.known(r.place(v.value), tag)
			w.Tag = tag
		}
	}
	if v, ok := f["rule"]; ok {
		if name, ok := r.label(v.value, "rule"); ok {
			switch rule := r.rules[name]; {
			case rule == nil:
				hint := "; there are no rules"
				if len(r.names) > 0 {
					hint = "; the rules are " + knownNames(r.names)
				}
				r.fault(r.place(v.value), "no rule is named %s%s", quote(name), r.didYouMean(name, r.names, hint))
			case rule.Tag != w.Tag && w.Tag != "":
				r.fault(r.place(v.value), "the rule %s gives the tag %s, not %s; write its tag, or another rule", quote(name), quote(rule.Tag), quote(w.Tag))
			}
			w.Rule = name
		}
	}
	if v, ok := f["evidence"]; ok {
		for _, item := range r.items(v.value, "evidence", "my money") {
			if text, ok := r.text(resolve(item), "a piece of evidence"); ok {
				if text == "" {
					r.fault(r.place(resolve(item)), "this piece of evidence is empty; write words of the chat as they stand there")
				}
				w.Evidence = append(w.Evidence, text)
			}
		}
	}
	return w
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
// leaves one. It comes a second after the message before, unless it says when;
// the result is when it came.
func (r *testReader) message(n *yaml.Node, number int, before time.Time, chat *transcript.Transcript) (at time.Time) {
	at = before.Add(time.Second)
	if !r.isMapping(n, "a message", "{customer: "+inQuotes(n.Value)+"}") {
		return at
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
	if v, ok := f["at"]; ok {
		if text, ok := r.text(v.value, "at"); ok {
			d, err := time.ParseDuration(text)
			if err != nil || d < 0 {
				r.fault(r.place(v.value), "at cannot be %s; write the time since the chat began, such as 90s, 5m or 2h", quote(text))
			}
			at = time.Unix(0, 0).UTC().Add(max(0, d))
		}
	}
	switch {
	case len(authors) == 0:
		if keys.unknown == 0 {
			r.fault(r.place(n), "the message has no author; write {customer: \"...\"}, agent or bot")
		}
		return at
	case len(authors) > 1:
		a, b := authors[0], authors[1]
		if r.place(a.key).compare(r.place(b.key)) > 0 {
			a, b = b, a
		}
		r.fault(r.place(b.key), "a message has one author, and this is from %s already; write {%s: ...} as an entry of its own", resolve(a.key).Value, resolve(b.key).Value)
		return at
	}
	author := transcript.Author(resolve(authors[0].key).Value)
	for _, key := range []string{"internal", "greeting"} {
		if flags[key] && author == transcript.Customer {
			r.fault(later(r.place(f[key].key), r.place(authors[0].key)), "%s cannot stand on a customer's message; remove it, or write agent in place of customer", key)
		}
	}
	m := transcript.Message{
		EventID:  fmt.Sprintf("t_%d", number),
		At:       at,
		Author:   author,
		Internal: flags["internal"],
	}
	v := authors[0].value
	if v.Kind == yaml.MappingNode {
		m.Texts = r.content(v, author)
		if e, ok := f["edited"]; ok {
			r.fault(later(r.place(e.key), r.place(authors[0].key)), "edited is for written messages, not for a form or a button; remove it")
		}
		if flags["markdown"] {
			r.fault(later(r.place(f["markdown"].key), r.place(authors[0].key)), "markdown is for written messages, not for a form or a button; remove it")
		}
	} else if s, ok := r.text(v, "the message"); ok {
		if s == "" {
			r.fault(r.place(v), "the message is empty; write a text, or remove it")
		}
		if e, ok := f["edited"]; ok {
			s = r.edited(e.value)
		}
		m.Texts = []transcript.Text{{Field: "text", Text: s, Markdown: flags["markdown"]}}
	}
	if len(m.Texts) > 0 && !flags["greeting"] && !flags["deleted"] {
		chat.Messages = append(chat.Messages, m)
	}
	return at
}

// edited gives what a message was edited to, a text or several one after the
// other: the last one counts.
func (r *testReader) edited(n *yaml.Node) (last string) {
	versions := []*yaml.Node{n}
	if n.Kind == yaml.SequenceNode {
		versions = r.items(n, "edited", "the new text")
	}
	for _, v := range versions {
		v = resolve(v)
		if s, ok := r.text(v, "the edited message"); ok {
			if s == "" {
				r.fault(r.place(v), "the edited message is empty; write a text, or deleted: true on the message")
			}
			last = s
		}
	}
	return last
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
