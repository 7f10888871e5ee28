package rules

import (
	"math"
	"slices"
	"strings"
)

// A term covers another when it is found wherever the other is. Only what is
// certain counts: texts are never compared by trying them out.

const maxCovered = 10_000 // bytes of a text that is compared

// plainNeedle is what a text must hold where a term is found, for the many terms
// of which that is known at once: letters and digits of ASCII with a blank
// between words, perhaps with a wildcard at the end.
func plainNeedle(t *Term, o options) (needle string, wildcard, ok bool) {
	s := t.Text
	if n := len(s); n > 2 && s[n-1] == '*' && t.Kind == Literal && s[n-2] != ' ' && s[n-3] != ' ' {
		s, wildcard = s[:n-1], true
	}
	blank, upper := true, false // as if one stood before
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case c >= 'A' && c <= 'Z':
			upper = true
		case c != ' ' || blank:
			return "", false, false
		}
		blank = c == ' '
	}
	if upper && !o.caseExact {
		s = strings.ToLower(s)
	}
	return s, wildcard, !blank
}

// plainHas says whether the plain term u is found wherever the plain term t is.
func plainHas(t, u *Term, o options) (has, ok bool) {
	needle, uWildcard, ok := plainNeedle(u, o)
	if !ok {
		return false, false
	}
	text, tWildcard, ok := plainNeedle(t, o)
	if !ok {
		return false, false
	}
	edged := t.Kind != Contains
	for from := 0; ; from++ {
		i := strings.Index(text[from:], needle)
		if i < 0 {
			return false, true
		}
		from += i
		if u.Kind == Contains {
			return true, true
		}
		begins, end := edged, from+len(needle)
		if from > 0 {
			begins = text[from-1] == ' '
		}
		ends := uWildcard || edged && !tWildcard
		if end < len(text) {
			ends = uWildcard || text[end] == ' '
		}
		if begins && ends {
			return true, true
		}
	}
}

// settled says whether unit i of a pattern is what it is, a part of a word or
// not, in every text in which the pattern is found. The apostrophe of n't and
// the point of 1.5 are known only with their neighbours.
func (p pattern) settled(i int) bool {
	u, n := p.units, len(p.units)
	switch u[i].key {
	case ".", ",":
		if i > 0 && u[i-1].kind != digit || i+1 < n && u[i+1].kind != digit {
			return true
		}
		return i > 0 && i+1 < n
	case "'":
		if i > 0 && !strings.EqualFold(u[i-1].key, "n") || i+1 < n && !strings.EqualFold(u[i+1].key, "t") {
			return true
		}
		return i >= 2 && i+1 < n && (i+2 == n && p.edges || i+2 < n && !u[i+2].wildcard)
	}
	return true
}

// endsBefore says whether a word end is certain before unit i of the pattern,
// which may be its end.
func (p pattern) endsBefore(i int) bool {
	u := p.units
	switch i {
	case 0:
		return p.edges && u[0].inWord()
	case len(u):
		return p.edges && u[i-1].inWord()
	}
	return !u[i-1].wildcard && !u[i].wildcard && p.settled(i-1) && p.settled(i) && wordEnds(u[i-1], u[i])
}

// has says whether q is found in every text in which p is, by what p has from
// its unit k on.
func (p pattern) has(q pattern, k int) bool {
	if q.edges && q.units[0].inWord() && !p.endsBefore(k) {
		return false
	}
	u := p.units
	i := k
	for j := range q.units {
		switch {
		case !q.units[j].wildcard:
			if i == len(u) || u[i].wildcard || !q.sameUnit(u[i], j) {
				return false
			}
			// Where p leaves open which signs follow a letter, q must too.
			if p.open(i) && u[i].bearsLetters() && !q.open(j) {
				return false
			}
			i++
		case j+1 == len(q.units):
			return true
		default:
			for i < len(u) && u[i].inWord() {
				if !p.settled(i) {
					return false
				}
				i++
			}
			if i < len(u) && u[i].wildcard {
				i++
			} else if i == len(u) || !p.settled(i) {
				return false
			}
		}
	}
	if q.edges && q.units[len(q.units)-1].inWord() {
		return p.endsBefore(i)
	}
	return true
}

// open says whether more signs may follow on the letter at unit i.
func (p pattern) open(i int) bool {
	return i+1 < len(p.units) && p.units[i+1].wildcard || i+1 == len(p.units) && !p.edges
}

// coarser says whether o folds all that p folds.
func (o options) coarser(p options) bool {
	return (!o.caseExact || p.caseExact) && (!o.accentsExact || p.accentsExact)
}

// comparable says whether a text that is folded by finer options and has p in
// it has p in it when it is folded by o as well. Only at an n or t at an edge
// another letter may make an n't of what was none.
func (p pattern) comparable(o, finer options) bool {
	if o == finer {
		return true
	}
	first, last := p.units[0].key, p.units[len(p.units)-1].key
	return !strings.EqualFold(first, "t") && !strings.EqualFold(last, "n")
}

// inWindow says whether the messages that t looks at, and how often it must be
// found in them, are enough for u.
func inWindow(t, u *Term) bool {
	return u.Min <= t.Min && (u.First == 0 || t.First > 0 && t.First <= u.First) && (u.Last == 0 || t.Last > 0 && t.Last <= u.Last)
}

// spends takes steps of the adviser's work, and says whether there were any
// left.
func (a *adviser) spends(steps int) bool {
	a.work -= steps
	return a.work > 0
}

// finds says whether the leaf u is found wherever the leaf t is.
func (a *adviser) finds(t, u *Term) bool {
	if !inWindow(t, u) || !a.spends(1) {
		return false
	}
	to, uo := keyOf(t).options, keyOf(u).options
	if t.Kind == u.Kind && t.Text == u.Text && to == uo {
		return true
	}
	switch {
	case t.Kind == Regex || u.Kind == Regex:
		return false
	case t.Kind == Canned || u.Kind == Canned:
		return t.Kind == u.Kind && to == uo && a.cannedFinds(t, u)
	case !uo.coarser(to) || len(t.Text) > maxCovered || len(u.Text) > maxCovered:
		return false
	}
	if uo == to {
		if has, plain := plainHas(t, u, uo); plain {
			return has
		}
	}
	if !a.spends(20) {
		return false
	}
	p, q := a.folds.pattern(t, uo), a.folds.pattern(u, uo)
	if len(p.units) == 0 || len(q.units) == 0 || !p.comparable(uo, to) || !q.comparable(uo, to) {
		return false
	}
	if !a.spends(len(p.units) / 16) {
		return false
	}
	for k := range p.units {
		if p.units[k].key == q.units[0].key || p.open(k) {
			if !a.spends(1) {
				return false
			}
			if p.has(q, k) {
				return true
			}
		}
	}
	return false
}

// cannedFinds says whether a message that is the canned response t is u too.
func (a *adviser) cannedFinds(t, u *Term) bool {
	p, ok := a.cannedPattern(t)
	q, alsoOK := a.cannedPattern(u)
	switch {
	case !ok || !alsoOK:
		return false
	case len(p.pieces) == 1:
		return q.matches(trimBlanks(p.pieces[0].units))
	}
	return sameCanned(p) == sameCanned(q)
}

// maxCanned bounds the canned texts that are looked at, since each is read as
// Markdown.
const maxCanned = 5000

// cannedPattern gives the pattern of a canned text, once for each text and for not too many.
func (a *adviser) cannedPattern(t *Term) (p cannedPattern, ok bool) {
	key := keyOf(t)
	if p, ok := a.canned[key]; ok {
		return p, true
	}
	if len(a.canned) == maxCanned || len(t.Text) > 2000 || !a.spends(1000) {
		return p, false
	}
	p = a.folds.canned(t.Text, key.options)
	a.canned[key] = p
	return p, true
}

// sameCanned is the same for canned texts that say the same.
func sameCanned(c cannedPattern) string {
	var b strings.Builder
	for _, p := range c.pieces {
		for _, u := range p.units {
			b.WriteString(u.key)
		}
		b.WriteRune(gapMark)
		b.WriteByte('0' + byte(p.before))
		b.WriteByte('0' + byte(p.after))
	}
	return b.String()
}

// A coverIndex finds among many leaves those that cover another.
type coverIndex struct {
	edged, bare [4]needles          // by options.index: literals and words, substrings
	open        []*Term             // canned texts with placeholders
	same        map[termKey][]*Term // regexes, and canned texts by their sameCanned
}

// needles are the leaves by what a text must hold where they are found.
type needles struct {
	leaves  map[string][]*Term
	lengths map[string][]int // of the needles, in order, by their beginning
}

const (
	maxAlike  = 8   // leaves of one needle that are looked at
	maxOpen   = 100 // canned texts with placeholders that are looked at
	beginning = 3   // bytes
)

func needleStart(s string) string { return s[:min(len(s), beginning)] }

func (a *adviser) newIndex(terms []*Term) *coverIndex {
	ix := &coverIndex{same: map[termKey][]*Term{}}
	for _, t := range terms {
		a.addTo(ix, t)
	}
	return ix
}

// addTo adds the leaves that each alone make t hold.
func (a *adviser) addTo(ix *coverIndex, t *Term) {
	if !a.spends(10) {
		return
	}
	switch t.Kind {
	case Group:
		if len(t.All)+len(t.None) == 0 && t.Min <= 1 {
			for _, inner := range t.Any {
				a.addTo(ix, inner)
			}
		}
		return
	case List:
		if t.Min <= 1 {
			for _, entry := range t.Entries {
				a.addTo(ix, entry)
			}
		}
		return
	case Regex, Canned:
		key, open, ok := a.sameKey(t)
		if ok && len(ix.same[key]) < maxAlike {
			ix.same[key] = append(ix.same[key], t)
		}
		if ok && open && len(ix.open) < maxOpen {
			ix.open = append(ix.open, t)
		}
		return
	}
	if len(t.Text) > maxCovered {
		return
	}
	o := keyOf(t).options
	needle, _, plain := plainNeedle(t, o)
	if !plain {
		if !a.spends(20) {
			return
		}
		needle = needleOf(a.folds.pattern(t, o).units)
	}
	n := &ix.edged[o.index()]
	if t.Kind == Contains {
		n = &ix.bare[o.index()]
	}
	n.add(needle, t)
}

// sameKey gives what is the same for regexes and canned texts that say the
// same, and whether it is a canned text that may say more.
func (a *adviser) sameKey(t *Term) (key termKey, open, ok bool) {
	key = keyOf(t)
	if t.Kind == Regex {
		return key, false, true
	}
	p, ok := a.cannedPattern(t)
	key.text = sameCanned(p)
	return key, len(p.pieces) > 1, ok
}

func (n *needles) add(needle string, t *Term) {
	if n.leaves == nil {
		n.leaves, n.lengths = map[string][]*Term{}, map[string][]int{}
	}
	alike := n.leaves[needle]
	if len(alike) == 0 {
		// Needles shorter than a beginning are their own.
		start := needleStart(needle)
		lengths := n.lengths[start]
		if i, found := slices.BinarySearch(lengths, len(needle)); !found {
			n.lengths[start] = slices.Insert(lengths, i, len(needle))
		}
	}
	if len(alike) < maxAlike {
		n.leaves[needle] = append(alike, t)
	}
}

// covering gives leaves of the index, other than t, that are found wherever
// the leaf t is, until visit says that it has enough.
func (a *adviser) covering(ix *coverIndex, t *Term, visit func(u *Term) (more bool)) {
	check := func(u *Term) bool {
		if u == t || !a.finds(t, u) || a.work <= 0 {
			return true
		}
		return visit(u)
	}
	each := func(terms []*Term) bool {
		for _, u := range terms {
			if !check(u) {
				return false
			}
		}
		return true
	}
	if t.Kind == Regex || t.Kind == Canned {
		key, open, ok := a.sameKey(t)
		if ok && each(ix.same[key]) && t.Kind == Canned && !open {
			each(ix.open)
		}
		return
	}
	if len(t.Text) > maxCovered {
		return
	}
	if !a.spends(10) {
		return
	}
	to := keyOf(t).options
	for i := range 4 {
		o := options{caseExact: i&1 != 0, accentsExact: i&2 != 0}
		edged, bare := &ix.edged[i], &ix.bare[i]
		if !o.coarser(to) || edged.leaves == nil && bare.leaves == nil {
			continue
		}
		if text, _, plain := plainNeedle(t, o); plain {
			for at := range len(text) {
				if edged.leaves != nil && (at == 0 || text[at] == ' ' || text[at-1] == ' ') && !a.needlesAt(edged, text[at:], each) {
					return
				}
				if bare.leaves != nil && !a.needlesAt(bare, text[at:], each) {
					return
				}
			}
			continue
		}
		if !a.spends(20 + len(t.Text)/8) {
			return
		}
		p := a.folds.pattern(t, o)
		joined := needleOf(p.units)
		// A needle ends at the first wildcard, and so does what a text must hold.
		at := 0
		for k, u := range p.units {
			if u.wildcard {
				joined, at = needleOf(p.units[k+1:]), 0
				if !a.spends(len(joined) / 16) {
					return
				}
				continue
			}
			here := joined[at:]
			at += len(u.key)
			if edged.leaves != nil && (k == 0 || p.units[k-1].wildcard || u.joined || wordEnds(p.units[k-1], u)) && !a.needlesAt(edged, here, each) {
				return
			}
			if bare.leaves != nil && !a.needlesAt(bare, here, each) {
				return
			}
		}
	}
}

// needlesAt gives the leaves whose needle a text begins with.
func (a *adviser) needlesAt(n *needles, text string, each func([]*Term) bool) bool {
	for size := 1; size <= min(beginning, len(text)); size++ {
		for _, length := range n.lengths[text[:size]] {
			if length > len(text) {
				break
			}
			if size < beginning && length != size {
				continue
			}
			if !a.spends(1+length/16) || !each(n.leaves[text[:length]]) {
				return false
			}
		}
	}
	return a.work > 0
}

// indexOf gives the index of the entries of a list, made once.
func (a *adviser) indexOf(entries []*Term) *coverIndex {
	if len(entries) == 0 {
		return &coverIndex{}
	}
	ix := a.indexes[entries[0]]
	if ix == nil {
		ix = a.newIndex(entries)
		a.indexes[entries[0]] = ix
	}
	return ix
}

// implies says whether u holds wherever t does, both looked at in the same
// messages. It may say no where it does not know.
func (a *adviser) implies(t, u *Term) bool {
	if t == u {
		return true
	}
	if !a.spends(1) {
		return false
	}
	if isLeaf(t) && isLeaf(u) {
		return a.finds(t, u)
	}
	// What t is needed for must hold too.
	if t.Kind == Group {
		for _, m := range t.All {
			if a.implies(m, u) {
				return true
			}
		}
	}
	// Which of several ways is found how often is not known.
	if ways := waysOf(t); len(ways) > 0 && u.Min <= 1 {
		all := true
		for _, way := range ways {
			if all = a.implies(way, u); !all {
				break
			}
		}
		if all {
			return true
		}
	}
	switch {
	case u.Kind == List && t.Kind == List:
		return len(t.Entries) > 0 && len(u.Entries) > 0 && t.Entries[0] == u.Entries[0] && u.Min <= t.Min
	case u.Kind == List:
		return isLeaf(t) && u.Min <= t.Min && a.oneOf(u.Entries, t)
	case u.Kind == Group:
		return a.impliesGroup(t, u)
	}
	return false
}

// waysOf gives the terms of which one holds when t does.
func waysOf(t *Term) []*Term {
	switch t.Kind {
	case List:
		return t.Entries
	case Group:
		return t.Any
	}
	return nil
}

// oneOf says whether one of the terms, which all stand for themselves, is found
// wherever the leaf t is.
func (a *adviser) oneOf(terms []*Term, t *Term) bool {
	found := false
	a.covering(a.indexOf(terms), t, func(*Term) bool {
		found = true
		return false
	})
	return found
}

func (a *adviser) impliesGroup(t, u *Term) bool {
	if u.Min > 1 && !(isLeaf(t) && len(u.All)+len(u.None) == 0 && u.Min <= t.Min) {
		return false
	}
	if len(u.Any) > 0 && !slices.ContainsFunc(u.Any, func(way *Term) bool { return a.implies(t, way) }) {
		// Each way to t may lead to another one to u.
		ways := waysOf(t)
		if len(ways) == 0 {
			return false
		}
		for _, way := range ways {
			if !slices.ContainsFunc(u.Any, func(other *Term) bool { return a.implies(way, other) }) {
				return false
			}
		}
	}
	for _, m := range u.All {
		if !a.implies(t, m) {
			return false
		}
	}
	for _, n := range u.None {
		if !slices.ContainsFunc(vetoesOf(t), func(v *Term) bool { return a.implies(n, v) }) {
			return false
		}
	}
	return true
}

// vetoesOf gives terms that do not hold when t does.
func vetoesOf(t *Term) []*Term {
	if t.Kind != Group {
		return nil
	}
	vetoes := t.None
	for _, m := range t.All {
		if more := vetoesOf(m); len(more) > 0 {
			vetoes = slices.Concat(vetoes, more)
		}
	}
	return vetoes
}

func isLeaf(t *Term) bool { return t.Kind != Group && t.Kind != List }

// reach gives the most messages in which the positive terms of t can be found
// among the first and among the last ones.
func (a *adviser) reach(t *Term) (first, last int) {
	if !a.spends(1) {
		return math.MaxInt32, 0
	}
	switch {
	case !isLeaf(t):
		for _, list := range [][]*Term{t.Any, t.All, t.Entries} {
			for _, m := range list {
				f, l := a.reach(m)
				first, last = max(first, f), max(last, l)
				if first == math.MaxInt32 {
					return first, last
				}
			}
		}
		return first, last
	case t.First > 0:
		return t.First, 0
	case t.Last > 0:
		return 0, t.Last
	}
	return math.MaxInt32, 0
}
