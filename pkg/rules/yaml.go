package rules

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	yaml "go.yaml.in/yaml/v3"
)

const (
	maxDepth    = 64      // of nested lists and mappings
	maxUnfolded = 100_000 // nodes that aliases may add to a file
)

var tooDeep = fmt.Sprintf("lists and mappings are nested more than %d deep; write fewer groups within groups", maxDepth)

// document is a file read as YAML: one tree, its structure checked.
type document struct {
	*collector
	root *yaml.Node          // nil when the file cannot be read as YAML
	told map[*yaml.Node]bool // nodes that were reported and may be met again through an alias

	quick quickFolder
}

// load reads a file as YAML and checks what libraries disagree about. The root
// is nil when nothing more can be said about the file than what was reported.
// content says what to write into an empty file.
func load(file string, data []byte, content string) *document {
	if len(data) > MaxFile {
		d := &document{collector: newCollector(&source{file: file, lines: []int{0}})}
		d.fault(place{1, 1}, "the file has more than %d bytes (8 MiB); take words that are not used out of it", MaxFile)
		return d
	}
	src := newSource(file, data)
	d := &document{collector: newCollector(src), told: map[*yaml.Node]bool{}}
	if src.checkBytes(d.collector); d.failed() {
		return d
	}
	text, restore := translateJSON(src.data)
	dec := yaml.NewDecoder(bytes.NewReader(text))
	var doc yaml.Node
	switch err := decode(dec, &doc); {
	case errors.Is(err, io.EOF):
		d.fault(place{1, 1}, "the file is empty; write %s", content)
		return d
	case err != nil:
		d.syntaxFault(dec, err)
		return d
	}
	var second yaml.Node
	switch err := decode(dec, &second); {
	case err == nil:
		d.fault(d.place(&second), "a second document begins here; a file holds one: remove the line ---")
	case !errors.Is(err, io.EOF):
		d.syntaxFault(dec, err)
		return d
	}
	root := doc.Content[0]
	if isNull(root) && root.Value == "" && root.Anchor == "" {
		d.fault(d.place(root), "the file is empty; write %s", content)
		return d
	}
	restore(root)
	if d.structure(root) {
		d.root = root
	}
	return d
}

// decode is dec.Decode with the panics that yaml.v3 is known for (on odd
// comments) made errors.
func decode(dec *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("yaml: %v", r)
		}
	}()
	return dec.Decode(n)
}

// place gives where a node begins in the file.
func (d *document) place(n *yaml.Node) place { return d.src.place(n.Line, n.Column) }

// structure checks the tree itself: depth, tags, keys, aliases. It says
// whether the tree can be walked.
func (d *document) structure(root *yaml.Node) bool {
	ok := true
	var walk func(n *yaml.Node, depth int)
	walk = func(n *yaml.Node, depth int) {
		if depth > maxDepth {
			if ok {
				d.fault(d.place(n), "%s", tooDeep)
			}
			ok = false
			return
		}
		if at := d.place(n); d.isTagged(n) {
			quoted := ""
			if n.Kind == yaml.ScalarNode {
				quoted = ": " + inQuotes(d.word(at))
			}
			d.fault(at, "a text cannot start with ! in YAML (it begins a type tag); put it in quotes%s, or remove the tag", quoted)
		}
		if n.Kind == yaml.MappingNode {
			d.keys(n)
		}
		for _, c := range n.Content {
			walk(c, depth+1)
		}
	}
	walk(root, 0)
	return ok && d.aliases(root)
}

// isTagged says whether n bears a type tag. Of a lone ! only the file knows.
func (d *document) isTagged(n *yaml.Node) bool {
	if n.Style&yaml.TaggedStyle != 0 {
		return true
	}
	if n.Kind == yaml.ScalarNode && n.Value == "" && n.Style == 0 {
		return false // where it stands there may be something else
	}
	at := d.src.offset(d.place(n))
	return at < len(d.src.data) && d.src.data[at] == '!'
}

// keys checks that the keys of a mapping are texts, no merge keys, and each
// there once.
func (d *document) keys(n *yaml.Node) {
	var seen map[string]*yaml.Node
	if len(n.Content) > 2 {
		seen = make(map[string]*yaml.Node, len(n.Content)/2)
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k := n.Content[i]
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		switch {
		case k.Kind != yaml.ScalarNode:
			d.fault(d.place(n.Content[i]), "a key must be a text, not %s; put a text that starts with [ or { in quotes", kindName(k))
		case n.Content[i].Tag == "!!merge":
			d.fault(d.place(k), "merge keys (<<) are not supported; write the keys out, or put words that several rules share under lists:")
		default:
			if first := seen[k.Value]; first != nil {
				d.fault(d.place(n.Content[i]), "key %s is already there in line %d; write it once", quote(k.Value), d.place(first).line)
				continue
			}
			if seen != nil {
				seen[k.Value] = n.Content[i]
			}
		}
	}
}

// aliases checks that no alias lies within what it stands for, and that
// aliases do not blow the file up.
func (d *document) aliases(root *yaml.Node) bool {
	type extent struct{ nodes, depth int } // with aliases replaced by what they stand for
	var (
		anchored = map[*yaml.Node]extent{}
		open     = map[*yaml.Node]bool{}
		unfolded int
		ok       = true
	)
	fail := func(n *yaml.Node, format string, args ...any) extent {
		if ok {
			d.fault(d.place(n), format, args...)
		}
		ok = false
		return extent{}
	}
	var measure func(n *yaml.Node) extent
	measure = func(n *yaml.Node) extent {
		if n.Kind == yaml.AliasNode {
			if open[n.Alias] {
				return fail(n, "alias *%s lies within the part that it stands for, and so has no end; write there what is meant", n.Value)
			}
			// An anchor comes before its aliases, so it is measured.
			e := anchored[n.Alias]
			if unfolded += e.nodes; unfolded > maxUnfolded {
				return fail(n, "the aliases stand for more than %d values; put words that several rules share under lists:", maxUnfolded)
			}
			return e
		}
		if n.Anchor != "" {
			open[n] = true
		}
		e := extent{nodes: 1}
		for _, c := range n.Content {
			inner := measure(c)
			e.nodes += inner.nodes
			if e.depth = max(e.depth, inner.depth+1); e.depth > maxDepth {
				fail(c, "%s", tooDeep)
			}
			if !ok {
				return e
			}
		}
		if n.Anchor != "" {
			anchored[n], open[n] = e, false
		}
		return e
	}
	measure(root)
	return ok
}

// resolve follows an alias.
func resolve(n *yaml.Node) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping (key: value)"
	case yaml.SequenceNode:
		return "a list"
	}
	return "a text"
}

// syntaxFault reports why YAML cannot read the file.
func (d *document) syntaxFault(dec *yaml.Decoder, err error) {
	message := strings.TrimPrefix(err.Error(), "yaml: ")
	var line int
	if n, _ := fmt.Sscanf(message, "line %d: ", &line); n == 1 {
		_, message, _ = strings.Cut(message, ": ")
	}
	at, context := d.src.place(line, 1), d.src.place(line, 1)
	if p, c, ok := marks(dec); ok {
		at, context = d.src.place(p.line, p.col), d.src.place(c.line, c.col)
	}
	at, text := d.explain(message, at, context)
	d.fault(at, "%s", text)
}

// explain puts a syntax error of yaml.v3 into words for the people who write
// rules: what is wrong at which place, and what to write instead. The problem
// is noticed at at; context is where the part began that it is in.
func (d *document) explain(message string, at, context place) (place, string) {
	rest := d.src.after(at)
	first, _ := utf8.DecodeRuneInString(rest)
	is := func(s string) bool { return strings.HasPrefix(message, s) }
	switch {
	case is("unknown anchor "):
		name := strings.TrimSuffix(strings.TrimPrefix(message, "unknown anchor '"), "' referenced")
		return at, fmt.Sprintf("a text cannot start with * in YAML (it makes *%s an alias, and nothing is named &%s); put it in quotes: %s", name, name, inQuotes(d.word(at)))
	case is("did not find expected alphabetic or numeric character"), is("did not find expected digit or"):
		sign, _ := utf8.DecodeRuneInString(d.src.after(context))
		return context, fmt.Sprintf("a text cannot start with %c in YAML; put it in quotes: %s", sign, inQuotes(d.word(context)))
	case is("found character that cannot start any token") && first == '\t',
		is("found a tab character"):
		return at, "YAML does not allow a tab here; indent with blanks"
	case is("found character that cannot start any token"):
		return at, fmt.Sprintf("a text cannot start with %c in YAML; put it in quotes: %s", first, inQuotes(d.word(at)))
	case is("found unknown directive name"), is("could not find expected directive name"), is("found unexpected non-alphabetical character"),
		is("found incompatible YAML document"), is("found duplicate %"), is("did not find expected version number"), is("found extremely long version number"):
		return context, "a line that starts with % is an instruction to YAML; remove it, or put the text in quotes"
	case is("mapping values are not allowed in this context"):
		if here, text, ok := d.glued(at.line - 1); ok {
			return here, text
		}
		return at, `": " ends a key, and there cannot be one here; put a text that has it in quotes, or check the indentation`
	case is("block sequence entries are not allowed in this context"):
		return at, `"- " begins an entry of a list, and there cannot be one here; start the list on a line of its own, or put the text in quotes`
	case is("mapping keys are not allowed in this context"):
		return at, `"? " begins a key in YAML; put the text in quotes`
	case is("found unknown escape character"):
		return at, `\ begins an escape in double quotes, and this one is unknown; write \\ or use single quotes: '...'`
	case is("found invalid Unicode character escape code"):
		return at, "this escape is half a character (a surrogate without its partner); write the character itself"
	case is("did not find expected hexdecimal number"):
		return at, `this escape lacks hexadecimal digits; write \\ for a backslash, or use single quotes: '...'`
	case is("found unexpected end of stream"), is("found unexpected document indicator"):
		return context, "this quote is never closed; close it, or put the whole text in the other kind of quotes"
	case is("did not find expected comment or line break"):
		sign, _ := utf8.DecodeRuneInString(d.src.after(context))
		return context, fmt.Sprintf("a text cannot start with %c in YAML; put it in quotes: %s", sign, inQuotes(d.word(context)))
	case is("did not find expected ',' or"):
		return d.explainOpen(message, at, context)
	case is("did not find expected node content"):
		if here, sign, ok := d.unread(place{d.src.clamp(at).line, 1}, at); ok {
			return here, d.unreadFault(here, sign, "the bracket is not closed")
		}
		return at, "a value is missing here; remove the extra sign, or put the text in quotes"
	case is("did not find expected '-' indicator"), is("did not find expected key"):
		return d.explainBlock(at, context, is("did not find expected key"))
	case is("could not find expected ':'"):
		if here, text, ok := d.glued(context.line); ok {
			return here, text
		}
		return context, "this line is neither a key: nor an entry of a list; check its indentation, write a colon and a blank after a key"
	case is("did not find expected <document start>"):
		return at, "the file should have ended here; check the indentation of this line"
	case is("exceeded max depth"):
		return at, tooDeep
	case is("found undefined tag handle"), is("did not find expected whitespace"), is("did not find URI escaped octet"),
		is("found an incorrect"), is("did not find expected tag URI"), is("did not find expected '!'"), is("did not find the expected '>'"):
		return context, d.unreadFault(context, '!', "")
	}
	return at, "YAML cannot read this: " + message + "; put the text in quotes, or check the indentation of this line and of the one above"
}

// explainOpen is for a list or mapping in brackets that does not go on as it
// should.
func (d *document) explainOpen(message string, at, context place) (place, string) {
	bracket := message[len("did not find expected ',' or '"):][:1]
	if here, sign, ok := d.unread(context, at); ok {
		return here, d.unreadFault(here, sign, fmt.Sprintf("the %s is missing", bracket))
	}
	if quoteBefore(d.src.before(at)) {
		return at, "a text goes on after its closing quote; put the whole text in quotes of the other kind, or write a comma"
	}
	if strings.TrimSpace(d.src.after(at)) == "" {
		return context, fmt.Sprintf("this bracket is never closed; write a %s at its end", bracket)
	}
	if at.line > context.line {
		return at, fmt.Sprintf("the bracket that opens in line %d is not closed up to here, where a comma or a %s should be; if this is part of a text, put the text in quotes", context.line, bracket)
	}
	return at, fmt.Sprintf("here should be a comma or a %s; if this is part of a text, put the text in quotes", bracket)
}

// unread looks between two places within brackets for a text that YAML does not
// read as one: it starts with !, or goes on after a # that begins a comment and
// was probably meant as text, as no blank follows it or the comment has a bracket.
func (d *document) unread(from, to place) (at place, sign rune, ok bool) {
	var quote rune // that is open
	escaped := false
	for line := from.line; line <= min(to.line, len(d.src.lines)); line++ {
		text := string(d.src.line(line))
		item := 0 // column at which a text began; 0: none has yet
		bare := false
		last, column := ' ', 0
	chars:
		for i, r := range text {
			column++
			here := place{line, column}
			if here.compare(to) >= 0 {
				break
			}
			before := last
			last = r
			switch {
			case here.compare(from) < 0:
			case quote != 0:
				if r == quote && !escaped {
					quote = 0
				}
				escaped = r == '\\' && quote == '"' && !escaped
			case r == ' ', r == '\t':
				if before == ':' {
					item = 0
				}
			case r == '[', r == '{', r == ',':
				item = 0
			case r == '#' && strings.ContainsRune(" \t[{,", before) && i > 0:
				comment := text[i+1:]
				if comment == "" || strings.ContainsRune(" \t#", rune(comment[0])) && !strings.ContainsAny(comment, "]}") {
					break chars
				}
				if item > 0 && bare {
					here.col = item
				}
				return here, '#', true
			case item > 0:
				if r == '\'' && before == '\'' && !bare {
					quote = r // a pair of them is one within single quotes
				}
			case r == '!':
				return here, '!', true
			default:
				item, bare = column, true
				if r == '"' || r == '\'' {
					quote, bare = r, false
				}
			}
		}
	}
	return place{}, 0, false
}

// unreadFault says what is wrong with a text that unread gave; without says what
// is missing where it is a comment.
func (d *document) unreadFault(at place, sign rune, without string) string {
	if sign == '!' {
		return "a text cannot start with ! in YAML (it begins a type tag); put it in quotes: " + inQuotes(d.word(at))
	}
	return fmt.Sprintf("what follows # is a comment to YAML, so %s; put the text in quotes: %s", without, inQuotes(d.word(at)))
}

// gluedKey matches a key with a value and no blank between them.
var gluedKey = regexp.MustCompile(`^[ \t]*(?:- +)*(([a-z_]+):([^ \t/].*))$`)

// glued looks for a key without a blank after its colon in a line, and says
// what to write.
func (d *document) glued(line int) (at place, text string, ok bool) {
	if line < 1 || line > len(d.src.lines) {
		return place{}, "", false
	}
	source := string(d.src.line(line))
	m := gluedKey.FindStringSubmatchIndex(source)
	if m == nil {
		return place{}, "", false
	}
	key, value := source[m[4]:m[5]], strings.TrimSpace(source[m[6]:m[7]])
	if !slices.Contains(slices.Concat(fileKeys, defaultsKeys, ruleKeys, termKeys, testFileKeys, caseKeys, messageKeys), key) {
		return place{}, "", false
	}
	at = place{line, utf8.RuneCountInString(source[:m[2]]) + 1}
	return at, "a key ends with a colon and a blank; write " + inQuotes(key+": "+value), true
}

// explainBlock is for a list or mapping by lines that does not go on as it
// should.
func (d *document) explainBlock(at, context place, mapping bool) (place, string) {
	before := d.src.before(at)
	switch {
	case quoteBefore(before):
		return at, "a text goes on after its closing quote; put the whole text in quotes of the other kind"
	case strings.HasSuffix(strings.TrimSpace(before), "]"), strings.HasSuffix(strings.TrimSpace(before), "}"):
		return at, "a text goes on after its closing bracket; put the whole text in quotes"
	case mapping:
		return at, fmt.Sprintf("here should be a key of the mapping that begins in line %d; indent it like the keys above", context.line)
	}
	return at, fmt.Sprintf(`here should be "- ", the next entry of the list that begins in line %d; check the indentation`, context.line)
}

func quoteBefore(before string) bool {
	before = strings.TrimRight(before, " \t")
	return strings.HasSuffix(before, `"`) || strings.HasSuffix(before, "'")
}

// word gives the text at a place as far as it would go were it in quotes: to
// the end of the line, or to a comma or bracket where it is within brackets.
func (d *document) word(at place) string {
	text := d.src.after(at)
	if before := d.src.before(at); strings.LastIndexAny(before, "[{") > strings.LastIndexAny(before, "]}") {
		if end := strings.IndexAny(text, ",]}"); end >= 0 {
			text = text[:end]
		}
	} else if end := strings.Index(text, " #"); end >= 0 {
		text = text[:end]
	}
	return strings.TrimSpace(text)
}

// inQuotes writes a text as YAML would take it.
func inQuotes(s string) string {
	const most = 60
	if utf8.RuneCountInString(s) > most {
		s = string([]rune(s)[:most]) + "…"
	}
	s = strings.Map(printable, s)
	if strings.ContainsAny(s, `"\`) {
		return "'" + strings.ReplaceAll(s, "'", "''") + "'"
	}
	return `"` + s + `"`
}

// marks reads from the decoder where its parser noticed the problem, and where
// the part began that the problem is in. yaml.v3 keeps both but puts only a
// line into its errors, often of the wrong one of the two, or none.
func marks(dec *yaml.Decoder) (problem, context place, ok bool) {
	defer func() {
		if recover() != nil {
			ok = false
		}
	}()
	reader := reflect.ValueOf(dec).Elem().FieldByName("parser").Elem()
	parser, event := reader.FieldByName("parser"), reader.FieldByName("event")
	read := func(m reflect.Value) place {
		return place{int(m.FieldByName("line").Int()) + 1, int(m.FieldByName("column").Int()) + 1}
	}
	if parser.FieldByName("error").Int() == 0 {
		// Not the parser complains but the reader of its events: an alias.
		at := read(event.FieldByName("start_mark"))
		return at, at, true
	}
	return read(parser.FieldByName("problem_mark")), read(parser.FieldByName("context_mark")), true
}
