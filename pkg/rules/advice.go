package rules

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
)

// maxWork bounds the search for terms that cover others and for rules that are
// hidden. Where it is used up, no more is said.
const maxWork = 12_000_000

// adviser looks for what is in order and yet cannot be meant: terms and rules
// that change nothing.
type adviser struct {
	*reader
	set       *Set
	folds     *quickFolder
	work      int                   // steps left
	indexes   map[*Term]*coverIndex // of lists, by their first entry
	traits    map[*Term]traits      // likewise
	oneWindow map[*Term]bool        // likewise
	canned    map[termKey]cannedPattern
	looked    map[question]int // how often
	said      map[question][]string
}

// A question is asked of the term at a place. What is in a list, or is aliased,
// may be used in several ways with other options: then it is asked for each of
// them, and only what is true of all is a warning.
type question struct {
	place
	of string
}

func (q question) compare(r question) int {
	return cmp.Or(q.place.compare(r.place), strings.Compare(q.of, r.of))
}

const (
	isCovered = "covered"
	isVetoed  = "vetoed"
)

// advise warns of what changes nothing. The set may be one without the parts
// that are at fault.
func (r *reader) advise(set *Set) {
	a := newAdviser(r, set)
	for i, rule := range set.Rules {
		if rule.Fallback || r.rules[i].atFault {
			continue
		}
		// Within one message nothing is counted in it.
		counted := rule.Within != WithinMessage && rule.Body.Min > 1
		a.group(&rule.Body, counted, nil)
	}
	a.lists()
	// In the order of the file, so that what is said does not change from time
	// to time.
	for _, q := range slices.SortedFunc(maps.Keys(a.said), question.compare) {
		if messages := a.said[q]; len(messages) == a.looked[q] && a.work > 0 {
			a.warn(q.place, "%s", messages[0])
		}
	}
	if r.failed() {
		return // a rule without its faults may be another one
	}
	a.work = maxWork
	for _, rule := range set.Rules {
		if !rule.Fallback && rule.Status != Off {
			a.never(rule)
		}
	}
	a.sets()
}

func newAdviser(r *reader, set *Set) *adviser {
	return &adviser{
		reader: r, set: set, folds: new(quickFolder), work: maxWork,
		indexes: map[*Term]*coverIndex{}, traits: map[*Term]traits{}, canned: map[termKey]cannedPattern{},
		oneWindow: map[*Term]bool{}, looked: map[question]int{}, said: map[question][]string{},
	}
}

func (a *adviser) say(q question, format string, args ...any) {
	a.said[q] = append(a.said[q], fmt.Sprintf(format, args...))
}

func placeOf(t *Term) place { return place{t.Line, t.Column} }

// standsBefore says whether t stands before u in the file.
func standsBefore(t, u *Term) bool { return placeOf(t).compare(placeOf(u)) < 0 }

// lists looks at the entries of every list as they are where rules use it. Uses
// that differ in nothing but the messages that all entries look at are one: the
// entries are the same to each other.
func (a *adviser) lists() {
	type use struct {
		list string
		options
	}
	used := map[string]bool{}
	seen := map[*Term]bool{}
	alike := map[use]bool{}
	var find func(t *Term)
	find = func(t *Term) {
		if t.Kind == List {
			if len(t.Entries) == 0 || seen[t.Entries[0]] || !a.spends(1) {
				return
			}
			seen[t.Entries[0]] = true
			used[t.Text] = true
			if a.inOneWindow(t) {
				key := use{t.Text, keyOf(t).options}
				if alike[key] {
					return
				}
				alike[key] = true
			}
			a.list(t.Entries)
		}
		for _, list := range [][]*Term{t.Any, t.All, t.None, t.Entries} {
			for _, inner := range list {
				if !isLeaf(inner) {
					find(inner)
				}
			}
		}
	}
	for _, rule := range a.set.Rules {
		find(&rule.Body)
	}
	for _, l := range a.listOrder {
		if !used[l.name] {
			a.list(a.set.Lists[l.name])
		}
	}
}

// inOneWindow says whether all that is in a list, or in lists in it, looks at the
// messages that the list does.
func (a *adviser) inOneWindow(list *Term) bool {
	one, known := a.oneWindow[list.Entries[0]]
	if known {
		return one
	}
	var all func(terms []*Term) bool
	all = func(terms []*Term) bool {
		return !slices.ContainsFunc(terms, func(t *Term) bool {
			return t.First != list.First || t.Last != list.Last ||
				t.Kind == Group && !(all(t.Any) && all(t.All) && all(t.None)) ||
				t.Kind == List && len(t.Entries) > 0 && !a.inOneWindow(t)
		})
	}
	one = all(list.Entries)
	a.oneWindow[list.Entries[0]] = one
	return one
}

func (a *adviser) list(entries []*Term) {
	a.disjunction(entries, true)
	for _, e := range entries {
		a.inside(e, true, nil)
	}
}

// inside looks into a group. What is in a list is looked at with the list.
func (a *adviser) inside(t *Term, counted bool, vetoes []*coverIndex) {
	if t.Kind == Group {
		a.group(t, counted || t.Min > 1, vetoes)
	}
}

// group looks at the terms of a group. counted says whether the messages are
// counted in which they are found; vetoes are terms without which the group
// counts for nothing.
func (a *adviser) group(g *Term, counted bool, vetoes []*coverIndex) {
	if !a.spends(1) {
		return
	}
	a.disjunction(g.Any, counted)
	a.disjunction(g.None, false)
	if !counted {
		a.conjunction(g.All)
	}
	if own := vetoesOf(g); len(own) > 0 {
		vetoes = append(slices.Clip(vetoes), a.newIndex(own))
	}
	for _, list := range [][]*Term{g.Any, g.All} {
		for _, t := range list {
			a.inside(t, counted, vetoes)
			if !isLeaf(t) || a.repeated[placeOf(t)] || len(vetoes) == 0 {
				continue
			}
			q := question{placeOf(t), isVetoed}
			a.looked[q]++
			if v := a.vetoed(t, vetoes); v != nil && !a.repeated[placeOf(v)] {
				a.say(q, "%s never helps: where it is found, so is %s, which is in none (line %d); remove one of them", labelOf(t), labelOf(v), v.Line)
			}
		}
	}
	for _, t := range g.None {
		a.inside(t, false, nil)
	}
}

// vetoed gives the veto that is found wherever the leaf t is.
func (a *adviser) vetoed(t *Term, vetoes []*coverIndex) (veto *Term) {
	if !isLeaf(t) {
		return nil
	}
	for _, ix := range vetoes {
		a.covering(ix, t, func(v *Term) bool {
			veto = v
			return false
		})
		if veto != nil {
			break
		}
	}
	return veto
}

// disjunction looks for terms of which others are found wherever they are. One
// of the others is enough.
func (a *adviser) disjunction(terms []*Term, counted bool) {
	if len(terms) < 2 {
		return
	}
	var leaves, lists []*Term
	for _, t := range terms {
		switch {
		case isLeaf(t):
			leaves = append(leaves, t)
		case t.Kind == List && t.Min <= 1 && len(t.Entries) > 0:
			lists = append(lists, t)
		}
	}
	ix := a.newIndex(leaves)
	for _, t := range terms {
		if !a.spends(1) {
			return
		}
		q := question{placeOf(t), isCovered}
		switch {
		case t.Kind == List, a.repeated[q.place]:
		case t.Kind == Group:
			a.looked[q]++
			if !counted {
				a.coveredGroup(q, t, ix)
			}
		default:
			a.looked[q]++
			if u, in := a.coverOf(t, ix, lists); u != nil {
				a.sayCovered(q, t, u, in)
			}
		}
	}
}

// coverOf gives a term of the index that covers the leaf t, or one of the lists
// with its entry.
func (a *adviser) coverOf(t *Term, ix *coverIndex, lists []*Term) (cover, in *Term) {
	a.covering(ix, t, func(u *Term) bool {
		// Of two that cover each other the first one stays.
		if a.finds(u, t) && !standsBefore(u, t) {
			return true
		}
		cover = u
		return false
	})
	if cover != nil {
		return cover, nil
	}
	for _, list := range lists {
		a.covering(a.indexOf(list.Entries), t, func(u *Term) bool {
			cover, in = u, list
			return false
		})
		if cover != nil {
			return cover, in
		}
	}
	return nil, nil
}

func (a *adviser) sayCovered(q question, t, u, in *Term) {
	switch {
	case in != nil:
		a.say(q, "%s is covered by %s, which has %s (line %d) and stands beside it, so it changes nothing; remove it", labelOf(t), labelOf(in), labelOf(u), u.Line)
	case a.finds(u, t):
		a.say(q, "%s is the same as %s in line %d to the search; remove one of them", labelOf(t), labelOf(u), u.Line)
	default:
		a.say(q, "%s is covered by %s (line %d), which is found wherever it is, so it changes nothing; remove it", labelOf(t), labelOf(u), u.Line)
	}
}

// coveredGroup looks for a term beside a group that holds whenever the group
// does.
func (a *adviser) coveredGroup(q question, g *Term, ix *coverIndex) {
	needed := slices.Clone(g.All)
	if len(g.Any) > 0 {
		needed = append(needed, g.Any[0])
	}
	for _, m := range needed {
		if !isLeaf(m) {
			continue
		}
		var cover *Term
		a.covering(ix, m, func(u *Term) bool {
			if !a.implies(g, u) || a.implies(u, g) && !standsBefore(u, g) {
				return true
			}
			cover = u
			return false
		})
		if cover != nil {
			a.say(q, "this group is covered by %s (line %d), which is found wherever the group holds, so the group changes nothing; remove it, or make that term narrower", labelOf(cover), cover.Line)
			return
		}
	}
}

// conjunction looks for terms that are found wherever another one is, which
// must be found too.
func (a *adviser) conjunction(terms []*Term) {
	if len(terms) < 2 {
		return
	}
	var leaves []*Term
	for _, t := range terms {
		if isLeaf(t) {
			leaves = append(leaves, t)
		}
	}
	ix := a.newIndex(leaves)
	told := map[*Term]bool{}
	for _, t := range leaves {
		a.looked[question{placeOf(t), isCovered}]++
	}
	for _, t := range leaves {
		a.covering(ix, t, func(u *Term) bool {
			if told[u] || a.repeated[placeOf(u)] || a.finds(u, t) && !standsBefore(t, u) {
				return true
			}
			told[u] = true
			q := question{placeOf(u), isCovered}
			if a.finds(u, t) {
				a.say(q, "%s is the same as %s in line %d to the search; remove one of them", labelOf(u), labelOf(t), t.Line)
			} else {
				a.say(q, "%s is covered by %s (line %d): all asks for both, and where that is found, so is this; remove it", labelOf(u), labelOf(t), t.Line)
			}
			return true
		})
	}
}

// labelOf names a term in messages.
func labelOf(t *Term) string {
	if t.Kind == Group {
		return "this group"
	}
	s := spec{kind: t.Kind, text: t.Text}
	return s.label()
}

// never warns of a rule that matches no chat.
func (a *adviser) never(r *Rule) {
	at := place{r.Line, r.Column}
	if why := a.impossible(&r.Body, nil); why != "" {
		a.warn(at, "this rule can never apply: %s; mend that, or remove the rule", why)
	}
}

// impossible says why a term can never hold, "" where it can.
func (a *adviser) impossible(t *Term, vetoes []*coverIndex) string {
	if !a.spends(1) {
		return ""
	}
	if t.Kind == Regex {
		if r := a.regexes[t.Text]; r.matchesNothing {
			return fmt.Sprintf("the regex in line %d matches no text", t.Line)
		}
	}
	if isLeaf(t) {
		if v := a.vetoed(t, vetoes); v != nil {
			return fmt.Sprintf("where %s (line %d) is found, so is %s, which is in none (line %d)", labelOf(t), t.Line, labelOf(v), v.Line)
		}
		return ""
	}
	if t.Min > 1 {
		if first, last := a.reach(t); first != math.MaxInt32 && first+last < t.Min {
			return fmt.Sprintf("min: %d cannot be reached, since its terms look at no more than %s", t.Min, messages(first+last))
		}
	}
	if own := vetoesOf(t); len(own) > 0 {
		vetoes = append(slices.Clip(vetoes), a.newIndex(own))
	}
	for _, m := range t.All {
		if why := a.impossible(m, vetoes); why != "" {
			return why
		}
	}
	first := ""
	for _, way := range waysOf(t) {
		why := a.impossible(way, vetoes)
		if why == "" {
			return ""
		}
		if first == "" {
			first = why
		}
	}
	return first
}

func messages(n int) string {
	if n == 1 {
		return "1 message"
	}
	return fmt.Sprintf("%d messages", n)
}

// sets warns of rules that another one of their set always comes before.
func (a *adviser) sets() {
	earlier := map[string][]*Rule{} // active ones, by set
	for _, r := range a.set.Rules {
		if r.Set == "" || r.Status == Off {
			continue
		}
		for _, first := range earlier[r.Set] {
			if a.hides(first, r) {
				a.warn(place{r.Line, r.Column}, "this rule never gives its tag: rule %s (line %d), earlier in the set %s, matches whenever this one does; move this rule above that one, or make that one narrower", quote(first.Name), first.Line, quote(r.Set))
				break
			}
		}
		if a.work <= 0 {
			return
		}
		if r.Status == Active {
			earlier[r.Set] = append(earlier[r.Set], r)
		}
	}
}

// hides says whether an active rule matches whenever r does.
func (a *adviser) hides(first, r *Rule) bool {
	if !a.spends(10) || first.Fallback != r.Fallback || first.Groups != nil && (r.Groups == nil || !contains(first.Groups, r.Groups)) {
		return false
	}
	if r.Fallback {
		return true
	}
	sameSide := first.From == r.From && first.Internal == r.Internal
	if !sameSide && !((first.From == r.From || first.From == FromAnyone) && (first.Internal || !r.Internal)) {
		return false
	}
	body, narrow := first.Body, r.Body
	body.Min, narrow.Min = 1, 1
	if of := a.traitsOf(&body); !sameSide && (of.vetoing || of.windowed || a.traitsOf(&narrow).windowed) {
		return false // the other side's messages may stop it, or count
	}
	switch {
	case first.Within == r.Within && r.Within == WithinMessage:
		if first.Body.Min > r.Body.Min {
			return false
		}
	case first.Within == WithinChat && r.Within == WithinMessage:
		if first.Body.Min > 1 || a.traitsOf(&body).vetoing {
			return false
		}
	case first.Body.Min > 1:
		// Counted are the messages of all terms of both.
		if first.Body.Min > r.Body.Min || len(body.All)+len(body.None)+len(narrow.All) > 0 || !leavesOnly(body.Any) || !leavesOnly(narrow.Any) {
			return false
		}
	case first.Within == WithinMessage && !(len(body.All)+len(body.None) == 0 && leavesOnly(body.Any)):
		return false // the terms may be found in different messages
	}
	return a.implies(&narrow, &body)
}

func contains(all, some []int) bool {
	return !slices.ContainsFunc(some, func(n int) bool { return !slices.Contains(all, n) })
}

func leavesOnly(terms []*Term) bool {
	return !slices.ContainsFunc(terms, func(t *Term) bool { return !isLeaf(t) })
}

// traits are what makes a term hold, or not, by more messages than those in
// which its words are.
type traits struct{ vetoing, windowed bool }

func (a *adviser) traitsOf(t *Term) traits {
	if t.Kind == List && len(t.Entries) > 0 {
		if of, known := a.traits[t.Entries[0]]; known {
			return of
		}
	}
	of := traits{vetoing: len(t.None) > 0, windowed: t.First+t.Last > 0}
	for _, list := range [][]*Term{t.Any, t.All, t.None, t.Entries} {
		for _, m := range list {
			if !a.spends(1) {
				return traits{true, true}
			}
			inner := a.traitsOf(m)
			of.vetoing = of.vetoing || inner.vetoing
			of.windowed = of.windowed || inner.windowed
		}
	}
	if t.Kind == List && len(t.Entries) > 0 {
		a.traits[t.Entries[0]] = of
	}
	return of
}
