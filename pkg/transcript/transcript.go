// Package transcript turns the set of a thread's webhooks into its transcript.
//
// It is pure: no clock, no network, no server. The result depends on the set
// of webhooks alone, not on their order, number or timing; only where the
// webhooks leave several readings does the order of arrival choose the first.
package transcript

import "time"

// Author is the side that wrote a message.
type Author string

// The sides. A message of an author whose side nothing tells is Unknown: it is
// searched by rules for anyone only.
const (
	Customer Author = "customer"
	Agent    Author = "agent"
	Bot      Author = "bot"
	Unknown  Author = ""
)

// Key names a thread. The parts are subject tokens ([A-Za-z0-9_-]{1,128}).
type Key struct{ Org, Chat, Thread string }

// Transcript is what rules look at: one thread's messages, deduplicated, edits
// and deletions applied, ordered by time, then by the number in the event id,
// then by id. Only what has searchable text is a message; system messages,
// greetings, deleted events and form questions are not in it.
type Transcript struct {
	Messages []Message
	Groups   []int    // sorted; group ids of the thread
	Tagged   []string // sorted; tags that are on the thread and are not ours
	// Complete is false where events are known or feared to be missing for
	// good; fallback rules then do not apply.
	Complete bool
	Cut      bool // the caps left something out; Complete is then false
}

// Message is one event with searchable text. A filled form is one message with
// one Text per answer.
type Message struct {
	EventID  string
	At       time.Time
	Author   Author
	Internal bool // only agents see it
	Texts    []Text
}

// Text is one searchable text of a message.
type Text struct {
	// Field is "text", "answer:<field id>", "answer:<field id>:<answer id>"
	// (checkboxes) or "button".
	Field    string
	Text     string // as the platform sent it
	Markdown bool   // CommonMark: to be read without its markup
}
