package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	bobu "github.com/BobuSumisu/aho-corasick"
	petar "github.com/petar-dambovaliev/aho-corasick"

	"autotag/pkg/rules"
	"autotag/pkg/transcript"
)

const (
	perRule = 10 // terms

	// maxRegexps is how many rules are tried as regexps. What more of them
	// would take follows: each is tried on each message.
	maxRegexps = 200
)

// A competitor finds terms in transcripts.
type competitor interface {
	// match says how many of the terms (of regexps: of the rules) are found.
	match(t *transcript.Transcript) int
}

// ours is Set.Match.
type ours struct{ set *rules.Set }

func (o ours) match(t *transcript.Transcript) int {
	n := 0
	for _, h := range o.set.Match(t).Tags {
		n += len(h.Evidence) + h.More
	}
	return n
}

// rulesFile writes the terms as a rules file.
func rulesFile(terms []string) []byte {
	var b strings.Builder
	b.WriteString("version: 1\nrules:\n")
	for i, t := range terms {
		if i%perRule == 0 {
			fmt.Fprintf(&b, "  - tag: tag-%d\n    any:\n", i/perRule)
		}
		fmt.Fprintf(&b, "      - %s\n", strconv.Quote(t))
	}
	return []byte(b.String())
}

// A lookup is what the libraries and the loop share: the folding, and which
// terms have been found in the transcript.
type lookup struct {
	folder *folder
	terms  []foldedTerm
	seen   []uint32 // by term: the round in which it was found last
	round  uint32
	text   []byte
	found  int
}

func newLookup(f *folder, terms []string) lookup {
	l := lookup{folder: f, seen: make([]uint32, len(terms))}
	for _, t := range terms {
		l.terms = append(l.terms, f.term(t))
	}
	return l
}

func (l *lookup) begin() { l.round, l.found = l.round+1, 0 }

func (l *lookup) fold(m *transcript.Message) []byte {
	l.text = l.folder.fold(l.text[:0], m.Texts[0].Text)
	return l.text
}

func (l *lookup) add(term, from, to int) {
	if l.seen[term] != l.round && l.terms[term].stands(l.text, from, to) {
		l.seen[term] = l.round
		l.found++
	}
}

func (l *lookup) patterns() []string {
	patterns := make([]string, len(l.terms))
	for i, t := range l.terms {
		patterns[i] = t.text
	}
	return patterns
}

type petarTrie struct {
	lookup
	trie petar.AhoCorasick
}

func newPetar(f *folder, terms []string, dfa bool) *petarTrie {
	p := &petarTrie{lookup: newLookup(f, terms)}
	builder := petar.NewAhoCorasickBuilder(petar.Opts{MatchKind: petar.StandardMatch, DFA: dfa})
	p.trie = builder.Build(p.patterns())
	return p
}

func (p *petarTrie) match(t *transcript.Transcript) int {
	p.begin()
	for i := range t.Messages {
		iter := p.trie.IterOverlappingByte(p.fold(&t.Messages[i]))
		for m := iter.Next(); m != nil; m = iter.Next() {
			p.add(m.Pattern(), m.Start(), m.End())
		}
	}
	return p.found
}

type bobuTrie struct {
	lookup
	trie *bobu.Trie
}

func newBobu(f *folder, terms []string) *bobuTrie {
	b := &bobuTrie{lookup: newLookup(f, terms)}
	b.trie = bobu.NewTrieBuilder().AddStrings(b.patterns()).Build()
	return b
}

func (b *bobuTrie) match(t *transcript.Transcript) int {
	b.begin()
	for i := range t.Messages {
		b.trie.Walk(b.fold(&t.Messages[i]), func(end, n, pattern int64) bool {
			b.add(int(pattern), int(end-n+1), int(end+1))
			return true
		})
	}
	return b.found
}

// containsLoop looks for each term in turn.
type containsLoop struct{ lookup }

func (c *containsLoop) match(t *transcript.Transcript) int {
	c.begin()
	for i := range t.Messages {
		text := string(c.fold(&t.Messages[i]))
		for j := range c.terms {
			if term := c.terms[j].text; strings.Contains(text, term) {
				for from := 0; ; from++ {
					at := strings.Index(text[from:], term)
					if at < 0 {
						break
					}
					from += at
					c.add(j, from, from+len(term))
				}
			}
		}
	}
	return c.found
}

// regexps is one regular expression per rule, on the text as written. It is
// what one would write by hand: case is ignored, accents are not.
type regexps struct {
	rules []*regexp.Regexp
	of    int // how many there would be
}

func newRegexps(f *folder, terms []string) *regexps {
	r := &regexps{of: (len(terms) + perRule - 1) / perRule}
	for i := 0; i < len(terms) && len(r.rules) < maxRegexps; i += perRule {
		var alternatives []string
		for _, t := range terms[i:min(i+perRule, len(terms))] {
			edges := f.term(t)
			text, wildcard := strings.CutSuffix(t, "*")
			p := strings.ReplaceAll(regexp.QuoteMeta(text), " ", `[\s-]+`)
			if edges.edgeFrom {
				p = `(?:^|[^\pL\pN])` + p
			}
			if !wildcard && edges.edgeTo {
				p += `(?:[^\pL\pN]|$)`
			}
			alternatives = append(alternatives, p)
		}
		r.rules = append(r.rules, regexp.MustCompile("(?i)"+strings.Join(alternatives, "|")))
	}
	return r
}

func (r *regexps) match(t *transcript.Transcript) int {
	n := 0
	for _, re := range r.rules {
		for i := range t.Messages {
			if re.MatchString(t.Messages[i].Texts[0].Text) {
				n++
				break
			}
		}
	}
	return n
}
