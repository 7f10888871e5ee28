package rules

import (
	"fmt"
	"strings"
)

// nearMiss says what a rule that does not match is missing, if that is exactly
// one thing and one of its positive terms is found.
func (s side) nearMiss(r *Rule) (missing string, near bool) {
	if r.Within != WithinMessage {
		return s.nearly(&r.Body, wholeChat)
	}
	body, satisfied := s.satisfied(r)
	if need := r.minMessages(); need > 1 {
		return tooFew(need, len(satisfied)), len(satisfied) == need-1
	}
	for _, in := range s.candidates(body) {
		if missing, near := s.nearly(body, in); near {
			return missing, true
		}
	}
	return "", false
}

// nearly says what a group that does not hold is missing, if that is exactly
// one thing: one entry of its all list, its min by one, or one veto. Where its
// any list fails, that is one thing if one of its entries fails by one thing.
func (s side) nearly(t *Term, in scope) (missing string, near bool) {
	if !s.anyFound(t, in) {
		return "", false
	}
	var positive outcome
	var things []string
	anyHolds := len(t.Any) == 0
	for _, term := range t.Any {
		of := s.eval(term, in)
		positive.add(of)
		anyHolds = anyHolds || of.holds
	}
	if !anyHolds {
		missing, near := s.nearlyAny(t.Any, in)
		if !near {
			return "", false
		}
		things = append(things, missing)
	}
	for _, term := range t.All {
		of := s.eval(term, in)
		positive.add(of)
		if !of.holds {
			things = append(things, describeMissing(term, of))
		}
	}
	for _, term := range t.None {
		if s.eval(term, in).holds {
			things = append(things, "none: "+describe(term))
		}
	}
	if count := len(positive.messages); t.Min > 1 && count < t.Min {
		if count < t.Min-1 {
			return "", false
		}
		things = append(things, tooFew(t.Min, count))
	}
	if len(things) != 1 {
		return "", false
	}
	return things[0], true
}

// nearlyAny says what the first entry of an any list that nearly holds is
// missing.
func (s side) nearlyAny(terms []*Term, in scope) (missing string, near bool) {
	for _, t := range terms {
		if t.Kind == Group {
			if missing, near := s.nearly(t, in); near {
				return missing, true
			}
			continue
		}
		if o := s.eval(t, in); t.Min > 1 && len(o.messages) == t.Min-1 {
			return describeMissing(t, o), true
		}
	}
	return "", false
}

// anyFound says whether a positive term is found in the scope.
func (s side) anyFound(t *Term, in scope) bool {
	for _, leaf := range positiveLeaves(t) {
		if len(s.found(leaf, in)) > 0 {
			return true
		}
	}
	return false
}

// describeMissing names a term that does not hold, and by how much it fails
// where it is found too seldom.
func describeMissing(t *Term, o outcome) string {
	if count := len(o.messages); t.Min > 1 && count > 0 && count < t.Min {
		return describe(t) + ", " + tooFew(t.Min, count)
	}
	return describe(t)
}

func tooFew(need, found int) string { return fmt.Sprintf("min: %d (found in %d)", need, found) }

// describe names a term in the rule's own words; of long groups only the first
// terms.
func describe(t *Term) string {
	const most = 5
	switch t.Kind {
	case List:
		return "list: " + t.Text
	case Group:
		var parts []string
		for _, list := range []struct {
			key   string
			terms []*Term
		}{{"any", t.Any}, {"all", t.All}, {"none", t.None}} {
			if len(list.terms) == 0 {
				continue
			}
			var names []string
			for i, term := range list.terms {
				if i == most {
					names = append(names, "…")
					break
				}
				names = append(names, describe(term))
			}
			parts = append(parts, list.key+": ["+strings.Join(names, ", ")+"]")
		}
		return strings.Join(parts, ", ")
	}
	return t.Text
}
