package transcript

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"autotag/pkg/livechat"
)

// Kinds of facts: what stands before the first bar of a field.
const (
	kindOriginal   = "e"
	kindEdit       = "u"
	kindDeletion   = "d"
	kindProperties = "p"
	kindClick      = "c"
	kindSnapshot   = "s"

	kindUser    = "user"
	kindGroups  = "groups"  // the thread's groups, all of them
	kindGranted = "granted" // groups added to those it had (webhooks up to v3.3)
	kindRevoked = "revoked" // groups taken away (webhooks up to v3.3)
	kindTag     = "tag"
	kindTags    = "tags" // what incoming_chat showed
	kindChat    = "chat" // what get_chat told of the thread itself
)

// Properties of an event that change what is searched. The first four mark an
// automatic greeting. Facts that are stored name them by their place here: new
// ones go to the end.
var markNames = [...]string{
	"lc2.welcome_message",
	"lc2.greeting_id",
	"lc2.greeting_unique_id",
	"chats.welcome_message_source",
	"chats.formatting",
}

const (
	greetingMarks marks = 1<<4 - 1
	markdownMark  marks = 1 << 4
)

// marks is a set of markNames, one bit each.
type marks uint8

// version is one full state of an event, as far as it matters. Events that hold
// nothing to search keep their type and time only.
type version struct {
	Type     string            `json:"type,omitempty"`
	Created  string            `json:"created_at,omitempty"` // RFC 3339, UTC
	Author   string            `json:"author,omitempty"`
	Internal bool              `json:"internal,omitempty"`
	Texts    []field           `json:"texts,omitempty"`
	Marks    marks             `json:"marks,omitempty"`
	Postback *button           `json:"postback,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"` // of a rich message's buttons, by postback id

	created time.Time
}

// field is a searchable text.
type field struct {
	Name string `json:"f"`
	Text string `json:"t"`
}

// button names a button of a rich message.
type button struct {
	Event string `json:"event"`
	ID    string `json:"id"`
}

// change is an update or deletion of properties: what it makes of each name.
type change struct {
	On  marks `json:"on,omitempty"`
	Off marks `json:"off,omitempty"`
}

// click is what a user did to a button of a rich message.
type click struct {
	Button string `json:"button"`
	User   string `json:"user"`
	On     bool   `json:"on"`
}

// snapshot is an event as get_chat showed it. Without a state, get_chat was
// asked for the event and did not show it.
type snapshot struct {
	State *version `json:"state,omitempty"`
	// Clicks is what was taken to be true of the buttons that were clicked: what
	// get_chat shows of them (user_ids), else what the order of arrival told at
	// that moment.
	Clicks []click `json:"clicks,omitempty"`
	// Covers names what was known when get_chat was asked, and when it last
	// arrived: the answer already shows its effect.
	Covers map[string]int64 `json:"covers,omitempty"`
}

// answer is what get_chat told of the thread itself.
type answer struct {
	Groups     []int            `json:"groups"`
	HasGroups  bool             `json:"has_groups,omitempty"`
	Covers     map[string]int64 `json:"covers,omitempty"` // like those of a snapshot
	Tags       []string         `json:"tags,omitempty"`
	Highest    int              `json:"highest,omitempty"` // highest number of an event that it showed
	Restricted bool             `json:"restricted,omitempty"`
}

// tagging is what a field of kindTag says.
type tagging struct {
	at    time.Time
	name  string
	untag bool
}

// encode gives the JSON of v, the same bytes for the same value. It leaves
// <, > and & alone, which json.Marshal would make six bytes each.
func encode(v any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err) // plain structs of strings and numbers always encode
	}
	return strings.TrimSuffix(b.String(), "\n")
}

func shortHash(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:8])
}

const (
	valuePrefix = `{"at":`
	valueMiddle = `,"v":`
	valueSuffix = `}`
)

// value joins the time of arrival and the content of a fact.
func value(at time.Time, content string) []byte {
	b := make([]byte, 0, len(content)+40)
	b = append(b, valuePrefix...)
	b = strconv.AppendInt(b, at.UnixNano(), 10)
	b = append(b, valueMiddle...)
	b = append(b, content...)
	return append(b, valueSuffix...)
}

// splitValue is the opposite of value.
func splitValue(value []byte) (at int64, content string, ok bool) {
	s, ok := strings.CutPrefix(string(value), valuePrefix)
	if !ok {
		return 0, "", false
	}
	number, s, ok := strings.Cut(s, valueMiddle)
	if !ok {
		return 0, "", false
	}
	content, ok = strings.CutSuffix(s, valueSuffix)
	if !ok {
		return 0, "", false
	}
	at, err := strconv.ParseInt(number, 10, 64)
	return at, content, err == nil
}

// versionOf keeps of an event what the reducer needs: no names, no contact
// data, no answers to fields that ask for them.
func versionOf(e *livechat.Event) version {
	v := version{Type: e.Type}
	if t := e.CreatedAt.UTC(); !t.IsZero() && t.Year() >= 1 && t.Year() <= 9999 {
		v.Created, v.created = t.Format(time.RFC3339Nano), t
	}
	switch e.Type {
	case "message":
		name := "text"
		if e.Postback != nil {
			name = "button"
			v.Postback = &button{Event: e.Postback.EventID, ID: e.Postback.ID}
		}
		if !blank(e.Text) {
			v.Texts = []field{{Name: name, Text: e.Text}}
		}
		for i, name := range markNames {
			namespace, name, _ := strings.Cut(name, ".")
			if marked(1<<i, e.Properties[namespace][name]) {
				v.Marks |= 1 << i
			}
		}
	case "filled_form":
		v.Texts = formTexts(e.Fields)
	case "rich_message":
		for _, element := range e.Elements {
			for _, b := range element.Buttons {
				if _, ok := v.Labels[b.PostbackID]; ok || b.PostbackID == "" || blank(b.Text) {
					continue
				}
				if v.Labels == nil {
					v.Labels = make(map[string]string)
				}
				v.Labels[b.PostbackID] = b.Text
			}
		}
	default:
		return v
	}
	v.Author, v.Internal = e.AuthorID, e.Internal
	return v
}

func formTexts(fields []livechat.Field) []field {
	var texts []field
	for _, f := range fields {
		if f.Type == "name" || f.Type == "email" {
			continue
		}
		for _, a := range f.Answers {
			name := "answer:" + f.ID
			if f.Type == "checkbox" || len(f.Answers) > 1 {
				name += ":" + a.ID
			}
			if !blank(a.Text) {
				texts = append(texts, field{Name: name, Text: a.Text})
			}
		}
	}
	return texts
}

// changeOf reads the properties that an update sets or a deletion removes.
func changeOf(set livechat.Properties, removed map[string][]string) change {
	var c change
	for i, name := range markNames {
		namespace, name, _ := strings.Cut(name, ".")
		mark := marks(1 << i)
		if raw, ok := set[namespace][name]; ok {
			if marked(mark, raw) {
				c.On |= mark
			} else {
				c.Off |= mark
			}
		} else if slices.Contains(removed[namespace], name) {
			c.Off |= mark
		}
	}
	return c
}

// marked says whether a property's value sets the mark. For a greeting, that is
// any value but those that commonly say "no".
func marked(mark marks, raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	var s string
	if json.Unmarshal(raw, &s) != nil {
		s = string(raw)
	}
	if mark == markdownMark {
		return strings.EqualFold(s, "commonmark")
	}
	switch s {
	case "", "null", "false", "0":
		return false
	}
	return true
}
