package rules

import (
	"fmt"
	"slices"
	"strings"
)

// validate checks what the parts of a file mean for each other.
func (r *reader) validate() {
	for _, l := range r.listOrder {
		r.circles(l, nil)
	}
	for _, s := range r.rules {
		for _, ref := range s.refs {
			r.use(r.lists[ref.text])
		}
	}
	for _, l := range r.listOrder {
		if !l.used && len(r.rules) > 0 {
			r.warn(l.at, "list %s is not used; write {list: %s} in a rule, or remove it", quote(l.name), inFlow(l.name))
		}
	}
	r.names()
	if r.cyclic {
		return
	}
	for _, l := range r.listOrder {
		l.state = unseen
	}
	for _, l := range r.listOrder {
		r.summarize(l)
		for _, e := range l.entries {
			r.mins(e, window{}, nil)
			r.branches(e)
			if wordless(e) {
				r.fault(e.at, "this entry holds in a chat without any of its words; add any: or all: to it")
			}
		}
	}
	for _, s := range r.rules {
		if s.rule.Fallback {
			continue
		}
		var withinMessage *place
		if s.rule.Within == WithinMessage {
			withinMessage = &s.withinAt
		}
		r.mins(&s.body, window{}, withinMessage)
		if !r.branches(&s.body) && len(s.body.any)+len(s.body.all) > 0 && wordless(&s.body) {
			r.fault(s.body.at, "this rule holds in a chat without any of its words; add a word that must be there (fallback: true is for chats that no other rule matches)")
		}
	}
}

// use marks a list and those it names.
func (r *reader) use(l *listSpec) {
	if l.used {
		return
	}
	l.used = true
	for _, ref := range l.refs {
		r.use(r.lists[ref.text])
	}
}

// States of a list while the lists are walked.
const (
	unseen = iota
	open
	done
)

// step is a reference from one list to another.
type step struct {
	from *listSpec
	ref  *spec
}

// circles reports lists that name each other in a circle. path holds the steps
// that led to l.
func (r *reader) circles(l *listSpec, path []step) {
	if l.state == done {
		return
	}
	if l.state == open {
		i := len(path) - 1
		at := path[i].ref.at
		for path[i].from != l {
			i--
			at = later(at, path[i].ref.at)
		}
		circle := []string{l.name}
		for _, s := range path[i:] {
			circle = append(circle, s.ref.text)
		}
		const most = 10
		if len(circle) > most {
			circle = append(append(circle[:most-2:most-2], "..."), l.name)
		}
		r.fault(at, "lists name each other in a circle: %s; remove this entry", strings.Join(circle, " -> "))
		r.cyclic = true
		return
	}
	l.state = open
	for _, ref := range l.refs {
		r.circles(r.lists[ref.text], append(path, step{l, ref}))
	}
	l.state = done
}

// names gives every rule its name and checks that no two are alike.
func (r *reader) names() {
	type owner struct {
		rule *ruleSpec
		at   place
	}
	var (
		tags     = make(map[string]*ruleSpec, len(r.rules)) // first rule of each tag
		unnamed  = make(map[string]int, len(r.rules))
		folded   = make(map[string]*ruleSpec, len(r.rules))
		owners   = make(map[string]owner, len(r.rules))
		clashing = map[*ruleSpec]bool{}
	)
	for _, s := range r.rules {
		if s.rule.Tag == "" {
			continue
		}
		lower := strings.ToLower(s.rule.Tag)
		if other := folded[lower]; other == nil {
			folded[lower] = s
		} else if other.rule.Tag != s.rule.Tag {
			r.warn(s.tagAt, "tag %s differs from %s in line %d only in case, and LiveChat takes them for two tags; write the one that LiveChat has in both rules", quote(s.rule.Tag), quote(other.rule.Tag), other.tagAt.line)
		}
		if tags[s.rule.Tag] == nil {
			tags[s.rule.Tag] = s
		}
	}
	clash := func(s *ruleSpec, at place, format string, args ...any) {
		if !clashing[s] {
			r.fault(at, format, args...)
		}
		clashing[s] = true
	}
	for _, s := range r.rules {
		at := s.nameAt
		switch {
		case s.given != "":
			s.rule.Name = s.given
			for _, other := range r.sharing(s, tags) {
				clash(s, later(at, other.tagAt), "the name %s of the rule in line %d is the tag of the rule in line %d; write another name", quote(s.given), s.rule.Line, other.rule.Line)
			}
		case s.rule.Tag != "":
			at = s.tagAt
			unnamed[s.rule.Tag]++
			s.rule.Name = s.rule.Tag
			if n := unnamed[s.rule.Tag]; n > 1 {
				s.rule.Name = fmt.Sprintf("%s#%d", s.rule.Tag, n)
			}
		default:
			continue
		}
		if first, taken := owners[s.rule.Name]; taken {
			if !clashing[first.rule] {
				clash(s, later(at, first.at), "two rules are named %s, the other one begins in line %d; write another name: for one of them", quote(s.rule.Name), first.rule.rule.Line)
			}
			continue
		}
		owners[s.rule.Name] = owner{s, at}
	}
}

// sharing gives a rule other than s whose tag is the name of s.
func (r *reader) sharing(s *ruleSpec, tags map[string]*ruleSpec) []*ruleSpec {
	first := tags[s.given]
	if first == nil {
		return nil
	}
	if first != s {
		return []*ruleSpec{first}
	}
	for _, other := range r.rules {
		if other != s && other.rule.Tag == s.given {
			return []*ruleSpec{other}
		}
	}
	return nil
}

// listSummary is what its references need to know of a list.
type listSummary struct {
	own      int  // terms that are written in it, nested ones too
	terms    int  // that it unfolds to
	depth    int  // of lists within lists
	openMin  int  // largest min of the terms without a first: or last: of their own
	maxMin   int  // largest min
	tooLarge bool // which was reported
}

// summarize fills in l.summary. Lists are known to be free of circles.
func (r *reader) summarize(l *listSpec) {
	if l.state == done {
		return
	}
	l.state = done
	var add func(s *spec, inWindow bool)
	add = func(s *spec, inWindow bool) {
		sum := &l.summary
		sum.own++
		sum.terms++
		inWindow = inWindow || s.size() > 0
		sum.maxMin = max(sum.maxMin, s.min)
		if !inWindow {
			sum.openMin = max(sum.openMin, s.min)
		}
		if s.kind == List {
			inner := r.lists[s.text]
			r.summarize(inner)
			sum.terms = min(sum.terms+inner.summary.terms, 1<<40)
			sum.depth = max(sum.depth, inner.summary.depth+1)
			sum.maxMin = max(sum.maxMin, inner.summary.maxMin)
			sum.tooLarge = sum.tooLarge || inner.summary.tooLarge
			if !inWindow {
				sum.openMin = max(sum.openMin, inner.summary.openMin)
			}
		}
		for _, list := range [][]*spec{s.any, s.all, s.none} {
			for _, t := range list {
				add(t, inWindow)
			}
		}
	}
	for _, e := range l.entries {
		add(e, false)
	}
	switch {
	case l.summary.tooLarge: // for a list within
	case l.summary.terms > maxTerms:
		l.summary.tooLarge, r.unfolds = true, true
		r.fault(l.at, "list %s unfolds to more than %d entries; name fewer lists in it", quote(l.name), maxTerms)
	case l.summary.depth > maxDepth:
		l.summary.tooLarge, r.unfolds = true, true
		r.fault(l.at, "list %s names lists within lists more than %d deep; write the entries themselves", quote(l.name), maxDepth)
	}
}

// mins checks every min: of a term against first:, last: and within: message.
// outer is the window that the term inherits, withinMessage the place where
// within: message is said, nil when it is not.
func (r *reader) mins(s *spec, outer window, withinMessage *place) {
	if s.size() > 0 {
		outer = s.window
	}
	if n := outer.size(); n > 0 && s.min > n {
		r.fault(later(s.minAt, outer.windowAt), "min: %d cannot be reached with %s; write min: %d or less, or look at more messages", s.min, outer, n)
	}
	if s.kind == List {
		sum := r.lists[s.text].summary
		if n := outer.size(); n > 0 && sum.openMin > n {
			r.fault(later(s.at, outer.windowAt), "list %s has an entry with min: %d, which cannot be reached with %s; look at more messages, or lower min there", quote(s.text), sum.openMin, outer)
		}
		if withinMessage != nil && sum.maxMin > 1 {
			r.fault(later(s.at, *withinMessage), "list %s has an entry with min: %d, which one message alone cannot reach (within: message); remove min there, or within here", quote(s.text), sum.maxMin)
		}
	}
	for _, list := range [][]*spec{s.any, s.all, s.none} {
		for _, t := range list {
			if withinMessage != nil && t.min > 1 {
				r.fault(later(t.minAt, *withinMessage), "min: %d on a term cannot be reached in one message (within: message); put min on the rule, or remove within", t.min)
			}
			r.mins(t, outer, withinMessage)
		}
	}
}

// wordless says whether a term holds in a chat without any of its words. Lists
// never do: their entries are held against the list.
func wordless(s *spec) bool {
	if s.kind != Group || len(s.any)+len(s.all)+len(s.none) == 0 {
		return false
	}
	if len(s.any) > 0 && !slices.ContainsFunc(s.any, wordless) {
		return false
	}
	for _, t := range s.all {
		if !wordless(t) {
			return false
		}
	}
	return !slices.ContainsFunc(s.none, wordless)
}

// branches reports branches of an any that hold without any of their words,
// and says whether there are some.
func (r *reader) branches(s *spec) bool {
	found := false
	for _, t := range s.any {
		if wordless(t) {
			found = true
			r.fault(t.at, "this entry of any holds in a chat without any of its words; put none: beside any:, or add a word that must be there")
			continue
		}
		found = r.branches(t) || found
	}
	for _, t := range s.all {
		found = r.branches(t) || found
	}
	for _, t := range s.none {
		found = r.branches(t) || found
	}
	return found
}
