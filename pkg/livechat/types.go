// Package livechat holds the wire types of the LiveChat (text.com) platform as
// far as Autotag reads them, webhooks of versions 3.2 to 3.7 alike, and a small
// client for the API methods that Autotag calls.
//
// Reading is lenient everywhere: an unknown field is ignored, and a known field
// of an unexpected shape becomes its zero value and is never an error of the
// whole document, because the platform's own samples disagree with each other
// and a webhook that cannot be read is a chat that cannot be tagged. The types
// are for reading only: marshalled, they do not have the platform's shape.
package livechat

import (
	"encoding/json"
	"time"
)

// Actions of webhooks that Autotag understands. Every other action is carried
// through the stream untouched.
const (
	IncomingChat                = "incoming_chat"
	IncomingEvent               = "incoming_event"
	EventUpdated                = "event_updated"
	EventDeleted                = "event_deleted"
	ChatDeactivated             = "chat_deactivated"
	ChatTransferred             = "chat_transferred"
	ChatAccessUpdated           = "chat_access_updated"
	ChatAccessGranted           = "chat_access_granted" // up to v3.3
	ChatAccessRevoked           = "chat_access_revoked" // up to v3.3
	UserAddedToChat             = "user_added_to_chat"
	UserRemovedFromChat         = "user_removed_from_chat"
	IncomingRichMessagePostback = "incoming_rich_message_postback"
	ThreadTagged                = "thread_tagged"
	ThreadUntagged              = "thread_untagged"
	EventPropertiesUpdated      = "event_properties_updated"
	EventPropertiesDeleted      = "event_properties_deleted"
)

// Webhook is one delivery as it lies in the stream: the envelope without
// secret_key.
type Webhook struct {
	WebhookID    string          // id of the registration, not of the delivery
	Action       string          // e.g. "incoming_event"
	Organization string          // organization_id, or "license-<license_id>" for v3.2 and v3.3
	Payload      json.RawMessage // as the platform sent it, compacted
}

// Payload is the union of the payloads of every action that Autotag reads.
// Which fields are set follows from the action. ChatID also takes the field
// "id" of chat_access_*.
type Payload struct {
	ChatID     string
	ThreadID   string
	Chat       *Chat               // incoming_chat
	Event      *Event              // incoming_event, event_updated
	EventID    string              // event_deleted, event_properties_*, postback
	UserID     string              // chat_deactivated, user_removed_from_chat, postback
	User       *User               // user_added_to_chat
	Tag        string              // thread_tagged, thread_untagged
	Properties Properties          // event_properties_updated
	Removed    map[string][]string // event_properties_deleted: names by namespace
	GroupIDs   []int               // chat_access_*: access.group_ids (of _granted and _revoked only those that changed); chat_transferred: transferred_to.group_ids
	HasGroups  bool                // GroupIDs was present, also when empty
	Postback   *Postback           // incoming_rich_message_postback
}

// Chat is a chat with the one thread that webhooks, get_chat and list_archives
// give with it.
type Chat struct {
	ID         string
	Users      []User
	Thread     *Thread
	GroupIDs   []int // access.group_ids
	HasGroups  bool
	Properties Properties
}

// Thread is one conversation.
type Thread struct {
	ID               string
	Active           bool
	CreatedAt        time.Time
	Events           []Event
	UserIDs          []string
	Tags             []string // absent on the wire when there are none
	GroupIDs         []int    // access.group_ids
	HasGroups        bool
	PreviousThreadID string
	NextThreadID     string
	Restricted       string // restricted_access: the reason, "" when there is none
	Properties       Properties
}

// User is a participant. Type is "customer" or "agent"; a bot is an "agent"
// whose id is 32 hexadecimal digits.
type User struct {
	ID   string
	Type string
}

// Event is one event of a thread.
type Event struct {
	ID        string
	Type      string // message, filled_form, form, rich_message, file, system_message, system, custom, ...
	CreatedAt time.Time
	// Internal says that only agents see the event: visibility (recipients up
	// to v3.3) is present and anything but "all".
	Internal   bool
	AuthorID   string // "" on system types
	Deleted    bool
	Text       string
	FormType   string // prechat, postchat, ask_for_email, ticket, others; "" if unknown
	Fields     []Field
	Elements   []Element // rich_message
	Postback   *Postback // message that a rich-message button sent
	Properties Properties
}

// Field is one field of a filled form. A field of type radio, select or
// group_chooser has one answer, a checkbox any number.
type Field struct {
	ID      string
	Type    string
	Label   string
	Answers []Answer
}

// Answer is what the customer gave: ID is "" for free text.
type Answer struct {
	ID   string
	Text string
}

// Element is a card of a rich message, as far as its buttons go.
type Element struct{ Buttons []Button }

// Button of a rich message.
type Button struct {
	Text       string
	PostbackID string
	UserIDs    []string // who has it switched on
	HasUsers   bool     // UserIDs was present, also when empty
}

// Postback is a click on a button of a rich message.
type Postback struct {
	ID       string
	EventID  string // of the rich message (in an event's postback)
	ThreadID string
	Toggled  bool // true when absent
}

// Properties are values by namespace and name.
type Properties map[string]map[string]json.RawMessage

// Tag is a tag of the account (list_tags).
type Tag struct {
	Name     string
	GroupIDs []int
}
