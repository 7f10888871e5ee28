package livechat

import (
	"bytes"
	"encoding/json"
	"errors"
)

// ParseWebhook reads the envelope of a webhook. A field that is missing or of
// an unexpected shape is left empty; the one error is a body that is not a
// JSON object. The payload shares memory with body.
func ParseWebhook(body []byte) (Webhook, error) {
	if !isObject(body) {
		return Webhook{}, errors.New("webhook is not a JSON object")
	}
	var w Webhook
	var license string
	c := cursor{data: body}
	c.object(func(key []byte) {
		switch string(key) {
		case "webhook_id":
			w.WebhookID = c.id()
		case "action":
			w.Action = c.str()
		case "organization_id":
			w.Organization = c.str()
		case "license_id":
			license = c.id()
		case "payload":
			w.Payload = c.raw()
		}
	})
	if w.Organization == "" && isDigits(license) {
		w.Organization = "license-" + license
	}
	return w, nil
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

// ParsePayload reads the payload of a webhook of the given action. A field
// that is missing or of an unexpected shape is left empty; the one error is a
// payload that is not a JSON object. ChatID and ThreadID are set for every
// action that has them, incoming_chat included. Properties share memory with
// payload.
func ParsePayload(action string, payload json.RawMessage) (Payload, error) {
	if !isObject(payload) {
		return Payload{}, errors.New("webhook payload is not a JSON object")
	}
	var p Payload
	access := false
	switch action {
	case ChatAccessUpdated, ChatAccessGranted, ChatAccessRevoked:
		access = true
	}
	c := cursor{data: payload}
	c.object(func(key []byte) {
		switch string(key) {
		case "chat_id":
			p.ChatID = c.id()
		case "id":
			if access {
				p.ChatID = c.id()
			}
		case "thread_id":
			p.ThreadID = c.id()
		case "event_id":
			p.EventID = c.id()
		case "user_id":
			p.UserID = c.id()
		case "tag":
			p.Tag = c.str()
		case "chat":
			if action == IncomingChat {
				p.Chat = c.chat()
			}
		case "event":
			if action == IncomingEvent || action == EventUpdated {
				p.Event = c.event()
			}
		case "user":
			if action == UserAddedToChat {
				p.User = c.user()
			}
		case "access":
			if access {
				p.GroupIDs, p.HasGroups = c.groups()
			}
		case "transferred_to":
			if action == ChatTransferred {
				p.GroupIDs, p.HasGroups = c.groups()
			}
		case "properties":
			switch action {
			case EventPropertiesUpdated:
				p.Properties = c.properties()
			case EventPropertiesDeleted:
				p.Removed = c.removed()
			}
		case "postback":
			if action == IncomingRichMessagePostback {
				p.Postback = c.postback()
			}
		}
	})
	if p.Chat != nil {
		p.ChatID = p.Chat.ID
		if p.Chat.Thread != nil {
			p.ThreadID = p.Chat.Thread.ID
		}
	}
	return p, nil
}

// UnmarshalJSON reads a chat leniently and is never an error.
func (x *Chat) UnmarshalJSON(data []byte) error { *x = decode((*cursor).chat, data); return nil }

// UnmarshalJSON reads a thread leniently and is never an error.
func (x *Thread) UnmarshalJSON(data []byte) error { *x = decode((*cursor).thread, data); return nil }

// UnmarshalJSON reads an event leniently and is never an error.
func (x *Event) UnmarshalJSON(data []byte) error { *x = decode((*cursor).event, data); return nil }

// UnmarshalJSON reads a user leniently and is never an error.
func (x *User) UnmarshalJSON(data []byte) error { *x = decode((*cursor).user, data); return nil }

// UnmarshalJSON reads a form field leniently and is never an error.
func (x *Field) UnmarshalJSON(data []byte) error { *x = decode((*cursor).field, data); return nil }

// UnmarshalJSON reads a postback leniently and is never an error.
func (x *Postback) UnmarshalJSON(data []byte) error {
	*x = decode((*cursor).postback, data)
	return nil
}

// UnmarshalJSON reads a tag leniently and is never an error.
func (x *Tag) UnmarshalJSON(data []byte) error { *x = decode((*cursor).tag, data); return nil }

// UnmarshalJSON reads properties leniently and is never an error.
func (x *Properties) UnmarshalJSON(data []byte) error {
	c := cursor{data: bytes.Clone(data)}
	*x = c.properties()
	return nil
}

// decode reads one value from a copy of data, which encoding/json may use again
// after UnmarshalJSON returns, while Properties keep pointing into it.
func decode[T any](read func(*cursor) *T, data []byte) (value T) {
	if v := read(&cursor{data: bytes.Clone(data)}); v != nil {
		value = *v
	}
	return value
}

func (c *cursor) chat() *Chat {
	x := new(Chat)
	if !c.object(func(key []byte) {
		switch string(key) {
		case "id":
			x.ID = c.id()
		case "users":
			x.Users = nil
			c.array(func() {
				if u := c.user(); u != nil {
					x.Users = append(x.Users, *u)
				}
			})
		case "thread":
			x.Thread = c.thread()
		case "access":
			x.GroupIDs, x.HasGroups = c.groups()
		case "properties":
			x.Properties = c.properties()
		}
	}) {
		return nil
	}
	return x
}

func (c *cursor) thread() *Thread {
	x := new(Thread)
	if !c.object(func(key []byte) {
		switch string(key) {
		case "id":
			x.ID = c.id()
		case "active":
			x.Active = c.is("true")
		case "created_at":
			x.CreatedAt = c.time()
		case "events":
			x.Events = nil
			c.array(func() {
				if e := c.event(); e != nil {
					x.Events = append(x.Events, *e)
				}
			})
		case "user_ids":
			x.UserIDs = c.ids()
		case "tags":
			x.Tags = c.strings()
		case "access":
			x.GroupIDs, x.HasGroups = c.groups()
		case "previous_thread_id":
			x.PreviousThreadID = c.id()
		case "next_thread_id":
			x.NextThreadID = c.id()
		case "restricted_access":
			x.Restricted = c.restricted()
		case "properties":
			x.Properties = c.properties()
		}
	}) {
		return nil
	}
	return x
}

// restricted takes restricted_access. Documented is a string; whatever else is
// there also says that events are withheld, which must not be taken for a
// thread without events.
func (c *cursor) restricted() string {
	if c.peek() == '"' {
		return c.str()
	}
	switch string(c.raw()) {
	case "null", "false":
		return ""
	}
	return "unknown reason"
}

func (c *cursor) user() *User {
	x := new(User)
	if !c.object(func(key []byte) {
		switch string(key) {
		case "id":
			x.ID = c.id()
		case "type":
			x.Type = c.str()
		}
	}) {
		return nil
	}
	return x
}

func (c *cursor) event() *Event {
	x := new(Event)
	if !c.object(func(key []byte) {
		switch string(key) {
		case "id":
			x.ID = c.id()
		case "type":
			x.Type = c.str()
		case "created_at":
			x.CreatedAt = c.time()
		case "visibility", "recipients":
			// recipients up to v3.3, visibility since. Only null counts as
			// absent: a value nobody has documented must not make a note
			// public.
			switch string(c.raw()) {
			case `"all"`, "null":
			default:
				x.Internal = true
			}
		case "author_id":
			x.AuthorID = c.id()
		case "deleted":
			x.Deleted = c.is("true")
		case "text":
			x.Text = c.str()
		case "form_type":
			x.FormType = c.str()
		case "fields":
			x.Fields = nil
			c.array(func() {
				if f := c.field(); f != nil {
					x.Fields = append(x.Fields, *f)
				}
			})
		case "elements":
			x.Elements = nil
			c.array(func() {
				if c.peek() == '{' {
					x.Elements = append(x.Elements, c.element())
				}
			})
		case "postback":
			x.Postback = c.postback()
		case "properties":
			x.Properties = c.properties()
		}
	}) {
		return nil
	}
	if x.FormType == "" { // up to v3.3
		form := cursor{data: x.Properties["lc2"]["form_type"]}
		x.FormType = form.str()
	}
	return x
}

// field takes a form field. The documented answer is `answer`, a string or an
// object; checkboxes have `answers`, and an old SDK of the platform reads
// `value`. Each is taken in any of these shapes, the first that holds
// something counts.
func (c *cursor) field() *Field {
	x := new(Field)
	var answer, answers, value []Answer
	if !c.object(func(key []byte) {
		switch string(key) {
		case "id":
			x.ID = c.id()
		case "type":
			x.Type = c.str()
		case "label":
			x.Label = c.str()
		case "answer":
			answer = c.answers()
		case "answers":
			answers = c.answers()
		case "value":
			value = c.answers()
		}
	}) {
		return nil
	}
	switch {
	case len(answer) > 0:
		x.Answers = answer
	case len(answers) > 0:
		x.Answers = answers
	default:
		x.Answers = value
	}
	return x
}

// answers takes one answer or an array of them and leaves out empty ones.
func (c *cursor) answers() []Answer {
	var list []Answer
	add := func() {
		if a := c.answer(); a != (Answer{}) {
			list = append(list, a)
		}
	}
	if c.peek() == '[' {
		c.array(add)
	} else {
		add()
	}
	return list
}

func (c *cursor) answer() Answer {
	if c.peek() != '{' {
		return Answer{Text: c.id()}
	}
	var a Answer
	c.object(func(key []byte) {
		switch string(key) {
		case "id":
			a.ID = c.id()
		case "label":
			a.Text = c.id()
		}
	})
	return a
}

func (c *cursor) element() Element {
	var x Element
	c.object(func(key []byte) {
		if string(key) != "buttons" {
			return
		}
		x.Buttons = nil
		c.array(func() {
			if c.peek() != '{' {
				return
			}
			var b Button
			c.object(func(key []byte) {
				switch string(key) {
				case "text":
					b.Text = c.str()
				case "postback_id":
					b.PostbackID = c.id()
				case "user_ids":
					b.HasUsers = c.peek() == '['
					b.UserIDs = c.ids()
				}
			})
			x.Buttons = append(x.Buttons, b)
		})
	})
	return x
}

func (c *cursor) postback() *Postback {
	x := &Postback{Toggled: true}
	if !c.object(func(key []byte) {
		switch string(key) {
		case "id":
			x.ID = c.id()
		case "event_id":
			x.EventID = c.id()
		case "thread_id":
			x.ThreadID = c.id()
		case "toggled":
			x.Toggled = !c.is("false")
		}
	}) {
		return nil
	}
	return x
}

func (c *cursor) tag() *Tag {
	x := new(Tag)
	if !c.object(func(key []byte) {
		switch string(key) {
		case "name":
			x.Name = c.str()
		case "group_ids":
			x.GroupIDs, _ = c.ints()
		}
	}) {
		return nil
	}
	return x
}

// groups takes an object with group_ids and reports whether it has them.
func (c *cursor) groups() (groups []int, ok bool) {
	c.object(func(key []byte) {
		if string(key) == "group_ids" {
			groups, ok = c.ints()
		}
	})
	return groups, ok
}

// properties takes values by namespace and name.
func (c *cursor) properties() Properties {
	var p Properties
	c.object(func(key []byte) {
		if c.peek() != '{' {
			return
		}
		names := make(map[string]json.RawMessage)
		if p == nil {
			p = make(Properties)
		}
		p[string(key)] = names
		c.object(func(key []byte) { names[string(key)] = c.raw() })
	})
	return p
}

// removed takes names by namespace.
func (c *cursor) removed() map[string][]string {
	var r map[string][]string
	c.object(func(key []byte) {
		if c.peek() != '[' {
			return
		}
		if r == nil {
			r = make(map[string][]string)
		}
		r[string(key)] = c.strings()
	})
	return r
}
