package rules

import (
	"slices"

	"autotag/pkg/transcript"
)

// Verdict is what came of a rule on a transcript.
type Verdict string

const (
	Matched            Verdict = "matched"       // its tag is given, or recorded where it is a shadow rule
	NotMatched         Verdict = "not_matched"   // its conditions do not hold
	StoppedSet         Verdict = "set"           // it matched, but an earlier rule of its set did too
	StoppedTagged      Verdict = "unless_tagged" // it matched, but the thread bears one of its unless_tagged
	NotInGroups        Verdict = "groups"        // the thread is in none of its groups
	SwitchedOff        Verdict = "off"
	FallbackSilenced   Verdict = "silenced"   // a fallback rule, and another rule matched
	FallbackIncomplete Verdict = "incomplete" // a fallback rule, and the transcript is incomplete
)

// Explanation says of each rule, in file order, what came of it and why.
type Explanation struct {
	Rules []RuleVerdict
}

// RuleVerdict is the verdict on one rule.
type RuleVerdict struct {
	Rule    *Rule
	Verdict Verdict
	By      string // the rule or tag that stands in the way, "" for none
	Near    bool   // it lacks exactly one thing
	Missing string // what that is
	Found   bool   // one of its positive terms is found
	// ButForGroups says that it would match in one of its groups, which the thread
	// is not in. Then Body says how.
	ButForGroups bool
	Body         *Finding // nil where the rule was not looked at, and of a fallback rule
	// Message is the message that Body is about, where the rule must hold
	// within one: the first that satisfies it, else the one that comes nearest.
	// Otherwise, and where no message comes near, it is -1.
	Message   int
	Satisfied int // messages that satisfy the whole rule, where it must hold within one
}

// Finding is what a term came to.
type Finding struct {
	Term     *Term
	Holds    bool
	Messages int // in how many it is found
	// Places are the finds of a term that is neither a group nor a list, one a
	// message; Outside those that the rule does not look at: of another author,
	// outside first or last, or in another message.
	Places, Outside []Place

	Any, All, None []*Finding // of a group
	Entries        []*Finding // of a list
}

// Place is a find in a transcript. Start and End count the code points of the
// text as the platform sent it.
type Place struct {
	Message, Text int // indexes
	Start, End    int
}

// Explain says what comes of each rule on a transcript, and why. It agrees with
// Match, and takes a time that grows with the rules.
func (s *Set) Explain(t *transcript.Transcript) Explanation {
	return s.ExplainSome(t, func(*Rule) bool { return true })
}

// ExplainSome is Explain for the rules that are wanted, in a time that grows with
// these.
func (s *Set) ExplainSome(t *transcript.Transcript, wanted func(*Rule) bool) Explanation {
	result := s.Match(t)
	matched := make(map[string]bool)
	for _, h := range slices.Concat(result.Tags, result.Shadow) {
		matched[h.Rule] = true
	}
	for _, k := range result.Skipped {
		matched[k.Rule] = true
	}
	search := newSearch(t, s.matcher().finds(t))
	verdicts := make([]RuleVerdict, len(s.Rules))
	silencedBy := ""
	for i, r := range s.Rules {
		v := &verdicts[i]
		*v = RuleVerdict{Rule: r, Verdict: NotMatched, Message: -1}
		switch {
		case r.Status == Off:
			v.Verdict = SwitchedOff
		case !inGroups(r, t):
			v.Verdict = NotInGroups
			if !r.Fallback && wanted(r) {
				_, v.ButForGroups = search.side(r).match(r)
			}
		case r.Fallback:
		case matched[r.Name]:
			v.Verdict = Matched
			if r.Status == Active && silencedBy == "" {
				silencedBy = r.Name
			}
		}
	}
	taken := make(map[string]string) // by set, the first active rule that matched
	for i, r := range s.Rules {
		v := &verdicts[i]
		if r.Fallback && v.Verdict == NotMatched {
			switch {
			case !t.Complete:
				v.Verdict = FallbackIncomplete
			case silencedBy != "":
				v.Verdict, v.By = FallbackSilenced, silencedBy
			default:
				v.Verdict = Matched
			}
		}
		if v.Verdict != Matched {
			continue
		}
		first, late := taken[r.Set]
		if r.Set != "" && r.Status == Active && !late {
			taken[r.Set] = r.Name
		}
		if late {
			v.Verdict, v.By = StoppedSet, first
		} else if n := slices.IndexFunc(r.UnlessTagged, func(tag string) bool { return slices.Contains(t.Tagged, tag) }); n >= 0 {
			v.Verdict, v.By = StoppedTagged, r.UnlessTagged[n]
		}
	}
	var e Explanation
	for i, r := range s.Rules {
		if v := &verdicts[i]; wanted(r) {
			if !r.Fallback && v.Verdict != SwitchedOff && (v.Verdict != NotInGroups || v.ButForGroups) {
				search.side(r).explain(v)
			}
			e.Rules = append(e.Rules, *v)
		}
	}
	return e
}

// finds gives the finds of all terms in all messages.
func (m *matcher) finds(t *transcript.Transcript) func(t *Term) []find {
	s := m.searches.Get().(*match)
	defer m.searches.Put(s)
	defer s.reset()
	s.findLeaves(t, true)
	known := make(map[termKey][]find, len(s.leaves))
	for _, f := range s.leaves {
		var finds []find
		for at := f.first; at >= 0; at = s.finds[at].next {
			finds = append(finds, s.finds[at].find)
		}
		known[keyOf(m.term(m.leafUp.of(f.leaf)[0]))] = finds
	}
	return func(t *Term) []find { return known[keyOf(t)] }
}

// explain fills in what the rule's own conditions come to.
func (s side) explain(v *RuleVerdict) {
	r := v.Rule
	v.Found = s.anyFound(&r.Body, wholeChat)
	if v.Verdict == NotMatched {
		if missing, near := s.nearMiss(r); near {
			v.Near, v.Missing = true, missing
		}
	}
	body, in := r.Body, wholeChat
	if r.Within == WithinMessage {
		body.Min = 1 // the rule counts the messages that satisfy it
		in, v.Satisfied = s.nearest(&body)
		if in != wholeChat {
			v.Message = int(in)
		}
	}
	v.Body = s.finding(&body, in, make(map[evaluation]*Finding))
}

// nearest gives the message that shows best what came of a rule that must hold
// within one, and how many satisfy it.
func (s side) nearest(body *Term) (best scope, satisfied int) {
	best = wholeChat
	most := -1
	for _, in := range s.candidates(body) {
		if s.eval(body, in).holds {
			if satisfied++; satisfied == 1 {
				best = in
			}
			continue
		}
		if satisfied > 0 {
			continue
		}
		holding := 0
		if _, near := s.nearly(body, in); near {
			holding = len(body.All) + len(body.None) + 2 // before all that are not near
		} else {
			for _, t := range body.All {
				if s.eval(t, in).holds {
					holding++
				}
			}
			if slices.ContainsFunc(body.Any, func(t *Term) bool { return s.eval(t, in).holds }) {
				holding++
			}
		}
		if holding > most {
			best, most = in, holding
		}
	}
	return best, satisfied
}

// finding says what a term comes to in a scope. A list that stands in many
// places has one finding, so that lists of lists take no more than their size.
func (s side) finding(t *Term, in scope, lists map[evaluation]*Finding) *Finding {
	key := evaluation{t, in}
	if f, ok := lists[key]; ok {
		return f
	}
	o := s.eval(t, in)
	f := &Finding{Term: t, Holds: o.holds, Messages: len(o.messages)}
	all := func(terms []*Term) []*Finding {
		var of []*Finding
		for _, t := range terms {
			of = append(of, s.finding(t, in, lists))
		}
		return of
	}
	switch t.Kind {
	case Group:
		f.Any, f.All, f.None = all(t.Any), all(t.All), all(t.None)
	case List:
		lists[key] = f
		f.Entries = all(t.Entries)
	default:
		found := s.found(t, in) // some of all, in the same order
		for _, at := range s.all(t) {
			p := Place{at.message, at.text, at.start, at.end}
			if len(found) > 0 && found[0] == at {
				found = found[1:]
				f.Places = append(f.Places, p)
			} else {
				f.Outside = append(f.Outside, p)
			}
		}
	}
	return f
}
