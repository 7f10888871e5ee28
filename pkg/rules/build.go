package rules

// settings are what a term inherits.
type settings struct {
	caseExact, accentsExact bool
	first, last             int
}

// with gives the options in force for a term and for what is in it. A window
// of its own takes the place of an inherited one, whichever of the two it is.
func (o settings) with(s *spec) settings {
	if s.caseFold != inherited {
		o.caseExact = s.caseFold == exact
	}
	if s.accentsFold != inherited {
		o.accentsExact = s.accentsFold == exact
	}
	if s.size() > 0 {
		o.first, o.last = s.first, s.last
	}
	return o
}

// use is a list with the settings of the place where it is used.
type use struct {
	list string
	settings
}

// builder makes terms of specs. Uses of a list with equal settings share its
// entries.
type builder struct {
	*reader
	entries map[use][]*Term
	built   map[string]bool
	copies  int // terms of lists that were built before with other settings
}

// build makes the set of a file. Where the file has faults, what bears one is
// left out, and the set is good for advice only. It is nil where lists unfold to
// too much.
func (r *reader) build(version string) *Set {
	b := &builder{reader: r, entries: map[use][]*Term{}, built: map[string]bool{}}
	base := settings{caseExact: r.defaults.caseFold == exact, accentsExact: r.defaults.accentsFold == exact}
	set := &Set{Version: version, Rules: make([]*Rule, 0, len(r.rules)), Lists: make(map[string][]*Term, len(r.lists))}
	for _, l := range r.listOrder {
		set.Lists[l.name] = b.list(l.name, base)
	}
	for _, s := range r.rules {
		rule := s.rule
		b.term(&rule.Body, &s.body, base)
		set.Rules = append(set.Rules, &rule)
		if b.copies > maxTerms {
			r.fault(s.body.at, "up to this rule, lists are used with so many different options that they unfold to more than %d entries; use them with fewer", maxTerms)
			return nil
		}
	}
	return set
}

func (b *builder) list(name string, o settings) []*Term {
	key := use{name, o}
	if entries, ok := b.entries[key]; ok {
		return entries
	}
	if b.built[name] {
		if b.copies += b.lists[name].summary.own; b.copies > maxTerms {
			return nil
		}
	}
	b.built[name] = true
	entries := b.each(b.lists[name].entries, o)
	b.entries[key] = entries
	return entries
}

func (b *builder) each(specs []*spec, o settings) []*Term {
	if len(specs) == 0 {
		return nil
	}
	terms := make([]*Term, 0, len(specs))
	of := make([]Term, len(specs)) // in one piece, since there may be many
	for i, s := range specs {
		if !s.atFault {
			b.term(&of[i], s, o)
			terms = append(terms, &of[i])
		}
	}
	return terms
}

// term makes t of a spec.
func (b *builder) term(t *Term, s *spec, o settings) {
	o = o.with(s)
	*t = Term{
		Kind: s.kind, Text: s.text,
		CaseExact: o.caseExact, AccentsExact: o.accentsExact,
		Min: max(1, s.min), First: o.first, Last: o.last,
		Line: s.at.line, Column: s.at.col,
	}
	switch s.kind {
	case Group:
		t.Any, t.All, t.None = b.each(s.any, o), b.each(s.all, o), b.each(s.none, o)
	case List:
		t.Entries = b.list(s.text, o)
	}
}
