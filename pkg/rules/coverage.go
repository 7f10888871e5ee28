package rules

import (
	"cmp"
	"slices"
)

// Coverage says how much of a rules file its tests look at.
type Coverage struct {
	Rules  Share          `json:"rules"` // that matched, those too that a set or unless_tagged stopped
	Terms  Share          `json:"terms"` // that were found where they count
	ByRule []RuleCoverage `json:"by_rule"`
	ByList []ListCoverage `json:"by_list"`
}

// Share is a part of a whole.
type Share struct {
	Covered int `json:"covered"`
	Total   int `json:"total"`
}

// Percent is the part in percent, 100 of nothing.
func (s Share) Percent() float64 {
	if s.Total == 0 {
		return 100
	}
	return 100 * float64(s.Covered) / float64(s.Total)
}

// RuleCoverage is what tests saw of one rule that is not off. Entries of lists
// are not counted here.
type RuleCoverage struct {
	Rule    string `json:"rule"`
	Line    int    `json:"line"`
	Matched bool   `json:"matched"`
	Share
	Uncovered []TermPlace `json:"uncovered"` // in the order of the file
}

// ListCoverage is what tests saw of one list that a rule uses.
type ListCoverage struct {
	List string `json:"list"`
	Share
	Uncovered []TermPlace `json:"uncovered"`
}

// TermPlace is a term where it is written.
type TermPlace struct {
	Rule   string `json:"rule,omitempty"` // the first that has it; "" for an entry of a list
	List   string `json:"list,omitempty"`
	Term   string `json:"term"` // as written
	Line   int    `json:"line"`
	Column int    `json:"column"`
}

// Coverage says what the cases look at. A term counts once for its place in the
// file, however many rules come to it by a list or an anchor. It is covered when
// it is found in a message that its rule looks at, within its first or last; a
// veto too. A rule is covered when it matched. Only cases count that ask what
// comes of the rule.
func (s *Set) Coverage(cases []Case) Coverage {
	m := s.matcher()
	search := newMatch(m)
	byName := make(map[string]int, len(s.Rules))
	for i, r := range s.Rules {
		byName[r.Name] = i
	}
	matched := make([]bool, len(s.Rules))
	found := map[place]bool{}
	asking := make([]uint8, len(m.nodes)) // the sides of the rules that come to a node and of which a case asks, as bits
	for _, c := range cases {
		search.findLeaves(c.Chat, false)
		result := search.result()
		note := func(name string) {
			i := byName[name]
			matched[i] = matched[i] || c.asks(s.Rules[i])
		}
		for _, h := range slices.Concat(result.Tags, result.Shadow) {
			note(h.Rule)
		}
		for _, k := range result.Skipped {
			note(k.Rule)
		}
		clear(asking)
		for i, r := range s.Rules {
			if r.Status != Off && !r.Fallback && inGroups(r, c.Chat) && c.asks(r) {
				asking[m.ruleRoot[i]] |= 1 << m.ruleSide[i]
			}
		}
		search.cover(asking, found)
		search.reset()
	}

	c := Coverage{ByRule: []RuleCoverage{}, ByList: []ListCoverage{}}
	rules, lists := map[string]int{}, map[string]int{}
	for i, r := range s.Rules {
		if r.Status == Off {
			continue
		}
		rules[r.Name] = len(c.ByRule)
		c.ByRule = append(c.ByRule, RuleCoverage{Rule: r.Name, Line: r.Line, Matched: matched[i], Uncovered: []TermPlace{}})
		c.Rules.add(matched[i])
	}
	for _, p := range s.places() {
		isFound := found[place{p.Line, p.Column}]
		c.Terms.add(isFound)
		var share *Share
		var uncovered *[]TermPlace
		if p.List == "" {
			of := &c.ByRule[rules[p.Rule]]
			share, uncovered = &of.Share, &of.Uncovered
		} else {
			if _, ok := lists[p.List]; !ok {
				lists[p.List] = len(c.ByList)
				c.ByList = append(c.ByList, ListCoverage{List: p.List, Uncovered: []TermPlace{}})
			}
			of := &c.ByList[lists[p.List]]
			share, uncovered = &of.Share, &of.Uncovered
		}
		share.add(isFound)
		if !isFound {
			*uncovered = append(*uncovered, p)
		}
	}
	return c
}

// cover notes the places of the terms that are found where they count.
func (s *match) cover(asking []uint8, found map[place]bool) {
	if len(s.leaves) == 0 {
		return
	}
	// The children of a node come before it.
	for id := len(asking) - 1; id >= 0; id-- {
		if asking[id] == 0 {
			continue
		}
		for _, ch := range s.m.nodes[id].children {
			if ch.kind == Group || ch.kind == List {
				asking[ch.id] |= asking[id]
			}
		}
	}
	for _, leaf := range s.leaves {
		for _, use := range s.m.leafUp.of(leaf.leaf) {
			t := s.m.term(use)
			for side := range uint8(len(s.sides)) {
				if asking[use.parent]&(1<<side) == 0 || found[placeOf(t)] {
					continue
				}
				s.lookAt(side, wholeChat)
				if s.firstFind(t, leaf.leaf) >= 0 {
					found[placeOf(t)] = true
				}
			}
		}
	}
}

// asks says whether the case looks at what comes of a rule.
func (c Case) asks(r *Rule) bool {
	if r.Status == Shadow {
		return c.Shadow != nil
	}
	return c.Tags != nil || slices.Contains(c.NotTags, r.Tag)
}

func (s *Share) add(covered bool) {
	s.Total++
	if covered {
		s.Covered++
	}
}

// places gives the terms of all rules that are not off, other than groups and
// lists, each place in the file once and in the order of the file.
func (s *Set) places() []TermPlace {
	var all []TermPlace
	known := map[place]bool{}
	lists := map[*Term]bool{} // by their first entry
	var walk func(r *Rule, list string, terms []*Term)
	walk = func(r *Rule, list string, terms []*Term) {
		for _, t := range terms {
			switch t.Kind {
			case Group:
				walk(r, list, t.Any)
				walk(r, list, t.All)
				walk(r, list, t.None)
			case List:
				// Uses of a list share its entries.
				if len(t.Entries) > 0 && !lists[t.Entries[0]] {
					lists[t.Entries[0]] = true
					walk(r, t.Text, t.Entries)
				}
			default:
				at := placeOf(t)
				if known[at] {
					continue
				}
				known[at] = true
				of := TermPlace{Rule: r.Name, List: list, Term: t.Text, Line: t.Line, Column: t.Column}
				if list != "" {
					of.Rule = ""
				}
				all = append(all, of)
			}
		}
	}
	for _, r := range s.Rules {
		if r.Status != Off {
			walk(r, "", []*Term{&r.Body})
		}
	}
	slices.SortStableFunc(all, func(a, b TermPlace) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) })
	return all
}
