// Package scenario reads scripted chats from YAML files and plays them: on a
// LiveChat platform in memory, whose webhooks it sends to a receiver with the
// faults that the script asks for, until the tags are as the script expects.
package scenario

import "time"

// Scenario is one file.
type Scenario struct {
	Name  string   // the file's name without folder and ending
	Note  string   // what the scenario shows
	Tags  []string // tags that exist in the account beside those that the chats name
	Chats []Chat
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

// Chat is one scripted chat with one or more threads.
type Chat struct {
	Name      string
	Customer  string // name shown to agents
	Groups    []int
	Webhooks  string // version of the webhooks' shape, such as 3.3
	Starts    string // of the first thread
	OpensWith int    // events that come inside incoming_chat
	Pace      time.Duration
	Repeat    int
	Order     Order
	Seed      uint64        // of Shuffled, Lose and Delay; repetitions differ
	Copies    int           // how often every webhook is sent
	Lose      int           // percent of the messages whose webhook is lost
	Delay     time.Duration // every webhook is late by up to this
	API       []string
	Threads   []Thread
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
	UntilTagged   Kind = "until_tagged"
	End           Kind = "end"
)

// Step is one thing that happens in a thread.
type Step struct {
	Kind    Kind
	Line    int
	After   time.Duration // wait before it; negative: the chat's pace
	Arrives Arrival

	Author   string // of Says: customer, agent, bot; of End: customer, agent, router
	Text     string // of Says, Edit, Translate
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
}

// Arrival is what becomes of a step's webhooks on their way.
type Arrival struct {
	Lost     bool
	Copies   int // 0: as many as the chat says
	Delay    time.Duration
	AfterEnd bool // Delay counts from the end of the thread
}
