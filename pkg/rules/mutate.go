package rules

import "slices"

// Mutation says which terms of a rules file its tests would miss.
type Mutation struct {
	Terms     int         `json:"terms"`
	Noticed   int         `json:"noticed"`
	Unnoticed []TermPlace `json:"unnoticed"` // in the order of the file
}

// Share is the part of the terms that were noticed.
func (m Mutation) Share() Share { return Share{m.Noticed, m.Terms} }

// Mutate takes each term in turn out of the rules, wherever they come to it, and
// runs the cases again: the loss is noticed when one that held does not any
// more. With its last entry a list of a group goes. A group that has nothing
// left, or would hold without any of its words as it did not before, goes as a
// whole: of a rule that would, nothing matches.
func (s *Set) Mutate(cases []Case) Mutation {
	places := s.places()
	m := Mutation{Terms: len(places.all), Unnoticed: []TermPlace{}}
	// The terms of each place; without a find in a chat, none of them matters
	// to it, unless something is emptied with it.
	terms := map[place][]*Term{}
	owners := map[place][]*Rule{}
	for _, r := range s.Rules {
		for _, t := range places.leaves[r] {
			at := placeOf(t)
			if !slices.Contains(terms[at], t) {
				terms[at] = append(terms[at], t)
			}
			if of := owners[at]; len(of) == 0 || of[len(of)-1] != r {
				owners[at] = append(of, r)
			}
		}
	}
	var runs []run
	for _, c := range cases {
		search := s.search(c.Chat)
		if missing, extra := c.Compare(matchReference(s.Rules, search)); len(missing)+len(extra) == 0 {
			runs = append(runs, run{c, search})
		}
	}
	for _, p := range places.all {
		at := place{p.Line, p.Column}
		if s.noticed(at, terms[at], owners[at], runs) {
			m.Noticed++
		} else {
			m.Unnoticed = append(m.Unnoticed, p)
		}
	}
	return m
}

// run is a case that holds, with the finds of all terms in its chat.
type run struct {
	Case
	search *search
}

func (s *Set) noticed(at place, terms []*Term, owners []*Rule, runs []run) bool {
	rules, widens := s.without(at, owners)
	return slices.ContainsFunc(runs, func(r run) bool {
		if !widens && !slices.ContainsFunc(terms, func(t *Term) bool { return len(r.search.all(t)) > 0 }) {
			return false
		}
		missing, extra := r.Compare(matchReference(rules, r.search))
		return len(missing)+len(extra) > 0
	})
}

// without gives the rules without the term at a place, which the owners come
// to. widens says that a
// condition goes, so that a rule may hold where the term is not found.
func (s *Set) without(at place, owners []*Rule) (rules []*Rule, widens bool) {
	d := dropper{at: at, made: map[*Term]*Term{}}
	for _, r := range s.Rules {
		if len(owners) == 0 || owners[0] != r {
			rules = append(rules, r)
			continue
		}
		owners = owners[1:] // in the order of the file too
		body := d.drop(&r.Body)
		if body == &r.Body {
			rules = append(rules, r)
			continue
		}
		if body == nil {
			continue
		}
		copied := *r
		copied.Body = *body
		rules = append(rules, &copied)
	}
	return rules, d.widens
}

type dropper struct {
	at     place
	made   map[*Term]*Term // groups and lists that were looked at
	widens bool
}

// drop gives a term without what is dropped: the term itself where nothing is,
// nil where nothing is left of it.
func (d *dropper) drop(t *Term) *Term {
	switch t.Kind {
	case Group, List:
	default:
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
		left := d.each(*terms)
		changed = changed || !slices.Equal(left, *terms)
		*terms = left
	}
	made := &copied
	switch {
	case !changed:
		made = t
	case len(copied.Any)+len(copied.All)+len(copied.None)+len(copied.Entries) == 0, copied.holdsWordless() && !t.holdsWordless():
		made = nil
	default:
		d.widens = d.widens || len(copied.All) < len(t.All) || len(copied.Any) == 0 && len(t.Any) > 0
	}
	d.made[t] = made
	return made
}

func (d *dropper) each(terms []*Term) (left []*Term) {
	for _, t := range terms {
		switch made := d.drop(t); {
		case made != nil:
			left = append(left, made)
		case t.Kind == Group || t.Kind == List:
			d.widens = true // a veto may hold just where the term is not found
		}
	}
	return left
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
