// Package decision holds the records that the tagger keeps of every thread in
// AUTOTAG_DECISIONS: what the rules said (Record) and what was done about it
// (Outcome). They are read by other programs, so their JSON is a contract.
package decision

import (
	"encoding/json"
	"slices"
	"time"

	"autotag/pkg/rules"
)

// Reasons why a thread was decided.
const (
	ReasonEnded     = "ended"      // first decision after its end
	ReasonLateEvent = "late_event" // something arrived after a decision
	ReasonSweep     = "sweep"
	ReasonBackfill  = "backfill"
)

// Version is the value of Record.V that this package writes.
const Version = 1

// Record is one decision about one thread. Every decided thread has one, also
// without tags; Tags is the whole answer, not a difference to the last one. It
// never holds the customer's text.
type Record struct {
	V              int              `json:"v"`
	OrganizationID string           `json:"organization_id"` // the subject token: license-<id> for old webhooks
	ChatID         string           `json:"chat_id"`
	ThreadID       string           `json:"thread_id"`
	DecidedAt      time.Time        `json:"decided_at"`
	Reason         string           `json:"reason"`
	RulesVersion   string           `json:"rules_version"` // hash of the rules file
	Transcript     Transcript       `json:"transcript"`
	Tags           []rules.Hit      `json:"tags"`
	Shadow         []rules.Hit      `json:"shadow"`
	NearMisses     []rules.NearMiss `json:"near_misses"`
	Skipped        []rules.Skip     `json:"skipped"`
	// More counts the entries of the four lists that were left out to keep the
	// record under 256 KiB.
	More int `json:"more,omitempty"`
}

// Transcript says what a decision was made of.
type Transcript struct {
	Messages int  `json:"messages"`
	From     From `json:"from"`
	Complete bool `json:"complete"`
	Cut      bool `json:"cut"`
	// Digest is the hash of the event ids and texts.
	Digest string `json:"digest"`
	// Seq and Until are the sequence and the time of the newest webhook in
	// LIVECHAT_EVENTS that was looked at and may change the answer; zero for none.
	Seq   uint64    `json:"seq,omitempty"`
	Until time.Time `json:"until,omitzero"`
}

// From counts the events that each source knew.
type From struct {
	Redis int `json:"redis"`
	Log   int `json:"log"`
	API   int `json:"api"`
}

// Operations of a call.
const (
	Tag   = "tag"
	Untag = "untag"
)

// States of a call.
const (
	Intended = "intended" // acknowledged by NATS before the call is made
	Done     = "done"
	Failed   = "failed"
)

// Outcome says which calls were intended or made for a decision.
type Outcome struct {
	DecisionSeq uint64 `json:"decision_seq"` // of the Record in AUTOTAG_DECISIONS
	Calls       []Call `json:"calls"`
}

// Call is one tag_thread or untag_thread.
type Call struct {
	Op      string `json:"op"`
	Tag     string `json:"tag"`
	State   string `json:"state"`
	Attempt int    `json:"attempt"` // from 1
	// Result is "" for a plain success, else the error type of the platform's
	// answer, or "timeout", "unreachable", "already_tagged", "not_tagged".
	Result string `json:"result,omitempty"`
}

// Trim returns r with as much left out as its JSON needs to stay under max
// bytes: near misses first, then skipped and shadow entries, then evidence. The
// tags themselves always stay.
func (r Record) Trim(max int) Record {
	fits := func() bool {
		data, err := json.Marshal(r)
		return err == nil && len(data) < max
	}
	if fits() {
		return r
	}
	for _, drop := range []func(){
		func() { r.More += len(r.NearMisses); r.NearMisses = []rules.NearMiss{} },
		func() { r.More += len(r.Skipped); r.Skipped = []rules.Skip{} },
		func() { r.More += len(r.Shadow); r.Shadow = []rules.Hit{} },
		func() {
			r.Tags = slices.Clone(r.Tags)
			for i := range r.Tags {
				t := &r.Tags[i]
				t.More, t.Evidence = t.More+len(t.Evidence), []rules.Evidence{}
			}
		},
	} {
		if drop(); fits() {
			break
		}
	}
	return r
}
