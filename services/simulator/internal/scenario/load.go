package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Load reads every .yaml and .yml file of a folder tree, sorted by path. An
// unknown key, a wrong type or a value that makes no sense is an error with file
// and line; all errors of all files are reported.
func Load(fsys fs.FS) ([]Scenario, error) {
	var out []Scenario
	var errs []error
	err := fs.WalkDir(fsys, ".", func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ext := path.Ext(file); d.IsDir() || ext != ".yaml" && ext != ".yml" {
			return nil
		}
		text, err := fs.ReadFile(fsys, file)
		if err != nil {
			return err
		}
		s, err := Parse(file, text)
		if err != nil {
			errs = append(errs, err)
			return nil
		}
		out = append(out, s)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load scenarios: %w", err)
	}
	return out, errors.Join(errs...)
}

// Parse reads one file.
func Parse(file string, text []byte) (Scenario, error) {
	s := Scenario{Name: strings.TrimSuffix(path.Base(file), path.Ext(file))}
	r := &reader{file: file}
	d := yaml.NewDecoder(bytes.NewReader(text))
	var doc, second yaml.Node
	if err := d.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return s, fmt.Errorf("%s: the file is empty", file)
		}
		return s, fmt.Errorf("%s: %s", file, strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if err := d.Decode(&second); !errors.Is(err, io.EOF) {
		return s, fmt.Errorf("%s: only one document is allowed", file)
	}
	r.scenario(doc.Content[0], &s)
	return s, errors.Join(r.errs...)
}

// reader walks the nodes of a file and collects what is wrong with them.
type reader struct {
	file string
	errs []error
}

func (r *reader) fail(n *yaml.Node, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s:%d:%d: %s", r.file, n.Line, n.Column, fmt.Sprintf(format, args...)))
}

// keys calls read for every key of a mapping; an unknown or repeated key is an
// error.
func (r *reader) keys(n *yaml.Node, what string, known map[string]func(*yaml.Node)) {
	if n.Kind == yaml.AliasNode {
		r.fail(n, "aliases are not used in scenarios")
		return
	}
	if n.Kind != yaml.MappingNode {
		r.fail(n, "%s must be a list of keys and values", what)
		return
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		read := known[key.Value]
		switch {
		case read == nil:
			r.fail(key, "unknown key %q in %s", key.Value, what)
		case seen[key.Value]:
			r.fail(key, "key %q stands here twice", key.Value)
		default:
			read(value)
		}
		seen[key.Value] = true
	}
}

func (r *reader) list(n *yaml.Node, what string, each func(*yaml.Node)) {
	if n.Kind != yaml.SequenceNode {
		r.fail(n, "%s must be a list", what)
		return
	}
	for _, item := range n.Content {
		each(item)
	}
}

// text takes a scalar as it is written: 404 and yes are words.
func (r *reader) text(into *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
			r.fail(n, "must be a text")
			return
		}
		*into = n.Value
	}
}

func (r *reader) texts(what string, into *[]string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		*into = []string{}
		r.list(n, what, func(item *yaml.Node) {
			var s string
			r.text(&s)(item)
			*into = append(*into, s)
		})
	}
}

func (r *reader) flag(into *bool) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Decode(into) != nil {
			r.fail(n, "must be true or false")
		}
	}
}

func (r *reader) number(least int, into *int) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if n.Decode(into) != nil || *into < least {
			r.fail(n, "must be a number, at least %d", least)
		}
	}
}

func (r *reader) duration(into *time.Duration) func(*yaml.Node) {
	return func(n *yaml.Node) {
		d, err := time.ParseDuration(n.Value)
		if err != nil || d < 0 {
			r.fail(n, "must be a time such as 300ms or 2s")
		}
		*into = d
	}
}

func (r *reader) percent(into *int) func(*yaml.Node) {
	return func(n *yaml.Node) {
		text, found := strings.CutSuffix(n.Value, "%")
		p, err := strconv.Atoi(text)
		if !found || err != nil || p < 0 || p > 100 {
			r.fail(n, "must be a share such as 20%%")
		}
		*into = p
	}
}

func (r *reader) numbers(what string, into *[]int) func(*yaml.Node) {
	return func(n *yaml.Node) {
		*into = []int{}
		r.list(n, what, func(item *yaml.Node) {
			var g int
			r.number(0, &g)(item)
			*into = append(*into, g)
		})
	}
}

func (r *reader) oneOf(into *string, values ...string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if !slices.Contains(values, n.Value) {
			r.fail(n, "must be one of: %s", strings.Join(values, ", "))
		}
		*into = n.Value
	}
}

func (r *reader) scenario(n *yaml.Node, s *Scenario) {
	r.keys(n, "a scenario", map[string]func(*yaml.Node){
		"note": r.text(&s.Note),
		"tags": func(n *yaml.Node) {
			r.list(n, "tags", func(n *yaml.Node) { r.tag(n, s) })
		},
		"chats": func(n *yaml.Node) {
			r.list(n, "chats", func(n *yaml.Node) { s.Chats = append(s.Chats, r.chat(n)) })
		},
	})
	if len(s.Chats) == 0 && len(r.errs) == 0 {
		r.fail(n, "chats is missing or empty")
	}
	names := map[string]bool{}
	for _, c := range s.Chats {
		if names[c.Name] {
			r.fail(n, "two chats have the name %q", c.Name)
		}
		names[c.Name] = true
	}
}

// tag reads a tag's name, or its name and groups.
func (r *reader) tag(n *yaml.Node, s *Scenario) {
	var name string
	if n.Kind == yaml.ScalarNode {
		r.text(&name)(n)
		s.Tags = append(s.Tags, name)
		return
	}
	var groups []int
	r.keys(n, "a tag", map[string]func(*yaml.Node){"name": r.text(&name), "groups": r.numbers("groups", &groups)})
	if name == "" || groups == nil {
		r.fail(n, "a tag has a name and groups, or is a name alone")
		return
	}
	if s.TagGroups == nil {
		s.TagGroups = map[string][]int{}
	}
	s.Tags, s.TagGroups[name] = append(s.Tags, name), groups
}

func (r *reader) chat(n *yaml.Node) Chat {
	c := Chat{Groups: []int{0}, Starts: StartsOpen, OpensWith: 1, Pace: 100 * time.Millisecond, Repeat: 1, Seed: 1}
	var single Thread
	var seed int
	var order string
	var says, expect, threads *yaml.Node
	r.keys(n, "a chat", map[string]func(*yaml.Node){
		"name":     r.text(&c.Name),
		"customer": r.text(&c.Customer),
		"groups":   r.numbers("groups", &c.Groups),
		"webhooks": func(n *yaml.Node) {
			var v string
			r.oneOf(&v, "v3.2", "v3.3", "v3.4", "v3.5", "v3.6", "v3.7")(n)
			c.Webhooks = strings.TrimPrefix(v, "v")
		},
		"restricted": r.flag(&c.Restricted),
		"starts":     r.oneOf(&c.Starts, StartsOpen, StartsQueued, StartsOffline),
		"opens_with": r.number(0, &c.OpensWith),
		"pace":       r.duration(&c.Pace),
		"repeat":     r.number(1, &c.Repeat),
		"order": func(n *yaml.Node) {
			r.oneOf(&order, string(AsSent), string(Shuffled), string(EndFirst), string(Reversed), string(AllAtOnce))(n)
			c.Order = Order(order)
		},
		"seed": func(n *yaml.Node) {
			r.number(0, &seed)(n)
			c.Seed = uint64(seed)
		},
		"copies": r.number(1, &c.Copies),
		"lose":   r.percent(&c.Lose),
		"delay":  r.duration(&c.Delay),
		"api": func(n *yaml.Node) {
			r.list(n, "api", func(n *yaml.Node) {
				var answer string
				r.oneOf(&answer, apiAnswers()...)(n)
				c.API = append(c.API, answer)
			})
		},
		"says":   func(n *yaml.Node) { says = n; r.steps(n, &single) },
		"expect": func(n *yaml.Node) { expect = n; r.texts("expect", &single.Expect)(n) },
		"threads": func(n *yaml.Node) {
			threads = n
			r.list(n, "threads", func(n *yaml.Node) { c.Threads = append(c.Threads, r.thread(n)) })
		},
	})
	switch {
	case c.Name == "":
		r.fail(n, "a chat needs a name")
	case threads != nil && (says != nil || expect != nil):
		r.fail(threads, "a chat has either threads, or says and expect")
	case threads == nil:
		r.needs(n, says, expect)
		c.Threads = []Thread{single}
	case len(c.Threads) == 0:
		r.fail(threads, "threads is empty")
	}
	r.check(n, &c)
	return c
}

func (r *reader) needs(n, says, expect *yaml.Node) {
	if says == nil {
		r.fail(n, "says is missing: who says what")
	}
	if expect == nil {
		r.fail(n, "expect is missing: the tags in the end, [] for none")
	}
}

func (r *reader) thread(n *yaml.Node) Thread {
	var t Thread
	var says, expect *yaml.Node
	r.keys(n, "a thread", map[string]func(*yaml.Node){
		"says":   func(n *yaml.Node) { says = n; r.steps(n, &t) },
		"expect": func(n *yaml.Node) { expect = n; r.texts("expect", &t.Expect)(n) },
	})
	r.needs(n, says, expect)
	return t
}

func (r *reader) steps(n *yaml.Node, t *Thread) {
	r.list(n, "says", func(n *yaml.Node) { t.Says = append(t.Says, r.step(n)) })
}

// stepWords are the keys that say what a step is.
var stepWords = []string{
	"customer", "agent", "bot", "edit", "delete", "translate", "person_tags", "person_removes", "transfer",
	"joins", "leaves", "rates", "summary", "webhook", "until_tagged", "end",
}

// action takes what may be the name of a webhook's action.
func (r *reader) action(into *string) func(*yaml.Node) {
	return func(n *yaml.Node) {
		if r.text(into)(n); *into == "" || strings.Trim(*into, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
			r.fail(n, "must be the name of an action: small letters, digits and _")
		}
	}
}

func (r *reader) step(n *yaml.Node) Step {
	s := Step{Line: n.Line, After: -1}
	var what []string
	// begin marks the key that says what the step is; there must be one.
	begin := func(kind Kind, key string, read func(*yaml.Node)) func(*yaml.Node) {
		return func(n *yaml.Node) {
			s.Kind = kind
			what = append(what, key)
			read(n)
		}
	}
	says := func(author string) func(*yaml.Node) {
		return begin(Says, author, func(n *yaml.Node) { s.Author = author; r.said(n, &s) })
	}
	var to *yaml.Node
	r.keys(n, "a step", map[string]func(*yaml.Node){
		"customer":       says("customer"),
		"agent":          says("agent"),
		"bot":            says("bot"),
		"edit":           begin(Edit, "edit", r.text(&s.Of)),
		"delete":         begin(Delete, "delete", r.text(&s.Of)),
		"translate":      begin(Translate, "translate", r.text(&s.Of)),
		"person_tags":    begin(PersonTags, "person_tags", r.text(&s.Tag)),
		"person_removes": begin(PersonRemoves, "person_removes", r.text(&s.Tag)),
		"transfer":       begin(Transfer, "transfer", r.numbers("transfer", &s.Groups)),
		"joins":          begin(Joins, "joins", r.oneOf(&s.Author, "agent", "bot")),
		"leaves":         begin(Leaves, "leaves", r.oneOf(&s.Author, "agent", "bot")),
		"rates":          begin(Rates, "rates", r.text(&s.Text)),
		"summary":        begin(Summary, "summary", r.text(&s.Text)),
		"webhook":        begin(Unknown, "webhook", r.action(&s.Action)),
		"until_tagged":   begin(UntilTagged, "until_tagged", r.texts("until_tagged", &s.Tags)),
		"end":            begin(End, "end", r.oneOf(&s.Author, "customer", "agent", "router")),
		"to":             func(n *yaml.Node) { to = n; r.text(&s.Text)(n) },
		"as":             r.text(&s.As),
		"after":          r.duration(&s.After),
		"arrives":        func(n *yaml.Node) { r.arrives(n, &s.Arrives) },
		"internal":       r.flag(&s.Internal),
		"markdown":       r.flag(&s.Markdown),
		"greeting":       r.flag(&s.Greeting),
	})
	switch {
	case len(what) == 0:
		r.fail(n, "a step needs one of: %s", strings.Join(stepWords, ", "))
	case len(what) > 1:
		r.fail(n, "a step is either %s", strings.Join(what, " or "))
	case (s.Kind == Edit || s.Kind == Translate) != (to != nil):
		r.fail(n, "edit and translate need a text in `to`, other steps have none")
	case s.Kind != Says && (s.As != "" || s.Internal || s.Markdown || s.Greeting):
		r.fail(n, "as, internal, markdown and greeting belong to what somebody says")
	case s.Author == "customer" && (s.Internal || s.Greeting):
		r.fail(n, "a customer writes neither internal messages nor greetings")
	}
	return s
}

// said reads what somebody says: a text, or a form or buttons.
func (r *reader) said(n *yaml.Node, s *Step) {
	if n.Kind == yaml.ScalarNode {
		r.text(&s.Text)(n)
		return
	}
	answers := func(into *[]Answer) func(*yaml.Node) {
		return func(n *yaml.Node) { r.answers(n, into) }
	}
	r.keys(n, "what is said", map[string]func(*yaml.Node){
		"form":    answers(&s.Form),
		"asks":    answers(&s.Asks),
		"buttons": r.texts("buttons", &s.Buttons),
		"button":  r.text(&s.Button),
		"file":    r.text(&s.File),
	})
	given := 0
	for _, there := range []bool{s.Form != nil, s.Asks != nil, s.Buttons != nil, s.Button != "", s.File != ""} {
		if there {
			given++
		}
	}
	customers := s.Form != nil || s.Button != ""
	switch {
	case given != 1:
		r.fail(n, "must be a text or one of: form, asks, buttons, button, file")
	case s.File == "" && customers != (s.Author == "customer"):
		r.fail(n, "customers fill forms and press buttons, agents and bots offer them")
	}
}

func (r *reader) answers(n *yaml.Node, into *[]Answer) {
	if n.Kind != yaml.MappingNode || len(n.Content) == 0 {
		r.fail(n, "must be questions with their answers")
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		a := Answer{Question: n.Content[i].Value}
		value := n.Content[i+1]
		if value.Kind == yaml.SequenceNode {
			a.Several = true
			r.texts("the answers", &a.Answers)(value)
		} else {
			a.Answers = []string{""}
			read := r.text(&a.Answers[0])
			if a.Choice = value.Kind == yaml.MappingNode; a.Choice {
				r.keys(value, "an answer", map[string]func(*yaml.Node){"choice": read})
			} else {
				read(value)
			}
		}
		*into = append(*into, a)
	}
}

const arrivesHelp = "must be `lost`, `twice`, `3 times`, `500ms late` or `2s after the end`"

func (r *reader) arrives(n *yaml.Node, into *Arrival) {
	first, rest, _ := strings.Cut(n.Value, " ")
	number, numberErr := strconv.Atoi(first)
	delay, delayErr := time.ParseDuration(first)
	switch {
	case n.Value == "lost":
		into.Lost = true
	case n.Value == "twice":
		into.Copies = 2
	case rest == "times" && numberErr == nil && number > 0:
		into.Copies = number
	case rest == "late" && delayErr == nil && delay > 0:
		into.Delay = delay
	case rest == "after the end" && delayErr == nil && delay > 0:
		into.Delay, into.AfterEnd = delay, true
	default:
		r.fail(n, arrivesHelp)
	}
}

// check looks at what only the whole chat tells.
func (r *reader) check(n *yaml.Node, c *Chat) {
	at := func(s Step) *yaml.Node { return &yaml.Node{Line: s.Line, Column: n.Column} }
	for i, t := range c.Threads {
		offline := i == 0 && c.Starts == StartsOffline
		ended := offline
		messages := map[string]bool{}
		buttons := map[string]bool{}
		opening := true
		served := i > 0 || c.Starts != StartsQueued
		for j, s := range t.Says {
			opening = opening && s.Kind == Says && s.Button == "" && j < c.OpensWith
			switch s.Kind {
			case Says:
				if s.As != "" && messages[s.As] {
					r.fail(at(s), "two messages have the name %q", s.As)
				}
				messages[s.As] = true
				for _, b := range s.Buttons {
					buttons[b] = true
				}
				if s.Author == "agent" && !served {
					r.fail(at(s), "the customer still waits in the queue; an agent needs `joins: agent` first")
				}
				if s.Button != "" && !buttons[s.Button] {
					r.fail(at(s), "no button %q was offered before", s.Button)
				}
				if opening && j > 0 && s.Arrives != (Arrival{}) {
					r.fail(at(s), "this message comes inside incoming_chat; only the first step of it can have `arrives`")
				}
			case Edit, Delete, Translate:
				if !messages[s.Of] {
					r.fail(at(s), "no message before this has `as: %s`", s.Of)
				}
			case Joins:
				served = served || s.Author == "agent"
			case Summary:
				if !ended {
					r.fail(at(s), "LiveChat writes its summary after the end")
				}
			case End:
				if ended {
					r.fail(at(s), "the thread has already ended")
				}
				ended = true
			}
			if s.Arrives.AfterEnd && ended {
				r.fail(at(s), "this is after the end already; give it a delay such as `2s late`")
			}
		}
		if !ended {
			r.fail(n, "thread %d of chat %q has no `end`", i+1, c.Name)
		}
	}
}
