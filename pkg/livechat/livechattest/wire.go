package livechattest

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// object is a JSON object on the wire.
type object = map[string]any

// Properties are values by namespace and name.
type Properties map[string]map[string]any

// User is a participant of a chat.
type User struct {
	ID string
	// Type is "customer" or "agent" (bots too); when empty it follows from the
	// id: an e-mail address or 32 hexadecimal digits make an agent.
	Type   string
	Name   string
	Email  string
	Silent bool // an agent whom the customer does not see
}

// Event is one event of a thread.
type Event struct {
	ID         string // <thread>_<n> when empty
	CustomID   string
	Type       string    // message when empty
	At         time.Time // now when zero; always after the event before it
	Author     string    // user id; empty on system types
	Internal   bool      // only agents see it
	Text       string
	FormType   string    // of forms: prechat, postchat, ask_for_email, ticket, others
	Fields     []Field   // of form and filled_form
	Elements   []Element // of rich_message
	Postback   *Postback // the message came from a button
	Properties Properties
	Extra      map[string]any // further fields as they are on the wire
}

// Field is a question of a form, and in a filled_form its answer: Text, or
// Choices for the types radio, select, group_chooser and checkbox.
type Field struct {
	ID, Type, Label string
	Text            string
	Choices         []Choice
	Options         []Choice // of form
	Required        bool
}

// Choice is one option of a field.
type Choice struct {
	ID, Label string
	GroupID   int // of group_chooser
}

// Element is a card of a rich message.
type Element struct {
	Title, Subtitle string
	Buttons         []Button
}

// Button of a rich message; type is message, url, webview or phone.
type Button struct{ Type, Text, Value, PostbackID string }

// Postback says which button a message came from. Its thread is the one that
// EventID names when ThreadID is empty.
type Postback struct{ ID, ThreadID, EventID, Type, Value string }

// before says whether webhook or API version v is older than w; versions are
// 3.n with one digit.
func before(v, w string) bool { return v < w }

func (s *Switches) timestamp(t time.Time) string {
	if s.Timestamps == TimestampsOffset {
		return t.In(time.FixedZone("", 3600)).Format(time.RFC3339Nano)
	}
	return t.UTC().Format("2006-01-02T15:04:05.000000Z")
}

func isSystem(eventType string) bool {
	return eventType == "system_message" || eventType == "system"
}

func userType(u User) string {
	if u.Type != "" {
		return u.Type
	}
	if isBot(u.ID) || strings.Contains(u.ID, "@") {
		return "agent"
	}
	return "customer"
}

func isBot(user string) bool {
	return len(user) == 32 && strings.Trim(user, "0123456789abcdef") == ""
}

func (u User) wire(v view, present bool) object {
	o := object{"id": u.ID, "type": userType(u), "present": present}
	if isBot(u.ID) {
		o["type"] = either(v.sw.BotType, BotTypeAgent)
	}
	if u.Name != "" {
		o["name"] = u.Name
	}
	if u.Email != "" {
		o["email"] = u.Email
	}
	if userType(u) == "agent" && !before(v.version, "3.4") {
		o["visibility"] = "all"
		if u.Silent {
			o["visibility"] = "agents"
		}
	}
	return o
}

func (e *event) wire(v view) object {
	visibility := "visibility"
	if before(v.version, "3.4") {
		visibility = "recipients"
	}
	o := object{"id": e.ID, "type": e.Type, "created_at": v.sw.timestamp(e.At), visibility: "all"}
	if e.Internal {
		o[visibility] = "agents"
	}
	if e.CustomID != "" {
		o["custom_id"] = e.CustomID
	}
	if !isSystem(e.Type) {
		o["author_id"] = e.Author
	}
	if e.deleted {
		o["deleted"] = true
		if v.stubs {
			return o
		}
	}
	switch e.Type {
	case "message", "system_message":
		o["text"] = e.Text
	case "form", "filled_form":
		o["form_id"] = "1716971122334"
		if e.FormType != "" && !before(v.version, "3.4") {
			o["form_type"] = e.FormType
		}
		fields := []object{}
		for _, f := range e.Fields {
			fields = append(fields, f.wire(e.Type == "filled_form"))
		}
		o["fields"] = fields
	case "rich_message":
		o["template_id"] = "cards"
		elements := []object{}
		for _, el := range e.Elements {
			elements = append(elements, el.wire(e.clicked))
		}
		o["elements"] = elements
	}
	if e.Postback != nil {
		o["postback"] = object{
			"id": e.Postback.ID, "thread_id": either(e.Postback.ThreadID, threadOf(e.Postback.EventID)), "event_id": e.Postback.EventID,
			"type": e.Postback.Type, "value": e.Postback.Value,
		}
	}
	if len(e.Properties) > 0 {
		o["properties"] = e.Properties
	}
	maps.Copy(o, e.Extra)
	return o
}

func threadOf(eventID string) string {
	thread, _, _ := strings.Cut(eventID, "_")
	return thread
}

func (f Field) wire(filled bool) object {
	o := object{"id": f.ID, "type": f.Type, "label": f.Label}
	if !filled {
		o["required"] = f.Required
		if len(f.Options) > 0 {
			o["options"] = choices(f.Options)
		}
		return o
	}
	switch f.Type {
	case "radio", "select":
		if len(f.Choices) > 0 {
			o["answer"] = choices(f.Choices)[0]
		}
	case "group_chooser":
		if len(f.Choices) > 0 {
			answer := choices(f.Choices)[0]
			answer["group_id"] = f.Choices[0].GroupID
			o["answer"] = answer
		}
	case "checkbox":
		o["answers"] = choices(f.Choices)
	default:
		o["answer"] = f.Text
	}
	return o
}

func choices(list []Choice) []object {
	out := []object{}
	for _, c := range list {
		out = append(out, object{"id": c.ID, "label": c.Label})
	}
	return out
}

func (el Element) wire(clicked map[string][]string) object {
	o := object{}
	if el.Title != "" {
		o["title"] = el.Title
	}
	if el.Subtitle != "" {
		o["subtitle"] = el.Subtitle
	}
	buttons := []object{}
	for _, b := range el.Buttons {
		users := clicked[b.PostbackID]
		if users == nil {
			users = []string{}
		}
		wb := object{"text": b.Text, "postback_id": b.PostbackID, "user_ids": users}
		if b.Type != "" {
			wb["type"], wb["value"] = b.Type, b.Value
		}
		buttons = append(buttons, wb)
	}
	o["buttons"] = buttons
	return o
}

// view is who looks at a thread: webhooks and API answers differ in a few
// fields.
type view struct {
	version string
	api     bool // API answers show the next thread and the tags set since
	archive bool // list_archives adds the accessible neighbours
	stubs   bool // a deleted event has no content: a token of the normal role looks
	sw      *Switches
}

func (t *thread) wire(v view) object {
	o := object{
		"id": t.id, "active": t.active, "created_at": v.sw.timestamp(t.created),
		"user_ids": t.users, "access": object{"group_ids": t.groups},
	}
	if t.restricted != "" && v.api {
		o["restricted_access"] = t.restricted
	} else {
		events := []object{}
		for _, e := range t.events {
			if e.deleted && before(v.version, "3.6") {
				continue
			}
			events = append(events, e.wire(v))
		}
		o["events"] = events
	}
	if len(t.properties) > 0 {
		o["properties"] = t.properties
	}
	if len(t.tags) > 0 {
		o["tags"] = t.tags
	}
	if t.queued {
		o["queue"] = object{"position": 1, "wait_time": 60, "queued_at": v.sw.timestamp(t.created)}
	}
	i := slices.Index(t.chat.threads, t)
	if i > 0 {
		o["previous_thread_id"] = t.chat.threads[i-1].id
		if v.archive {
			o["previous_accessible_thread_id"] = t.chat.threads[i-1].id
		}
	}
	if v.api && i+1 < len(t.chat.threads) {
		o["next_thread_id"] = t.chat.threads[i+1].id
		if v.archive {
			o["next_accessible_thread_id"] = t.chat.threads[i+1].id
		}
	}
	if v.api && t.summary != "" && !before(v.version, "3.6") {
		o["summary"] = object{"status": "ok", "text": t.summary, "updated_at": v.sw.timestamp(t.ended)}
	}
	return o
}

// wire gives the chat with one thread, as webhooks, get_chat and list_archives
// do.
func (c *chat) wire(t *thread, v view) object {
	users := []object{}
	for _, u := range c.users {
		if t.queued && userType(u) == "agent" {
			continue // nobody has come yet
		}
		users = append(users, u.wire(v, t.active && slices.Contains(t.users, u.ID)))
	}
	o := object{"id": c.id, "users": users, "thread": t.wire(v), "access": object{"group_ids": c.groups}}
	if len(c.properties) > 0 {
		o["properties"] = c.properties
	}
	if v.api {
		o["is_followed"] = false
	}
	return o
}

// webhook wraps a payload in the envelope of version.
func (o *organization) webhook(version, action string, payload object, extra object) []byte {
	body := object{
		"webhook_id": webhookID(action), "secret_key": o.Secret, "action": action, "payload": payload,
	}
	if before(version, "3.4") {
		body["license_id"] = o.LicenseID
		if o.sw.LicenseAsText {
			body["license_id"] = fmt.Sprint(o.LicenseID)
		}
	} else {
		body["organization_id"] = o.ID
	}
	maps.Copy(body, extra)
	return encode(body)
}

// webhookID is the id of the registration, the same for all webhooks of an
// action.
func webhookID(action string) string {
	const prefix = "b1f0c9d27e4a4c0f8f6d0a3b5c7e"
	sum := uint32(0)
	for _, r := range action {
		sum = sum*31 + uint32(r)
	}
	const hex = "0123456789abcdef"
	id := []byte(prefix)
	for i := 0; i < 4; i++ {
		id = append(id, hex[sum&15])
		sum >>= 4
	}
	return string(id)
}

// send builds a webhook about a thread.
func (t *thread) send(action, eventID string, payload object) Webhook {
	c := t.chat
	extra := object{}
	if c.org.AdditionalData {
		present := t.users
		if !t.active {
			present = []string{}
		}
		extra["additional_data"] = object{"chat_properties": c.properties, "chat_presence_user_ids": present}
	}
	return Webhook{
		Organization: c.org.ID, Chat: c.id, Thread: t.id, Event: eventID, Action: action,
		Body: c.org.webhook(c.version, action, payload, extra),
	}
}
