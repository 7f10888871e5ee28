package rules

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"

	yaml "go.yaml.in/yaml/v3"
)

// Keys of the language, in the order in which they are listed to people.
var (
	fileKeys     = []string{"version", "defaults", "lists", "rules"}
	defaultsKeys = []string{"from", "within", "case", "accents", "status"}
	ruleKeys     = []string{"tag", "name", "any", "all", "none", "from", "within", "status", "set", "groups", "unless_tagged",
		"internal", "fallback", "case", "accents", "min", "first", "last"}
	kindKeys   = []string{"word", "contains", "regex", "canned", "list"}
	groupKeys  = []string{"any", "all", "none"}
	optionKeys = []string{"case", "accents", "min", "first", "last"}
	termKeys   = slices.Concat(kindKeys, groupKeys, optionKeys)

	// fallbackKeys is what a fallback rule may carry: nothing about text.
	fallbackKeys = []string{"tag", "name", "fallback", "groups", "unless_tagged", "status", "set"}

	kinds = map[string]Kind{"word": Word, "contains": Contains, "regex": Regex, "canned": Canned, "list": List}

	fromValues   = []string{string(FromCustomer), string(FromAgent), string(FromBot), string(FromAnyone)}
	withinValues = []string{string(WithinMessage), string(WithinChat)}
	statusValues = []string{string(Active), string(Shadow), string(Off)}
	foldValues   = []string{"exact", "folded"}
)

// maxTerms bounds what lists may unfold to, since a list may be used in many
// places, each with other options, and lists may name lists.
const maxTerms = 1_000_000

// Parse reads a rules file strictly. file is the name that problems carry. The
// set is nil when any problem is a fault; warnings alone leave it usable.
func Parse(file string, data []byte) (*Set, Problems) {
	r := &reader{
		document: load(file, data, "version: 1 and rules:"),
		lists:    map[string]*listSpec{},
		regexes:  map[string]regexCheck{},
		repeated: map[place]bool{},
		defaults: defaults{from: FromAnyone, within: WithinChat, status: Active},
	}
	if r.root == nil {
		return nil, r.problems()
	}
	r.file(r.root)
	r.validate()
	if r.cyclic || r.unfolds {
		return nil, r.problems()
	}
	sum := sha256.Sum256(data)
	set := r.build(hex.EncodeToString(sum[:]))
	if set != nil {
		r.advise(set)
	}
	if r.failed() {
		set = nil
	}
	return set, r.problems()
}

// reader holds what is known of a rules file while it is read.
type reader struct {
	*document
	defaults  defaults
	lists     map[string]*listSpec
	listOrder []*listSpec
	listNames []string // of listOrder
	rules     []*ruleSpec
	cyclic    bool // lists refer to each other in a circle
	unfolds   bool // a list unfolds to too much
	regexes   map[string]regexCheck

	regexSteps int            // the size of all regexes
	repeated   map[place]bool // terms that were reported as being there twice
}

type defaults struct {
	from                  From
	within                Within
	status                Status
	withinAt              place
	caseFold, accentsFold foldOption
}

type listSpec struct {
	name    string
	at      place // of its key
	entries []*spec
	refs    []*spec // its terms of kind List, nested ones too
	used    bool
	state   int // of the search for circles and of the summary
	summary listSummary
}

type ruleSpec struct {
	rule     Rule
	given    string // name
	nameAt   place
	tagAt    place
	withinAt place
	body     spec
	refs     []*spec
	atFault  bool // apart from its terms
}

func (r *reader) file(n *yaml.Node) {
	if !r.isMapping(n, "a rules file", "version: 1 and rules:") {
		return
	}
	m := r.read(n, fileKeys, oneOf("a rules file", fileKeys))
	f := m.fields
	first := r.first(n)
	if m.lacks("version") {
		r.fault(first, "the key version is missing; write version: 1")
	}
	if v, ok := f["version"]; ok {
		if s, ok := r.scalar(v.value, "version", "1", ""); ok && s != "1" {
			r.fault(r.place(v.value), "version cannot be %s; write version: 1", quote(s))
		}
	}
	if v, ok := f["defaults"]; ok && r.isMapping(v.value, "defaults", "defaults: {from: customer}") {
		r.readDefaults(v.value)
	}
	if v, ok := f["lists"]; ok && r.isMapping(v.value, "lists", "lists: {carriers: [dhl, ups]}") {
		r.readLists(v.value)
	}
	switch v, ok := f["rules"]; {
	case m.lacks("rules"):
		r.fault(first, "the key rules is missing; write rules: and a list of rules")
	case ok && v.value.Kind == yaml.SequenceNode && len(v.value.Content) == 0:
		r.warn(r.place(v.value), "there are no rules, so no chat is ever tagged; write one below, such as - {tag: refund, any: [refund]}")
	case ok:
		for _, item := range r.items(v.value, "rules", "{tag: refund, any: [refund]}") {
			r.rule(resolve(item))
		}
	}
}

func (r *reader) readDefaults(n *yaml.Node) {
	f := r.read(n, defaultsKeys, oneOf("defaults", defaultsKeys)).fields
	r.readChoices(f, &r.defaults.from, &r.defaults.within, &r.defaults.status)
	if v, ok := f["within"]; ok {
		r.defaults.withinAt = r.place(v.key)
	}
	r.defaults.caseFold, r.defaults.accentsFold = r.folds(f)
}

// readChoices reads what rules and defaults have in common.
func (r *reader) readChoices(f map[string]field, from *From, within *Within, status *Status) {
	if v, ok := f["from"]; ok {
		if s, ok := r.choice(v.value, "from", fromValues); ok {
			*from = From(s)
		}
	}
	if v, ok := f["within"]; ok {
		if s, ok := r.choice(v.value, "within", withinValues); ok {
			*within = Within(s)
		}
	}
	if v, ok := f["status"]; ok {
		if s, ok := r.choice(v.value, "status", statusValues); ok {
			*status = Status(s)
		}
	}
}

func (r *reader) folds(f map[string]field) (caseFold, accentsFold foldOption) {
	read := func(key string) foldOption {
		v, ok := f[key]
		if !ok {
			return inherited
		}
		switch s, _ := r.choice(v.value, key, foldValues); s {
		case "exact":
			return exact
		case "folded":
			return folded
		}
		return inherited
	}
	return read("case"), read("accents")
}

func (r *reader) readLists(n *yaml.Node) {
	// All names first: an entry may name a list further down.
	var values []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := resolve(n.Content[i])
		if key.Kind != yaml.ScalarNode || n.Content[i].Tag == "!!merge" || r.lists[key.Value] != nil {
			continue
		}
		if name, ok := r.label(key, "the name of a list"); ok {
			l := &listSpec{name: name, at: r.place(n.Content[i])}
			r.lists[name] = l
			r.listOrder = append(r.listOrder, l)
			r.listNames = append(r.listNames, name)
			values = append(values, resolve(n.Content[i+1]))
		}
	}
	for i, l := range r.listOrder {
		l.entries = r.terms(values[i], l.name, &l.refs)
	}
}

func (r *reader) rule(n *yaml.Node) {
	if !r.isMapping(n, "a rule", "{tag: refund, any: [refund]}") {
		return
	}
	first, faults := r.first(n), r.faults
	m := r.read(n, ruleKeys, func(f field) string {
		if key := resolve(f.key).Value; slices.Contains(kindKeys, key) {
			return fmt.Sprintf(" in a rule; put it into a list: any: [{%s: ...}]", key)
		}
		return oneOf("a rule", ruleKeys)(f)
	})
	f := m.fields
	s := &ruleSpec{tagAt: first, nameAt: first}
	s.rule = Rule{From: r.defaults.from, Within: r.defaults.within, Status: r.defaults.status, Line: first.line, Column: first.col}
	if m.lacks("tag") {
		r.fault(first, "the rule has no tag; write tag: and the LiveChat tag to set")
	}
	if v, ok := f["tag"]; ok {
		s.tagAt = r.place(v.value)
		s.rule.Tag, _ = r.label(v.value, "tag")
	}
	if v, ok := f["name"]; ok {
		s.nameAt = r.place(v.value)
		s.given, _ = r.label(v.value, "name")
	}
	if v, ok := f["set"]; ok {
		s.rule.Set, _ = r.label(v.value, "set")
	}
	r.readChoices(f, &s.rule.From, &s.rule.Within, &s.rule.Status)
	s.withinAt = r.defaults.withinAt
	if v, ok := f["within"]; ok {
		s.withinAt = r.place(v.key)
	}
	if v, ok := f["internal"]; ok {
		s.rule.Internal = r.bool(v.value, "internal")
	}
	if v, ok := f["groups"]; ok {
		for _, item := range r.items(v.value, "groups", "0, 7") {
			if g, ok := r.number(resolve(item), "a group id", 0); ok {
				s.rule.Groups = append(s.rule.Groups, g)
			}
		}
	}
	if v, ok := f["unless_tagged"]; ok {
		s.rule.UnlessTagged = r.labels(v.value, "unless_tagged", "a tag")
	}
	s.body = spec{kind: Group, at: first}
	r.options(f, &s.body)
	s.atFault = r.faults > faults
	r.groupLists(f, &s.body, &s.refs)

	if v, ok := f["fallback"]; ok {
		s.rule.Fallback = r.bool(v.value, "fallback")
	}
	switch {
	case s.rule.Fallback:
		for _, key := range ruleKeys {
			if v, ok := f[key]; ok && !slices.Contains(fallbackKeys, key) {
				r.fault(later(r.place(v.key), r.place(f["fallback"].key)),
					"a fallback rule applies when no other does, so it cannot have %s; remove it, or remove fallback", key)
			}
		}
	case m.lacks("any") && m.lacks("all"):
		hint := "write any: and a list of words"
		if _, ok := f["none"]; ok {
			hint = "besides none: " + hint + ", or fallback: true in place of none"
		}
		r.fault(first, "the rule does not say what to look for; %s", hint)
	}
	r.rules = append(r.rules, s)
}
