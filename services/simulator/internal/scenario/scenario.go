// Package scenario reads scripted chats from YAML files and plays them: on a
// LiveChat platform in memory, whose webhooks it sends to a receiver with the
// faults that the script asks for, until the tags are as the script expects.
package scenario

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Scenario is one file.
type Scenario struct {
	Name string   // the file's name without folder and ending
	Note string   // what the scenario shows
	Tags []string // tags that exist in the account beside those that the chats name
	// TagGroups are the groups of tags that do not belong to all.
	TagGroups map[string][]int
	Chats     []Chat
}

// Order in which a chat's webhooks arrive.
type Order string

const (
	AsSent    Order = "as sent"
	Shuffled  Order = "shuffled"
	EndFirst  Order = "end first" // chat_deactivated before all others
	Reversed  Order = "reversed"
	AllAtOnce Order = "all at once"
)

// How a chat starts.
const (
	StartsOpen    = "open"
	StartsQueued  = "queued"  // no agent yet
	StartsOffline = "offline" // closed from the start; no chat_deactivated follows
)

// Delivery is how the platform sends its webhooks, where LiveChat leaves it
// open. Its texts are taken as they are; see livechattest.Switches for the tags.
type Delivery struct {
	Order        Order         `values:"as sent|shuffled|end first|reversed|all at once" desc:"order of a chat's webhooks, unless its scenario says"`
	Copies       int           `values:"1|3" desc:"how often every webhook is sent, unless the scenario says; 0 is 1"`
	Delay        time.Duration `values:"0s|2s" desc:"every webhook is late by up to this, unless the scenario says"`
	Webhooks     string        `values:"v3.6|v3.2|v3.3|v3.4|v3.5|v3.7" desc:"shape of the webhooks, unless the scenario says or deletes something, which older ones than v3.6 do not tell"`
	Accept2xx    bool          `values:"false|true" desc:"every status of 200 to 299 counts as a success, not 200 alone"`
	DisableAfter int           `values:"0|1" desc:"after so many webhooks in a row were given up, none is sent until enable_license_webhooks; 0: never"`
}

// of gives the chat with what its scenario leaves open.
func (d Delivery) of(c Chat) Chat {
	if c.Order == "" {
		c.Order = cmp.Or(d.Order, AsSent)
	}
	c.Copies = cmp.Or(c.Copies, d.Copies, 1)
	c.Delay = cmp.Or(c.Delay, d.Delay)
	if c.Webhooks == "" {
		c.Webhooks = cmp.Or(strings.TrimPrefix(d.Webhooks, "v"), defaultShape)
		if c.deletes() {
			c.Webhooks = max(c.Webhooks, defaultShape)
		}
	}
	return c
}

// defaultShape is the oldest version whose webhooks tell of deletions.
const defaultShape = "3.6"

func (c *Chat) deletes() bool {
	return slices.ContainsFunc(c.Threads, func(t Thread) bool {
		return slices.ContainsFunc(t.Says, func(s Step) bool { return s.Kind == Delete })
	})
}

// Chat is one scripted chat with one or more threads. Of Order, Copies, Delay
// and Webhooks the zero value leaves it to Delivery.
type Chat struct {
	Name     string
	Customer string // name shown to agents
	Groups   []int
	Webhooks string // version of the webhooks' shape, such as 3.3
	Starts   string // of the first thread
	// Restricted: the API withholds the messages, as LiveChat does beyond the
	// history that a plan pays for.
	Restricted bool
	OpensWith  int // events that come inside incoming_chat
	Pace       time.Duration
	Repeat     int
	Order      Order
	Seed       uint64        // of Shuffled, Lose and Delay; repetitions differ
	Copies     int           // how often every webhook is sent
	Lose       int           // percent of the messages whose webhook is lost
	Delay      time.Duration // every webhook is late by up to this
	API        []string
	Threads    []Thread
}

// Thread is one conversation of a chat.
type Thread struct {
	Says   []Step
	Expect []string // tags in the end, those of people included
}

// Kind of a step.
type Kind string

const (
	Says          Kind = "says" // customer, agent or bot
	Edit          Kind = "edit"
	Delete        Kind = "delete"
	Translate     Kind = "translate"
	PersonTags    Kind = "person_tags"
	PersonRemoves Kind = "person_removes"
	Transfer      Kind = "transfer"
	Joins         Kind = "joins"
	Leaves        Kind = "leaves"
	Rates         Kind = "rates"   // the customer, with a comment
	Summary       Kind = "summary" // by LiveChat, after the end
	Unknown       Kind = "webhook" // of an action that tells nothing
	UntilTagged   Kind = "until_tagged"
	End           Kind = "end"
)

// Step is one thing that happens in a thread.
type Step struct {
	Kind    Kind
	Line    int
	After   time.Duration // wait before it; negative: the chat's pace
	Arrives Arrival

	Author   string // of Says: customer, agent, bot; of End: customer, agent, router; of Joins and Leaves: agent, bot
	Text     string // of Says, Edit, Translate, Rates, Summary
	File     string // name of a file
	Action   string // of Unknown
	As       string // name of a message for later steps
	Of       string // the message that Edit, Delete and Translate are about
	Internal bool
	Markdown bool
	Greeting bool
	Form     []Answer // a filled form
	Asks     []Answer // a form with questions
	Buttons  []string // a rich message with these buttons
	Button   string   // the customer presses this button
	Tag      string   // of PersonTags, PersonRemoves
	Tags     []string // of UntilTagged
	Groups   []int    // of Transfer
}

// Answer is a form's question with its answers, or with its options.
type Answer struct {
	Question string
	Answers  []string
	Several  bool // a list: checkboxes
	Choice   bool // one of several that were offered
}

// Arrival is what becomes of a step's webhooks on their way.
type Arrival struct {
	Lost     bool
	Copies   int // 0: as many as the chat says
	Delay    time.Duration
	AfterEnd bool // Delay counts from the end of the thread
}
