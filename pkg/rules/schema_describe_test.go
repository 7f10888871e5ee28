package rules

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// This file describes the language to editors. They read it as JSON Schema of
// draft 07, the one that all of them know, out of the files in configs/, which
// TestSchemas writes:
//
//go:generate go test -run ^TestSchemas$ . -update

// schema is a JSON Schema. What is not of the standard is for VS Code, and
// passed over by others.
type schema struct {
	Schema      string `json:"$schema,omitempty"`
	Comment     string `json:"$comment,omitempty"`
	Ref         string `json:"$ref,omitempty"`
	Title       string `json:"title,omitempty"`
	Description string `json:"description,omitempty"`
	Markdown    string `json:"markdownDescription,omitempty"`

	Type        types    `json:"type,omitempty"`
	Enum        []any    `json:"enum,omitempty"`
	EnumSays    []string `json:"enumDescriptions,omitempty"`
	Const       any      `json:"const,omitempty"`
	Pattern     string   `json:"pattern,omitempty"`
	PatternSays string   `json:"patternErrorMessage,omitempty"`
	MinLength   int      `json:"minLength,omitempty"`
	Minimum     *int     `json:"minimum,omitempty"`
	Maximum     *int     `json:"maximum,omitempty"`

	Items    *schema `json:"items,omitempty"`
	MinItems int     `json:"minItems,omitempty"`

	Required      []string           `json:"required,omitempty"`
	Properties    properties         `json:"properties,omitempty"`
	Names         *schema            `json:"propertyNames,omitempty"`
	Additional    any                `json:"additionalProperties,omitempty"`
	MinProperties int                `json:"minProperties,omitempty"`
	MaxProperties int                `json:"maxProperties,omitempty"`
	Dependencies  map[string]*schema `json:"dependencies,omitempty"`

	AnyOf []*schema `json:"anyOf,omitempty"`
	AllOf []*schema `json:"allOf,omitempty"`
	Not   *schema   `json:"not,omitempty"`
	If    *schema   `json:"if,omitempty"`
	Then  *schema   `json:"then,omitempty"`
	Else  *schema   `json:"else,omitempty"`

	Default     any                `json:"default,omitempty"`
	Examples    []any              `json:"examples,omitempty"`
	Snippets    []snippet          `json:"defaultSnippets,omitempty"`
	Definitions map[string]*schema `json:"definitions,omitempty"`
}

// types is the type of a value, or several.
type types []string

func (t types) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]string(t))
}

// properties keep their order, which is that of the explanation.
type properties []property

type property struct {
	key  string
	says any // a *schema, or false where the key cannot stand
}

func (ps properties) MarshalJSON() ([]byte, error) {
	out := []byte{'{'}
	for i, p := range ps {
		if i > 0 {
			out = append(out, ',')
		}
		says, err := plainJSON(p.says)
		if err != nil {
			return nil, err
		}
		out = append(fmt.Appendf(out, "%q:", p.key), says...)
	}
	return append(out, '}'), nil
}

func (ps properties) keys() []string {
	keys := make([]string, len(ps))
	for i, p := range ps {
		keys[i] = p.key
	}
	return keys
}

// snippet is what VS Code offers to write.
type snippet struct {
	Label       string `json:"label"`
	Description string `json:"description"`
	Body        any    `json:"body"`
}

// plainJSON is json.Marshal that leaves < > & as they are.
func plainJSON(v any) ([]byte, error) {
	var out strings.Builder
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return []byte(strings.TrimSuffix(out.String(), "\n")), err
}

// Texts. A bare 404 or yes is a number or a truth value to editors and a text
// in the language, so both are allowed wherever a text is.
var textTypes = types{"string", "number", "boolean"}

// describe puts a description into a schema. Code in it stands in `...`, which
// only VS Code shows as such.
func (s *schema) describe(text string) *schema {
	s.Description = strings.ReplaceAll(text, "`", "")
	if s.Description != text {
		s.Markdown = text
	}
	return s
}

func (s *schema) named(title string) *schema { s.Title = title; return s }

func (s *schema) like(examples ...any) *schema { s.Examples = examples; return s }

// wantedText is a text that is looked for.
func wantedText() *schema {
	return &schema{Type: textTypes, Pattern: `\S`, PatternSays: "This text is empty; write at least one letter or sign."}
}

// labelText is a tag or a name.
func labelText() *schema {
	return &schema{Type: textTypes, Pattern: `^\S(.*\S)?$`, PatternSays: "Write one line, without blanks around it."}
}

func wholeNumber(least int) *schema {
	most := 1_000_000_000
	return &schema{Type: types{"integer"}, Minimum: &least, Maximum: &most}
}

func yesNo() *schema { return &schema{Type: types{"boolean"}, Default: false} }

// oneOfWords is one of a few values, each with what it says. A value without a
// word about it is found by TestSchemaExplainsEveryKey.
func oneOfWords(values []string, usual any, says map[string]string) *schema {
	s := &schema{Type: types{"string"}, Default: usual}
	for _, v := range values {
		s.Enum = append(s.Enum, v)
		s.EnumSays = append(s.EnumSays, says[v])
	}
	return s
}

// listOf is a list that may be empty.
func listOf(of *schema) *schema { return &schema{Type: types{"array"}, Items: of} }

// entriesOf is a list that may not.
func entriesOf(of *schema) *schema { return &schema{Type: types{"array"}, Items: of, MinItems: 1} }

func mappingOf(ps properties) *schema {
	return &schema{Type: types{"object"}, Properties: ps, Additional: false}
}

func refTo(name string) *schema { return &schema{Ref: "#/definitions/" + name} }

// havingOneOf is true of a mapping with one of the keys. Of what is no mapping it is
// always true.
func havingOneOf(keys ...string) *schema {
	s := &schema{}
	for _, key := range keys {
		s.AnyOf = append(s.AnyOf, &schema{Required: []string{key}})
	}
	if len(keys) == 1 {
		return s.AnyOf[0]
	}
	return s
}

// forbidding forbids keys.
func forbidding(keys ...string) *schema {
	s := &schema{}
	for _, key := range keys {
		s.Properties = append(s.Properties, property{key, false})
	}
	return s
}

// allExcept gives all but one of some keys.
func allExcept(keys []string, but ...string) []string {
	return slices.DeleteFunc(slices.Clone(keys), func(key string) bool { return slices.Contains(but, key) })
}

// What the values mean.
var (
	fromSays = map[string]string{
		"customer": "what customers write, their answers in forms and the buttons that they press",
		"agent":    "what people of yours write; automatic greetings count for nobody",
		"bot":      "what bots write",
		"anyone":   "all of them",
	}
	withinSays = map[string]string{
		"message": "in one and the same message",
		"chat":    "anywhere in the chat",
	}
	statusSays = map[string]string{
		"active": "the rule sets its tag",
		"shadow": "the rule is being tried out: its decisions are recorded, never applied",
		"off":    "the rule is checked and otherwise as if it were not there",
	}
	caseSays = map[string]string{
		"folded": "capitals make no difference",
		"exact":  "capitals count, and ß is not ss",
	}
	accentsSays = map[string]string{
		"folded": "accents make no difference",
		"exact":  "accents count: cafe is not café",
	}
)

const inherits = " On a rule or a group it holds for all entries in it that do not say otherwise, those of `none` too."

// kindsOfEntry describes the keys of which an entry has one.
func kindsOfEntry() properties {
	return properties{
		{"word", wantedText().like("5*", "UPS").describe(
			"A text like a bare one, with two differences: options can stand beside it, and every `*` in it is a star. `{word: UPS, case: exact}`")},
		{"contains", wantedText().like("fund", "paket").describe(
			"A part of a word, wherever it stands: `{contains: fund}` finds refunded. Case and accents make no difference.")},
		{"regex", (&schema{Type: textTypes, MinLength: 1}).like(`order #\d{5,}`, `^no$`).describe(
			"A regular expression (RE2) for what words cannot say. It looks at one message at a time, as it is written; case makes no difference, and `^` and `$` are the ends of the message. " +
				"Write it in single quotes: `{regex: 'order #\\d{5,}'}`")},
		{"canned", wantedText().like("We will call you back within %hours% hours.").describe(
			"A whole message, such as a canned response. `%name%` stands for any text, also none: `{canned: \"See you %when%.\"}`")},
		{"list", labelText().like("carriers").describe(
			"Any entry of the list of that name under `lists`. Options beside it hold for its entries: `{list: carriers, first: 3}`")},
	}
}

func groupsOfEntries(what string) properties {
	return properties{
		{"any", entriesOf(refTo("entry")).like([]any{"refund*", "money back"}).describe("Entries of which one must be found. " + what)},
		{"all", entriesOf(refTo("entry")).like([]any{"parcel*", map[string]any{"any": []any{"late", "delayed"}}}).describe(
			"Entries that must all be found. " + what)},
		{"none", entriesOf(refTo("entry")).like([]any{"refund policy"}).describe(
			"Entries of which not one may be found, where this rule looks. It stands beside `any` or `all`. " + what)},
	}
}

// optionsOf describes the options; counted says what min counts there.
func optionsOf(counted string) properties {
	return properties{
		{"case", oneOfWords(foldValues, nil, caseSays).describe(
			"Whether capitals count: `folded` (they do not) unless this or the rule, group or file around it says `exact`." + inherits)},
		{"accents", oneOfWords(foldValues, nil, accentsSays).describe(
			"Whether accents count: `folded` (they do not) unless this or the rule, group or file around it says `exact`. It cannot stand on a `regex`." + inherits)},
		{"min", wholeNumber(1).like(2).describe(
			"In how many messages, at the least. It counts messages, not words. " + counted)},
		{"first", wholeNumber(1).like(3).describe(
			"Only the first so many messages of the side that the rule looks at (`from`). It cannot stand beside `last`." + inherits)},
		{"last", wholeNumber(1).like(3).describe(
			"Only the last so many messages of the side that the rule looks at (`from`). It cannot stand beside `first`." + inherits)},
	}
}

// sharedKeys describes what rules and defaults have in common.
func sharedKeys(ofRule bool) (from, within, status *schema) {
	describe := func(values []string, usual string, says map[string]string, text string) *schema {
		if ofRule {
			return oneOfWords(values, nil, says).describe(text + " Without it: what `defaults` say, else `" + usual + "`.")
		}
		return oneOfWords(values, usual, says).describe(text + " Without it: `" + usual + "`.")
	}
	from = describe(fromValues, "anyone", fromSays, "Whose messages are searched: `customer`, `agent` (people), `bot` or `anyone`.")
	within = describe(withinValues, "chat", withinSays, "Where all that a rule asks for must stand: in one `message`, or spread over the `chat`.")
	status = describe(statusValues, "active", statusSays, "`active`; `shadow`, to try a rule out: recorded, never applied; or `off`.")
	return from, within, status
}

// entrySchema describes an entry of any, all, none and lists.
func entrySchema() *schema {
	ps := slices.Concat(kindsOfEntry(), groupsOfEntries("Groups nest as deep as you like."),
		optionsOf("On a list: messages with any of its entries; on a group with `any`: messages with any of its entries."))
	s := &schema{
		Type:          append(slices.Clone(textTypes), "object"),
		Pattern:       wantedText().Pattern,
		PatternSays:   wantedText().PatternSays,
		Properties:    ps,
		Additional:    false,
		MinProperties: 1,
		AnyOf:         havingOneOf(slices.Concat(kindKeys, groupKeys)...).AnyOf,
		Dependencies:  onlyOneWindow(),
		Examples:      []any{"refund*", "money back", map[string]any{"word": "UPS", "case": "exact"}, map[string]any{"list": "carriers"}},
		Snippets: []snippet{
			{"word", "a text with options", map[string]any{"word": "${1:UPS}", "case": "exact"}},
			{"contains", "a part of a word", map[string]any{"contains": "${1:paket}"}},
			{"list", "any entry of a list", map[string]any{"list": "${1:carriers}"}},
			{"canned", "a whole message", map[string]any{"canned": "${1:See you %when%.}"}},
			{"any of several", "a group", map[string]any{"any": []any{"${1:late}", "${2:delayed}"}}},
		},
	}
	for _, key := range kindKeys {
		s.Dependencies[key] = forbidding(allExcept(slices.Concat(kindKeys, groupKeys), key)...)
	}
	s.Dependencies["regex"].Properties = append(s.Dependencies["regex"].Properties, property{"accents", false})
	for _, key := range groupKeys {
		s.Dependencies[key] = forbidding(kindKeys...)
	}
	// min counts messages with any of several words, so one of the other two
	// groups alone cannot have it.
	for _, key := range allExcept(groupKeys, "any") {
		s.Dependencies[key].If = havingOneOf(allExcept(groupKeys, key)...)
		s.Dependencies[key].Then = &schema{}
		s.Dependencies[key].Else = forbidding("min")
	}
	return s.named("Entry").describe(
		"What to look for. A text finds these words in this order, each as a whole word; a `*` at the end of a word is any ending: `refund*` finds refund, refunds, refunded. " +
			"Case, accents, dashes and the kind of quotes make no difference. Put a text in quotes that begins with a sign or has `: ` or ` #` in it. " +
			"Besides: `{word: ...}`, `{contains: ...}`, `{regex: ...}`, `{canned: ...}`, `{list: ...}` with options, and groups of `any`, `all` and `none`.")
}

func onlyOneWindow() map[string]*schema {
	return map[string]*schema{"first": forbidding("last"), "last": forbidding("first")}
}

func ruleSchema() *schema {
	from, within, status := sharedKeys(true)
	ps := slices.Concat(
		properties{
			{"tag", labelText().like("refund").describe("The LiveChat tag to set, exact to the letter. It must exist in LiveChat. Several rules may set one tag.")},
			{"name", labelText().like("refund-2").describe(
				"A name for the records: unique, and not the tag of another rule. Without it the rule is named as its tag; the second rule of a tag is `refund#2`.")},
		},
		groupsOfEntries("A rule needs `any` or `all`, or both."),
		properties{
			{"from", from},
			{"within", within},
			{"status", status},
			{"set", labelText().like("topic").describe("A name that rules share of which only the first in the file that matches shall set its tag.")},
			{"groups", entriesOf(wholeNumber(0)).like([]any{0, 7}).describe("Only chats in one of these LiveChat groups, by their numbers. Without it: all chats.")},
			{"unless_tagged", entriesOf(labelText()).like([]any{"vip"}).describe(
				"Not if the chat bears one of these tags, set by a person. Tags that Autotag has set do not count.")},
			{"internal", yesNo().describe("`true`: messages that only agents see are searched too.")},
			{"fallback", yesNo().describe(
				"`true`: a rule without words, for chats that no other active rule with words matches. It may have `groups`, `unless_tagged`, `status`, `set` and `name`.")},
		},
		optionsOf("On a rule: messages in which any entry of its `any` or `all` is found; with `within: message`, messages that satisfy the whole rule."))
	s := mappingOf(ps)
	s.Required = []string{"tag"}
	s.Dependencies = onlyOneWindow()
	s.If = &schema{Required: []string{"fallback"}, Properties: properties{{"fallback", &schema{Const: true}}}}
	s.Then = forbidding(allExcept(ruleKeys, fallbackKeys...)...)
	s.Else = havingOneOf("any", "all")
	s.Snippets = []snippet{
		{"rule", "a tag and its words", map[string]any{"tag": "${1:refund}", "any": []any{"${2:refund*}"}}},
		{"rule of two groups", "a word of each, in one message", map[string]any{"tag": "${1:late-delivery}", "within": "message",
			"all": []any{map[string]any{"any": []any{"${2:parcel*}"}}, map[string]any{"any": []any{"${3:late}"}}}}},
		{"rule with a veto", "words, and words that must not be there", map[string]any{"tag": "${1:refund}", "any": []any{"${2:refund*}"}, "none": []any{"${3:refund policy}"}}},
		{"fallback rule", "for chats that no other rule matches", map[string]any{"tag": "${1:unsorted}", "fallback": true}},
	}
	return s.named("Rule").describe("One rule, one tag: which words give a chat this tag.")
}

func rulesSchema() *schema {
	from, within, status := sharedKeys(false)
	s := mappingOf(properties{
		{"version", (&schema{Enum: []any{1, "1"}, Default: 1}).describe("The version of the language: `1`.")},
		{"defaults", mappingOf(properties{
			{"from", from},
			{"within", within},
			{"case", oneOfWords(foldValues, "folded", caseSays).describe("Whether capitals count. Without it: `folded`, they do not.")},
			{"accents", oneOfWords(foldValues, "folded", accentsSays).describe("Whether accents count. Without it: `folded`, they do not.")},
			{"status", status},
		}).like(map[string]any{"from": "customer", "within": "message"}).describe("What holds for all rules that do not say otherwise.")},
		{"lists", (&schema{
			Type:       types{"object"},
			Names:      &schema{Pattern: labelText().Pattern},
			Additional: entriesOf(refTo("entry")).describe("A list: entries that rules use as `{list: name}`."),
		}).like(map[string]any{"carriers": []any{"dhl", "ups", "royal mail"}}).describe(
			"Words that several rules need, written once, each list with a name, and used as `{list: carriers}`. A list may use other lists, but not in a circle.")},
		{"rules", listOf(refTo("rule")).describe("The rules. Every active rule that matches a chat gives it its tag.")},
	})
	s.Schema = "http://json-schema.org/draft-07/schema#"
	s.Comment = "Made by: go generate ./pkg/rules"
	s.Required = []string{"version", "rules"}
	s.Definitions = map[string]*schema{"entry": entrySchema(), "rule": ruleSchema()}
	return s.named("Rules of Autotag").describe("Which tags a finished chat gets, by the words in it. README.md beside this file explains it all.")
}

// messageSchema describes a message of a test.
func messageSchema() *schema {
	written := func() *schema { return &schema{Type: textTypes, MinLength: 1} }
	content := properties{
		{"form", (&schema{Type: types{"object"}, MinProperties: 1, Additional: &schema{Type: textTypes}}).
			like(map[string]any{"Topic": "refund"}).describe("A form that the customer filled in: its questions, each with the answer.")},
		{"button", labelText().like("Talk to sales").describe("A button of a bot that the customer pressed, by its label.")},
	}
	customer := written()
	customer.Type = append(slices.Clone(textTypes), "object")
	customer.Properties, customer.Additional = content, false
	customer.MinProperties, customer.MaxProperties = 1, 1
	edited := written()
	edited.Type = append(slices.Clone(textTypes), "array")
	edited.Items, edited.MinItems = written(), 1
	zero := 0
	at := &schema{Type: types{"string", "integer"}, Minimum: &zero, Maximum: &zero,
		Pattern:     `^\+?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$`,
		PatternSays: "Write the time since the chat began, such as 90s, 5m or 2h."}
	s := mappingOf(properties{
		{"customer", customer.like("I want my money back", map[string]any{"form": map[string]any{"Topic": "refund"}}, map[string]any{"button": "Talk to sales"}).describe(
			"What a customer writes: a text, a filled form `{form: {Topic: refund}}` or a pressed button `{button: \"Talk to sales\"}`.")},
		{"agent", written().like("Sure").describe("What an agent writes: a person, not a bot.")},
		{"bot", written().like("Anything else?").describe("What a bot writes, automatic greetings apart.")},
		{"internal", yesNo().describe("`true`: only agents see this message. It cannot stand on a customer's message.")},
		{"markdown", yesNo().describe("`true`: the text is Markdown, and marked as such by the platform. It cannot stand on a form or a button.")},
		{"greeting", yesNo().describe("`true`: an automatic greeting, which counts for nobody. It cannot stand on a customer's message.")},
		{"edited", edited.like("refund please", []any{"refund", "refund please"}).describe(
			"What the message was edited to: a text, or a list of texts one after the other. Rules see only the last. It cannot stand on a form or a button.")},
		{"at", at.like("90s", "5m", "2h").describe(
			"When the message came: the time since the chat began, as `90s`, `5m` or `2h`. Without it: one second after the message before.")},
		{"deleted", yesNo().describe("`true`: the message was deleted, so it counts for nothing.")},
	})
	s.AnyOf = havingOneOf(authorKeys...).AnyOf
	s.Dependencies = map[string]*schema{}
	for _, key := range authorKeys {
		s.Dependencies[key] = forbidding(allExcept(authorKeys, key)...)
	}
	for _, key := range []string{"internal", "greeting"} {
		s.Dependencies["customer"].Properties = append(s.Dependencies["customer"].Properties, property{key, &schema{Const: false}})
	}
	s.If = &schema{Required: []string{"customer"}, Properties: properties{{"customer", &schema{Type: types{"object"}}}}}
	s.Then = &schema{Properties: properties{{"markdown", &schema{Const: false}}, {"edited", false}}}
	s.Snippets = []snippet{
		{"customer", "what a customer writes", map[string]any{"customer": "$1"}},
		{"agent", "what an agent writes", map[string]any{"agent": "$1"}},
		{"form", "a form that the customer filled in", map[string]any{"customer": map[string]any{"form": map[string]any{"${1:Topic}": "${2:refund}"}}}},
		{"button", "a button that the customer pressed", map[string]any{"customer": map[string]any{"button": "${1:Talk to sales}"}}},
	}
	return s.named("Message").describe("One message: who says what, as `customer: \"...\"`, `agent: \"...\"` or `bot: \"...\"`.")
}

func caseSchema() *schema {
	tags := func() *schema { return listOf(labelText()) }
	s := mappingOf(properties{
		{"name", labelText().like("refund asked for").describe("What the test shows. Without it the test is named by its number.")},
		{"chat", listOf(refTo("message")).describe("The messages of the chat, in their order; `[]` for none.")},
		{"groups", listOf(wholeNumber(0)).like([]any{3}).describe("The LiveChat groups that the chat is in, by their numbers. Without it: `[0]`.")},
		{"tagged", tags().like([]any{"vip"}).describe("Tags that people have set on the chat before.")},
		{"tags", listOf(refTo("want")).like([]any{"refund"}).describe(
			"Exactly the tags that the rules must give, in any order; `[]` for none. An entry may ask for more: `{tag: refund, rule: refund-2, evidence: [\"money back\"]}`")},
		{"not_tags", tags().like([]any{"refund"}).describe("Tags of which the rules must give none. With it `tags` may be left out: other tags are then not looked at.")},
		{"shadow", tags().like([]any{"angry"}).describe("Exactly the tags that rules with `status: shadow` must ask for. Without it they are not looked at.")},
	})
	// One key that is none of these is a message: a test in one line.
	s.Additional = nil
	s.MinProperties = 1
	s.If = &schema{Not: havingOneOf(caseKeys...), MaxProperties: 1}
	s.Then = &schema{Names: &schema{MinLength: 1}, Additional: listOf(refTo("want"))}
	s.Else = &schema{Required: []string{"chat"}, AnyOf: havingOneOf("tags", "not_tags").AnyOf, Names: &schema{}}
	for _, key := range caseKeys {
		s.Else.Names.Enum = append(s.Else.Names.Enum, key)
	}
	s.Snippets = []snippet{
		{"test", "a chat and its tags", map[string]any{"name": "${1:refund asked for}", "chat": []any{map[string]any{"customer": "${2:I want my money back}"}}, "tags": []any{"${3:refund}"}}},
		{"test in one line", "a message of a customer, and its tags", map[string]any{"${1:where is my parcel}": []any{"${2:late-delivery}"}}},
		{"test without tags", "a chat that must get none", map[string]any{"name": "${1:only the policy}", "chat": []any{map[string]any{"customer": "${2:What is your refund policy?}"}}, "tags": []any{}}},
	}
	return s.named("Test").describe("One chat, and the tags that the rules must give it. In one line, a message of a customer with its tags: `\"where is my parcel\": [late-delivery]`")
}

// wantSchema describes an entry of tags.
func wantSchema() *schema {
	s := mappingOf(properties{
		{"tag", labelText().like("refund").describe("The tag that the rules must give.")},
		{"rule", labelText().like("refund-2").describe("The rule that must give it, by its name.")},
		{"evidence", entriesOf(&schema{Type: textTypes, MinLength: 1}).like([]any{"money back"}).describe(
			"Pieces of the chat, as written there, that the rule must have found.")},
	})
	s.Type = append(slices.Clone(textTypes), "object")
	s.Pattern, s.PatternSays = labelText().Pattern, labelText().PatternSays
	s.Required = []string{"tag"}
	return s.named("Expected tag").like("refund", map[string]any{"tag": "refund", "rule": "refund-2", "evidence": []any{"money back"}}).describe(
		"A tag that the rules must give, or `{tag: ..., rule: ..., evidence: [...]}`, to ask also for the rule that gives it and for what it found.")
}

func testsSchema() *schema {
	s := mappingOf(properties{
		{"tests", listOf(refTo("test")).describe("The tests. `tagctl rules test` runs them.")},
	})
	s.Schema = "http://json-schema.org/draft-07/schema#"
	s.Comment = "Made by: go generate ./pkg/rules"
	s.Required = []string{"tests"}
	s.Definitions = map[string]*schema{"test": caseSchema(), "message": messageSchema(), "want": wantSchema()}
	return s.named("Tests of Autotag's rules").describe("Chats, and the tags that the rules must give them. README.md beside this file explains it all.")
}
