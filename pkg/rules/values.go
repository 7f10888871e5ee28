package rules

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	yaml "go.yaml.in/yaml/v3"
)

// field is a key of a mapping with its value.
type field struct {
	key, value *yaml.Node
}

// mapping is a mapping with its known keys.
type mapping struct {
	fields  map[string]field
	unknown int             // keys that were reported
	meant   map[string]bool // known keys that unknown ones were probably meant to be
}

// lacks says whether a key is missing. It is not held against a mapping that
// the key is misspelled or behind a merge key, which was reported.
func (m mapping) lacks(key string) bool {
	_, ok := m.fields[key]
	return !ok && !m.meant[key] && !m.meant["<<"]
}

func (m *mapping) mean(key string) {
	if m.meant == nil {
		m.meant = map[string]bool{}
	}
	m.meant[key] = true
}

// read reads the keys of a mapping. Unknown ones are reported with a near
// spelling or the hint.
func (d *document) read(n *yaml.Node, keys []string, hint func(f field) string) mapping {
	m := mapping{fields: make(map[string]field, len(n.Content)/2)}
	for i := 0; i+1 < len(n.Content); i += 2 {
		f := field{n.Content[i], resolve(n.Content[i+1])}
		k := resolve(f.key)
		if k.Kind != yaml.ScalarNode || f.key.Tag == "!!merge" {
			m.unknown++
			m.mean("<<")
			continue // reported with the structure
		}
		if _, twice := m.fields[k.Value]; twice {
			continue
		}
		if !slices.Contains(keys, k.Value) {
			m.unknown++
			if near := d.nearest(k.Value, keys); near != "" {
				m.mean(near)
			}
			d.faults++
			if !d.told[f.key] {
				d.told[f.key] = true
				d.fault(d.place(f.key), "unknown key %s%s", quote(k.Value), d.didYouMean(k.Value, keys, hint(f)))
			}
			continue
		}
		m.fields[k.Value] = f
	}
	return m
}

// first gives the place of a mapping's first key.
func (d *document) first(n *yaml.Node) place {
	if len(n.Content) > 0 {
		n = n.Content[0]
	}
	return d.place(n)
}

func oneOf(what string, keys []string) func(field) string {
	return func(field) string { return fmt.Sprintf("; %s may have %s", what, enumerate(keys, "and")) }
}

// isMapping says whether n is a mapping, and reports it otherwise. example says
// what to write.
func (d *document) isMapping(n *yaml.Node, what, example string) bool {
	switch {
	case d.mistagged(n):
		return false
	case isNull(n):
		d.nullFault(n, what)
		return false
	case n.Kind != yaml.MappingNode:
		d.fault(d.place(n), "%s must be a mapping (key: value), not %s; write %s", what, kindName(n), example)
		return false
	}
	return true
}

// items gives the entries of a list that must not be empty.
func (d *document) items(n *yaml.Node, what, example string) []*yaml.Node {
	switch {
	case d.mistagged(n):
		return nil
	case isNull(n):
		d.nullFault(n, what)
		return nil
	case n.Kind != yaml.SequenceNode:
		hint := fmt.Sprintf("write %s: [%s]", what, example)
		switch {
		case n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle != 0:
			hint = "put [ ] around it"
		case n.Kind == yaml.MappingNode, n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
			hint = `begin each entry with "- "`
		case n.Style == 0 && len(n.Value) > 1 && n.Value[0] == '-' && strings.TrimSpace(d.src.before(d.place(n))) == "":
			entry, _, _ := strings.Cut(n.Value[1:], " -")
			hint = "write a blank after each dash: - " + inFlow(strings.TrimSpace(entry))
		case n.Value != "" && !strings.HasPrefix(example, "{"):
			hint = fmt.Sprintf("write %s: [%s]", what, inFlowList(n))
		}
		d.fault(d.place(n), "%s wants a list, not %s; %s", what, kindName(n), hint)
		return nil
	case len(n.Content) == 0:
		d.fault(d.place(n), "%s is empty; write at least one entry, or remove it", what)
		return nil
	}
	return n.Content
}

// inFlowList writes what stands in place of a list as its entries, which commas
// part unless it is in quotes.
func inFlowList(n *yaml.Node) string {
	const most = 5
	var entries []string
	if n.Style == 0 {
		for part := range strings.SplitSeq(n.Value, ", ") {
			if part = strings.Trim(part, " ,"); part == "" {
				continue
			}
			if len(entries) == most {
				entries = append(entries, "...")
				break
			}
			entries = append(entries, inFlow(part))
		}
	}
	if len(entries) == 0 {
		return inFlow(n.Value)
	}
	return strings.Join(entries, ", ")
}

// inFlow writes a text as an entry of a list in brackets.
func inFlow(s string) string {
	plain := s != "" && strings.IndexFunc(s, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '_' && r != '-' }) < 0
	if plain && s[0] != '-' && len(s) < 60 {
		return s
	}
	return inQuotes(s)
}

// mistagged says whether n bears a type tag that was reported.
func (d *document) mistagged(n *yaml.Node) bool {
	return n.Style&yaml.TaggedStyle != 0
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }

// nullFault reports a value that is nothing to YAML, and why it is.
func (d *document) nullFault(n *yaml.Node, what string) {
	d.faults++
	if d.told[n] {
		return
	}
	d.told[n] = true
	at := d.place(n)
	rest := d.src.after(at)
	if strings.HasPrefix(rest, "&") {
		d.fault(at, "a text cannot start with & in YAML (it begins an anchor); put it in quotes: %s", inQuotes(d.word(at)))
		return
	}
	if n.Value != "" {
		d.fault(at, "%s is %s, which means nothing to YAML; write a value, or put it in quotes if it is a word", what, n.Value)
		return
	}
	blanks := len(rest) - len(strings.TrimLeft(rest, " \t"))
	if sign := rest[blanks:]; len(sign) > 1 && sign[0] == '#' && sign[1] != ' ' && sign[1] != '\t' && sign[1] != '#' {
		at.col += blanks
		d.fault(at, "what follows # is a comment to YAML, so %s is empty; put it in quotes: %s", what, inQuotes(d.word(at)))
		return
	}
	d.fault(at, "%s is empty; write a value there", what)
}

// scalar gives a scalar as it is written. what names it, kind says what it
// must be, hint what to write in place of a list or a mapping.
func (d *document) scalar(n *yaml.Node, what, kind, hint string) (string, bool) {
	switch {
	case d.mistagged(n):
		return "", false
	case isNull(n):
		d.nullFault(n, what)
		return "", false
	case n.Kind != yaml.ScalarNode:
		d.fault(d.place(n), "%s must be %s, not %s%s", what, kind, kindName(n), hint)
		return "", false
	}
	return n.Value, true
}

// text gives a text as it is written.
func (d *document) text(n *yaml.Node, what string) (string, bool) {
	hint := ""
	switch {
	case what == "tag" && n.Kind == yaml.SequenceNode:
		hint = "; write one rule for each tag"
	case n.Style&yaml.FlowStyle != 0 && n.Kind == yaml.SequenceNode:
		hint = "; write one for each entry, or put a text that starts with [ in quotes"
	case n.Style&yaml.FlowStyle != 0:
		hint = "; put a text that starts with { in quotes"
	case n.Kind == yaml.MappingNode:
		hint = `; put a text that has ": " in it in quotes`
	}
	s, ok := d.scalar(n, what, "one text", hint)
	if !ok {
		return "", false
	}
	if c := n.LineComment; n.Style == 0 && len(c) > 1 && c[1] >= '0' && c[1] <= '9' {
		d.warn(d.place(n), "%s is a comment to YAML and no part of this text; if it should be, put the text in quotes: %s", quote(c), inQuotes(s+" "+c))
	}
	return s, true
}

// bool reads true or false.
func (d *document) bool(n *yaml.Node, what string) bool {
	s, ok := d.scalar(n, what, "true or false", "")
	if !ok {
		return false
	}
	switch plain := n.Style == 0; {
	case plain && (s == "true" || s == "True" || s == "TRUE"):
		return true
	case plain && (s == "false" || s == "False" || s == "FALSE"):
		return false
	}
	d.fault(d.place(n), "%s cannot be %s; write true or false, without quotes", what, quote(s))
	return false
}

// number reads a whole number from least on; ok is false when it is none.
func (d *document) number(n *yaml.Node, what string, least int) (number int, ok bool) {
	const most = 1_000_000_000
	s, ok := d.scalar(n, what, "a whole number", "")
	if !ok {
		return 0, false
	}
	number, err := strconv.Atoi(s)
	if n.Style != 0 || err != nil || strconv.Itoa(number) != s || number < least || number > most {
		d.fault(d.place(n), "%s cannot be %s; write a whole number from %d on, without quotes", what, quote(s), least)
		return 0, false
	}
	return number, true
}

// choice reads one of a few values.
func (d *document) choice(n *yaml.Node, what string, values []string) (string, bool) {
	s, ok := d.scalar(n, what, enumerate(values, "or"), "")
	if !ok {
		return "", false
	}
	if !slices.Contains(values, s) {
		d.fault(d.place(n), "%s cannot be %s%s", what, quote(s), d.didYouMean(s, values, "; write "+enumerate(values, "or")))
		return "", false
	}
	return s, true
}

// label reads a tag or a name: not empty, one line, no blanks around it.
func (d *document) label(n *yaml.Node, what string) (string, bool) {
	s, ok := d.text(n, what)
	if !ok {
		return "", false
	}
	trimmed := strings.TrimSpace(s)
	switch {
	case trimmed == "" || d.isBlank(s):
		d.fault(d.place(n), "%s is empty; write at least one letter", what)
	case strings.ContainsAny(trimmed, "\n\r\u0085\u2028\u2029"):
		d.fault(d.place(n), "%s has a line break in it; write it in one line", what)
	case trimmed != s:
		d.fault(d.place(n), "%s has blanks around it; write %s", what, inQuotes(trimmed))
	default:
		return s, true
	}
	return "", false
}

// labels reads a list of tags.
func (d *document) labels(n *yaml.Node, what, one string) []string {
	var all []string
	for _, item := range d.items(n, what, "vip") {
		if s, ok := d.label(resolve(item), one); ok {
			all = append(all, s)
		}
	}
	return all
}
