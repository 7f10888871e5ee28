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
	places := s.places()
	matched := map[*Rule]bool{}
	found := map[place]bool{}
	for _, c := range cases {
		search := s.search(c.Chat)
		byName := map[string]bool{}
		result := matchReference(s.Rules, search)
		for _, h := range slices.Concat(result.Tags, result.Shadow) {
			byName[h.Rule] = true
		}
		for _, k := range result.Skipped {
			byName[k.Rule] = true
		}
		for _, r := range s.Rules {
			if r.Status == Off || !inGroups(r, c.Chat) || !c.asks(r) {
				continue
			}
			matched[r] = matched[r] || byName[r.Name]
			side := search.side(r)
			for _, t := range places.leaves[r] {
				if at := placeOf(t); !found[at] && len(side.found(t, wholeChat)) > 0 {
					found[at] = true
				}
			}
		}
	}

	c := Coverage{ByRule: []RuleCoverage{}, ByList: []ListCoverage{}}
	rules, lists := map[string]int{}, map[string]int{}
	for _, r := range s.Rules {
		if r.Status == Off {
			continue
		}
		rules[r.Name] = len(c.ByRule)
		c.ByRule = append(c.ByRule, RuleCoverage{Rule: r.Name, Line: r.Line, Matched: matched[r], Uncovered: []TermPlace{}})
		c.Rules.add(matched[r])
	}
	for _, p := range places.all {
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

// termPlaces are the terms of all rules that are not off, other than groups and
// lists, by where they are written.
type termPlaces struct {
	all    []TermPlace       // each place once, in the order of the file
	leaves map[*Rule][]*Term // all that a rule comes to, by lists too
}

func (s *Set) places() termPlaces {
	p := termPlaces{leaves: map[*Rule][]*Term{}}
	known := map[place]bool{}
	for _, r := range s.Rules {
		if r.Status == Off {
			continue
		}
		seen := map[*Term]bool{}
		var walk func(terms []*Term, list string)
		walk = func(terms []*Term, list string) {
			for _, t := range terms {
				if seen[t] {
					continue
				}
				seen[t] = true
				switch t.Kind {
				case Group:
					walk(t.Any, list)
					walk(t.All, list)
					walk(t.None, list)
				case List:
					walk(t.Entries, t.Text)
				default:
					p.leaves[r] = append(p.leaves[r], t)
					if at := placeOf(t); !known[at] {
						known[at] = true
						of := TermPlace{Rule: r.Name, List: list, Term: t.Text, Line: t.Line, Column: t.Column}
						if list != "" {
							of.Rule = ""
						}
						p.all = append(p.all, of)
					}
				}
			}
		}
		walk([]*Term{&r.Body}, "")
	}
	slices.SortStableFunc(p.all, func(a, b TermPlace) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column)) })
	return p
}
