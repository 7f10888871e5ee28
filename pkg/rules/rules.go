// Package rules is the rules language of configs/rules.yaml: it reads a rules
// file strictly, with every fault at its place, and says which tags the rules
// ask for on a transcript, with evidence and near misses.
//
// It has no clock, no logger and no network.
package rules

import (
	"sync"

	"autotag/pkg/transcript"
)

// Status of a rule.
type Status string

const (
	Active Status = "active"
	Shadow Status = "shadow" // decided and recorded, never applied
	Off    Status = "off"
)

// From is the author side that a rule looks at.
type From string

const (
	FromAnyone   From = "anyone"
	FromCustomer From = "customer"
	FromAgent    From = "agent"
	FromBot      From = "bot"
)

// Within is the reach in which a rule's lists must hold together.
type Within string

const (
	WithinChat    Within = "chat"
	WithinMessage Within = "message"
)

// Set is a valid rules file. It is immutable and may be used by many
// goroutines.
type Set struct {
	Version string // hex SHA-256 of the file's bytes
	Rules   []*Rule
	Lists   map[string][]*Term

	compileOnce sync.Once // for MatchReference
	compiled    map[*Term]*compiledTerm

	matcherOnce     sync.Once // for Match
	compiledMatcher *matcher
}

// Rule is one entry of the file with the defaults filled in. A rule is itself
// a group: Any, All and None.
type Rule struct {
	Name         string // given, or the tag, or tag#2, tag#3, ...
	Tag          string
	Status       Status
	From         From
	Within       Within
	Internal     bool // messages that only agents see are searched too
	Fallback     bool
	Set          string // "" when in none
	Groups       []int  // nil: threads of any group
	UnlessTagged []string
	Body         Term // Kind Group; nil lists ask nothing; Min as on the rule
	Line, Column int  // of the rule's first key, from 1
}

// Kind of a term.
type Kind int

const (
	Literal  Kind = iota // a plain string: whole words; `*` at a word's end is a wildcard
	Word                 // {word: ...}: a literal without wildcard
	Contains             // {contains: ...}
	Regex                // {regex: ...}
	Canned               // {canned: ...}
	List                 // {list: name}
	Group                // {any: ..., all: ..., none: ...}
)

// Term is one condition on text. Options hold their effective values: what the
// rule, group or file gave as default is already filled in.
type Term struct {
	Kind           Kind
	Text           string  // the literal, pattern, canned text or list name as written
	Any, All, None []*Term // Group
	Entries        []*Term // List: the list's entries with this term's options
	CaseExact      bool
	AccentsExact   bool
	Min            int // 1 when not given
	First, Last    int // 0 when not given
	Line, Column   int
}

// Evidence is one find of a term. Start and End are offsets in code points
// into the field as the platform sent it; the customer's text is never in it.
type Evidence struct {
	EventID string            `json:"event_id"`
	Author  transcript.Author `json:"author"`
	Field   string            `json:"field"`
	Term    string            `json:"term"` // as the rule names it; a list's entry is "list: entry"
	Start   int               `json:"start"`
	End     int               `json:"end"`
}

// Hit is a tag that a rule asks for.
type Hit struct {
	Tag      string     `json:"tag"`
	Rule     string     `json:"rule"`
	Evidence []Evidence `json:"evidence"` // of each term the earliest find, at most 5; never nil
	More     int        `json:"more,omitempty"`
}

// NearMiss is a rule with a positive term found that fails by exactly one
// thing: one entry of an all list, min by one, or one veto.
type NearMiss struct {
	Tag     string `json:"tag"`
	Rule    string `json:"rule"`
	Missing string `json:"missing"` // what is missing or in the way, in the rule's own words
}

// Why a tag that a rule asked for is not applied.
const (
	WhySet           = "set"            // an earlier rule of its set matched
	WhyUnlessTagged  = "unless_tagged"  // the thread bears one of the rule's unless_tagged
	WhyPersonSet     = "person_set"     // a person set the tag (decided by the tagger)
	WhyPersonRemoved = "person_removed" // a person removed the tag (decided by the tagger)
)

// Skip is a tag that a matching rule asked for and that is not applied.
type Skip struct {
	Tag  string `json:"tag"`
	Rule string `json:"rule,omitempty"`
	Why  string `json:"why"`
}

// Result is what a set of rules says about one transcript. The slices are in
// file order and never nil.
type Result struct {
	Tags       []Hit      `json:"tags"`
	Shadow     []Hit      `json:"shadow"`
	NearMisses []NearMiss `json:"near_misses"` // at most 20
	Skipped    []Skip     `json:"skipped"`
}

// TagSet gives the distinct tags of r.Tags, sorted.
func (r Result) TagSet() []string { return tagSet(r.Tags) }

// UsesGroups says whether any rule that is not off asks for groups.
func (s *Set) UsesGroups() bool {
	for _, r := range s.Rules {
		if r.Status != Off && r.Groups != nil {
			return true
		}
	}
	return false
}

// UnlessTags gives every tag that an unless_tagged of a rule that is not off
// names.
func (s *Set) UnlessTags() map[string]bool {
	tags := map[string]bool{}
	for _, r := range s.Rules {
		if r.Status == Off {
			continue
		}
		for _, t := range r.UnlessTagged {
			tags[t] = true
		}
	}
	return tags
}
