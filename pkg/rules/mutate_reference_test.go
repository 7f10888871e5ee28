package rules

import "slices"

// The straightforward ways of Coverage and Mutate, which those are held against:
// by the reference matcher, rule by rule, and with rules from which a term is
// taken.

func (s *Set) coverageReference(cases []Case) (matched map[string]bool, found map[place]bool) {
	matched, found = map[string]bool{}, map[place]bool{}
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
			matched[r.Name] = matched[r.Name] || byName[r.Name]
			var walk func(terms []*Term)
			walk = func(terms []*Term) {
				for _, t := range terms {
					if isLeaf(t) && len(search.side(r).found(t, wholeChat)) > 0 {
						found[placeOf(t)] = true
					}
					for _, list := range [][]*Term{t.Any, t.All, t.None, t.Entries} {
						walk(list)
					}
				}
			}
			walk([]*Term{&r.Body})
		}
	}
	return matched, found
}

// mutateReference gives the places of the terms whose loss is not noticed.
func (s *Set) mutateReference(cases []Case) (unnoticed []TermPlace) {
	for _, p := range s.places() {
		rules := s.without(place{p.Line, p.Column})
		if !slices.ContainsFunc(cases, func(c Case) bool {
			return c.holds(matchReference(s.Rules, s.search(c.Chat))) && !c.holds(matchReference(rules, s.search(c.Chat)))
		}) {
			unnoticed = append(unnoticed, p)
		}
	}
	return unnoticed
}

// without gives the rules without the term at a place.
func (s *Set) without(at place) (rules []*Rule) {
	d := dropper{at: at, made: map[*Term]*Term{}}
	for _, r := range s.Rules {
		body := d.drop(&r.Body)
		if body == nil {
			continue
		}
		copied := *r
		copied.Body = *body
		rules = append(rules, &copied)
	}
	return rules
}

type dropper struct {
	at   place
	made map[*Term]*Term // groups and lists that were looked at
}

// drop gives a term without what is dropped: the term itself where nothing is,
// nil where nothing is left of it.
func (d *dropper) drop(t *Term) *Term {
	if isLeaf(t) {
		if placeOf(t) == d.at {
			return nil
		}
		return t
	}
	if made, ok := d.made[t]; ok {
		return made
	}
	copied := *t
	changed := false
	for _, terms := range []*[]*Term{&copied.Any, &copied.All, &copied.None, &copied.Entries} {
		var left []*Term
		for _, t := range *terms {
			if made := d.drop(t); made != nil {
				left = append(left, made)
			}
		}
		changed = changed || !slices.Equal(left, *terms)
		*terms = left
	}
	made := &copied
	switch {
	case !changed:
		made = t
	case len(copied.Any)+len(copied.All)+len(copied.None)+len(copied.Entries) == 0, copied.holdsWordless() && !t.holdsWordless():
		made = nil
	}
	d.made[t] = made
	return made
}

// holdsWordless is wordless for a term that is made. Lists never do.
func (t *Term) holdsWordless() bool {
	if t.Kind != Group {
		return false
	}
	if len(t.Any) > 0 && !slices.ContainsFunc(t.Any, (*Term).holdsWordless) {
		return false
	}
	for _, all := range t.All {
		if !all.holdsWordless() {
			return false
		}
	}
	return !slices.ContainsFunc(t.None, (*Term).holdsWordless)
}
