package cmd

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"autotag/pkg/decision"
	"autotag/pkg/livechat"
	"autotag/pkg/rules"
	"autotag/pkg/stream"
	"autotag/pkg/transcript"
)

// explanation is all that is known of how a thread came to its tags.
type explanation struct {
	OrganizationID string `json:"organization_id"`
	ChatID         string `json:"chat_id"`
	ThreadID       string `json:"thread_id"`
	// Decision is the newest one, null for a thread that is not decided.
	Decision     *decision.Record  `json:"decision"`
	DecisionSeq  uint64            `json:"decision_seq"` // in AUTOTAG_DECISIONS
	Earlier      []earlierDecision `json:"earlier"`      // oldest first
	RulesInForce string            `json:"rules_in_force"`
	Calls        []madeCall        `json:"calls"` // of all decisions, in order
	DeadLetters  []deadLetter      `json:"dead_letters"`
	TimerAt      *time.Time        `json:"timer_at"` // when it will be looked at (again)
	FiredAt      *time.Time        `json:"fired_at"` // when its timer last did
	RetryAt      *time.Time        `json:"retry_at"` // until when its calls wait
	// Webhooks says what is in LIVECHAT_EVENTS of a thread that is not decided.
	Webhooks *threadWebhooks `json:"webhooks"`
	// Texts are the messages that evidence is of, where they were asked for.
	Texts *evidenceTexts `json:"texts"`
	// Others are further threads that what was asked for may mean.
	Others []threadName `json:"others"`

	asked   string // the chat that was asked for, "" for a thread
	fromLog bool   // RulesInForce is what the taggers have loaded, not the file
}

type earlierDecision struct {
	Seq          uint64    `json:"seq"`
	DecidedAt    time.Time `json:"decided_at"`
	Reason       string    `json:"reason"`
	RulesVersion string    `json:"rules_version"`
	Tags         []string  `json:"tags"`
}

// madeCall is a call of an outcome, with when it was recorded.
type madeCall struct {
	At          time.Time `json:"at"`
	DecisionSeq uint64    `json:"decision_seq"`
	decision.Call
}

type deadLetter struct {
	At     time.Time `json:"at"`
	Stage  string    `json:"stage"`
	Reason string    `json:"reason"`
}

type threadName struct {
	OrganizationID string `json:"organization_id"`
	ChatID         string `json:"chat_id"`
	ThreadID       string `json:"thread_id"`
}

type threadWebhooks struct {
	Count   int        `json:"count"`
	Newest  *time.Time `json:"newest"`
	Started bool       `json:"started"`  // its incoming_chat is there
	EndedAt *time.Time `json:"ended_at"` // null where nothing tells of an end
	EndedBy string     `json:"ended_by"` // the webhook that told, "" for none
}

// evidenceTexts are the fields of messages that evidence is of, and what the
// rules of that day say about the chat.
type evidenceTexts struct {
	From string `json:"from"` // fromStream or fromLiveChat
	// AsDecided says that the transcript is the very one that was decided on.
	AsDecided   bool `json:"as_decided"`
	RulesKept   bool `json:"rules_kept"`   // the rules of that day are in NATS
	RulesUsable bool `json:"rules_usable"` // and this program can use them
	// TagsAgain are the tags that these rules give for the chat; null where there
	// are no such rules or is no chat.
	TagsAgain []string       `json:"tags_again"`
	Fields    []evidenceText `json:"fields"`

	chat *transcript.Transcript
	lost bool       // nothing is left of the chat
	set  *rules.Set // of that day; nil where there are none to use
}

// Where a chat is from.
const (
	fromStream   = "stream" // LIVECHAT_EVENTS
	fromLiveChat = "livechat"
)

type evidenceText struct {
	EventID string  `json:"event_id"`
	Field   string  `json:"field"`
	Text    *string `json:"text"` // null: no longer in LIVECHAT_EVENTS
	number  int     // of the message in the transcript, from 1; 0 for none
	index   int     // of the text in the message
}

func (s *session) rulesExplain() *cobra.Command {
	var text, fetch, all bool
	var only string
	color := choice{value: "auto", of: []string{"auto", "always", "never"}}
	c := &cobra.Command{
		Use:   "explain THREAD",
		Short: "Show what was decided about a thread, and why",
		Long: `explain shows the newest decision about a thread: its tags with the rules and
terms that gave them, what was left out and why, near misses, and the calls made.
THREAD is the id of a thread, chat/thread, organization/chat/thread, or a link with
such an id in its path or query, as LiveChat's app has them in the address bar. The
id of a chat stands for its thread that was decided last.

What people wrote is not shown, unless --text asks for it: then each find is shown
in its message, the words marked >>so<<, and below it the chat with all finds marked
and the verdict on each rule, by the rules of that day, as tagctl rules try shows
them. That needs the webhooks in LIVECHAT_EVENTS, which are kept for days, and the
rules in AUTOTAG_RULES. Places count characters from 1.

Where LIVECHAT_EVENTS no longer has the chat as it was decided on, --fetch asks
LiveChat for it, with the token in the settings: one billed call, or two where LiveChat
sends it on to another region. What LiveChat shows now may not be what was decided on;
if so, it is said.

The decision is read from NATS (NATS_URL, NATS_CREDS); nothing is changed. The rules
in force are those that a tagger loaded last; where none has, those of the rules file.

Exit status: 0 there is a decision; 1 there is none, with what is known instead;
2 wrong usage, or NATS or LiveChat is out of reach.

With -o json: {"organization_id", "chat_id", "thread_id", "decision", "decision_seq",
"earlier": [{"seq", "decided_at", "reason", "rules_version", "tags"}], "rules_in_force",
"calls": [{"at", "decision_seq", "op", "tag", "state", "attempt", "result"}],
"dead_letters": [{"at", "stage", "reason"}], "timer_at", "fired_at", "retry_at",
"webhooks": {"count", "newest", "started", "ended_at", "ended_by"},
"texts": {"from", "as_decided", "rules_kept", "rules_usable", "tags_again",
"fields": [{"event_id", "field", "text"}]},
"others": [{"organization_id", "chat_id", "thread_id"}]}. decision is the record in
AUTOTAG_DECISIONS, its start and end counting characters from 0; it is null where
there is none, and webhooks is null where there is one. texts is null without --text.
In it from is stream (LIVECHAT_EVENTS) or livechat; as_decided says that this is the
very chat that was decided on; rules_kept that AUTOTAG_RULES has the rules of that day,
rules_usable that this tagctl can use them; tags_again are the tags that they give for
this chat, what people did to tags aside; it is null where there are no such rules or
nothing is left of the chat. The text of a field is null where it is not in the chat.`,
		Example: `  tagctl rules explain SJ4K2R8V0P
  tagctl rules explain https://my.livechatinc.com/archives/SJ4K2R8V0P --text
  tagctl rules explain SJ4K2R8V0P --fetch --rule parcel-late
  tagctl rules explain PJ0MRSHTDG/SJ4K2R8V0P -o json | jq .decision.tags`,
		Args:              args(1, 1),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, args []string) error {
			refs, err := parseThread(args[0])
			if err != nil {
				return usageError(c, err)
			}
			text = text || fetch
			if flags := c.Flags(); !text && (flags.Changed("all") || flags.Changed("rule") || flags.Changed("color")) {
				return usageError(c, errors.New("--all, --rule and --color are about the chat, which is shown with --text or --fetch"))
			}
			nc, js, err := s.connect()
			if err != nil {
				return err
			}
			defer nc.Close()
			r := reader{nc, js}
			e, err := r.explain(c.Context(), refs)
			if err != nil {
				return err
			}
			if err := s.inForce(c.Context(), r, e); err != nil {
				return err
			}
			switch {
			case text && e.Decision != nil:
				set, kept, err := r.rulesOf(c.Context(), e.Decision.RulesVersion)
				if err != nil {
					return err
				}
				if set != nil && c.Flags().Changed("rule") {
					if err := requireRule(set, only, "tagctl rules explain --text --all"); err != nil {
						return fmt.Errorf("by the rules of that day, %s: %w", shortVersion(set.Version), err)
					}
				}
				if e.Texts, err = s.texts(c.Context(), r, e, fetch); err != nil {
					return err
				}
				e.Texts.RulesKept, e.Texts.RulesUsable, e.Texts.set = kept, set != nil, set
				e.matchAgain()
			case fetch:
				fmt.Fprintln(s.stderr, "tagctl: LiveChat is not asked: nothing is decided yet; tagctl rules try --thread THREAD --fetch shows what the rules say")
			}
			if s.wantsJSON() {
				err = s.json(e)
			} else {
				s.printExplanation(e, shown(args[0]))
				switch {
				case e.Texts != nil:
					s.printVerdicts(e, s.newScreen(color.value), all, only)
				case e.Decision != nil:
					fmt.Fprintln(s.stdout)
					s.note("--text shows what people wrote: the chat with the finds marked, and the verdict on each rule")
				}
			}
			if err == nil && e.Decision == nil {
				err = errNo
			}
			return err
		},
	}
	flags := c.Flags()
	flags.BoolVar(&text, "text", false, "show the chat too, with the finds and the verdict on each rule")
	flags.BoolVar(&fetch, "fetch", false, "as --text; ask LiveChat where NATS no longer has the chat (one billed call)")
	flags.BoolVar(&all, "all", false, "with --text: show the verdict on each rule")
	flags.StringVar(&only, "rule", "", "with --text: show the verdict on the rule of this `NAME` only")
	flags.Var(&color, "color", "with --text: colours: auto, always or never")
	complete(c, "color", color.of...)
	complete(c, "rule")
	return c
}

// reader reads what the taggers keep in NATS.
type reader struct {
	nc *nats.Conn
	js jetstream.JetStream
}

// explain finds the thread that is meant and reads what is known of it.
func (r reader) explain(ctx context.Context, refs []threadRef) (*explanation, error) {
	e := &explanation{Earlier: []earlierDecision{}, Calls: []madeCall{}, DeadLetters: []deadLetter{}, Others: []threadName{}}
	keys, ref, err := r.locate(ctx, refs)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		e.Webhooks = &threadWebhooks{}
		return e, nil
	}
	if ref.thread == "" {
		e.asked = ref.chat
	}
	for _, k := range keys[1:] {
		e.Others = append(e.Others, threadName{k.Org, k.Chat, k.Thread})
	}
	return e, r.fill(ctx, e, keys[0])
}

// find gives the threads that ref may mean, the one that was decided last
// first, the others by name.
func (r reader) find(ctx context.Context, ref threadRef) ([]transcript.Key, error) {
	decided, logged := "autotag.decision."+ref.tokens(), "livechat."+ref.tokens()+".*"
	subjects, err := stream.Subjects(ctx, r.js, stream.Decisions, decided)
	if err != nil {
		return nil, missingStream(err, stream.Decisions)
	}
	found := map[transcript.Key]bool{}
	for s := range subjects {
		if _, k, ok := stream.ParseSubject(s); ok {
			found[k] = true
		}
	}
	newestOf, filter := stream.Decisions, decided
	if len(found) == 0 {
		newestOf, filter = stream.Events, logged
	}
	if len(found) == 0 || ref.chat != "" {
		subjects, err := stream.Subjects(ctx, r.js, stream.Events, logged)
		if unlessMissing(err) != nil {
			return nil, err
		}
		for s := range subjects {
			if k, _, ok := stream.ParseEventSubject(s); ok && k.Thread != stream.None {
				found[k] = true
			}
		}
	}
	if len(found) == 0 {
		return nil, nil
	}
	keys := slices.SortedFunc(maps.Keys(found), func(a, b transcript.Key) int {
		return cmp.Or(strings.Compare(a.Org, b.Org), strings.Compare(a.Chat, b.Chat), strings.Compare(a.Thread, b.Thread))
	})
	if len(keys) == 1 {
		return keys, nil
	}
	last, _, err := stream.Last(ctx, r.nc, newestOf, filter)
	if err != nil {
		return nil, err
	}
	_, newest, ok := stream.ParseSubject(last.Subject)
	if !ok {
		newest, _, _ = stream.ParseEventSubject(last.Subject)
	}
	if i := slices.Index(keys, newest); i > 0 {
		keys = slices.Insert(slices.Delete(keys, i, i+1), 0, newest)
	}
	return keys, nil
}

// fill reads everything about the thread.
func (r reader) fill(ctx context.Context, e *explanation, k transcript.Key) error {
	e.OrganizationID, e.ChatID, e.ThreadID = k.Org, k.Chat, k.Thread
	msgs, err := stream.ReadUpToDate(ctx, r.nc, stream.Decisions, stream.RecordsSubject(k))
	if err != nil {
		return missingStream(err, stream.Decisions)
	}
	for _, m := range msgs {
		switch kind, _, _ := stream.ParseSubject(m.Subject); kind {
		case "decision":
			if d := e.Decision; d != nil {
				e.Earlier = append(e.Earlier, earlierDecision{e.DecisionSeq, d.DecidedAt, d.Reason, d.RulesVersion, rules.Result{Tags: d.Tags}.TagSet()})
			}
			e.Decision, e.DecisionSeq = &decision.Record{}, m.Seq
			if err := json.Unmarshal(m.Data, e.Decision); err != nil {
				return fmt.Errorf("decision %d of %s cannot be read: %w", m.Seq, stream.Decisions, err)
			}
		case "outcome":
			var o decision.Outcome
			if err := json.Unmarshal(m.Data, &o); err != nil {
				return fmt.Errorf("outcome %d of %s cannot be read: %w", m.Seq, stream.Decisions, err)
			}
			for _, c := range o.Calls {
				e.Calls = append(e.Calls, madeCall{m.Time, o.DecisionSeq, c})
			}
		}
	}
	if e.TimerAt, err = r.scheduled(ctx, stream.TimerSubject(k)); err != nil {
		return err
	}
	if e.RetryAt, err = r.scheduled(ctx, stream.RetrySubject(k)); err != nil {
		return err
	}
	fired, found, err := stream.Last(ctx, r.nc, stream.Timers, stream.DueSubject(k))
	if unlessMissing(err) != nil {
		return err
	}
	if found {
		e.FiredAt = &fired.Time
	}
	if err := r.deadLetters(ctx, e, k); err != nil {
		return err
	}
	if e.Decision == nil {
		e.Webhooks, err = r.webhooks(ctx, k)
	}
	return err
}

// scheduled is when a schedule fires, nil where there is none.
func (r reader) scheduled(ctx context.Context, subject string) (*time.Time, error) {
	m, found, err := stream.Last(ctx, r.nc, stream.Timers, subject)
	if !found {
		return nil, unlessMissing(err)
	}
	at, err := time.Parse(time.RFC3339Nano, strings.TrimPrefix(m.Header.Get(jetstream.ScheduleHeader), "@at "))
	if err != nil {
		return nil, fmt.Errorf("schedule %d of %s cannot be read: %w", m.Seq, stream.Timers, err)
	}
	return &at, nil
}

func (r reader) deadLetters(ctx context.Context, e *explanation, k transcript.Key) error {
	msgs, err := stream.ReadUpToDate(ctx, r.nc, stream.Dead, stream.DeadSubject("*", k))
	for _, m := range msgs {
		kind, _, _ := stream.ParseSubject(m.Subject)
		e.DeadLetters = append(e.DeadLetters, deadLetter{m.Time, strings.TrimPrefix(kind, "dead."), m.Header.Get(stream.ReasonHeader)})
	}
	return unlessMissing(err)
}

// webhooks says what LIVECHAT_EVENTS has of a thread.
func (r reader) webhooks(ctx context.Context, k transcript.Key) (*threadWebhooks, error) {
	w := &threadWebhooks{}
	msgs, err := stream.ReadUpToDate(ctx, r.nc, stream.Events, stream.ThreadSubject(k))
	if err != nil {
		return w, unlessMissing(err)
	}
	ended := func(at time.Time, by string) {
		if w.EndedAt == nil {
			w.EndedAt, w.EndedBy = &at, by
		}
	}
	for _, m := range msgs {
		w.Count++
		w.Newest = &m.Time
		_, action, reading := readWebhook(k, m)
		w.Started = w.Started || action == livechat.IncomingChat
		if reading.Effect == transcript.Ends {
			ended(m.Time, action)
		}
	}
	// The start of a later thread names the one before it.
	if msgs, err = stream.ReadUpToDate(ctx, r.nc, stream.Events, stream.ChatStartsSubject(k.Org, k.Chat)); err != nil {
		return nil, err
	}
	for _, m := range msgs {
		if of, action, reading := readWebhook(k, m); of != k && reading.EndedThread == k.Thread {
			ended(m.Time, action+" of thread "+of.Thread)
		}
	}
	return w, nil
}

// readWebhook reads what a webhook tells of the thread k; one that cannot be
// read tells nothing.
func readWebhook(k transcript.Key, m stream.Stored) (of transcript.Key, action string, r transcript.Reading) {
	of, action, _ = stream.ParseEventSubject(m.Subject)
	envelope, err := livechat.ParseWebhook(m.Data)
	if err != nil {
		return of, action, r
	}
	payload, err := livechat.ParsePayload(action, envelope.Payload)
	if err != nil {
		return of, action, r
	}
	if of.Thread != stream.None {
		k = of
	}
	return of, action, transcript.Read(k, action, payload, m.Time)
}

// inForce looks up the rules that are in force.
func (s *session) inForce(ctx context.Context, r reader, e *explanation) error {
	prefix := "$KV." + stream.RulesBucket + "."
	newest, found, err := stream.Last(ctx, r.nc, "KV_"+stream.RulesBucket, prefix+">")
	if unlessMissing(err) != nil {
		return err
	}
	if found {
		e.RulesInForce, e.fromLog = strings.TrimPrefix(newest.Subject, prefix), true
		return nil
	}
	path, err := s.rulesPath()
	if err != nil {
		return err
	}
	data, err := readFile(path)
	if errors.Is(err, fs.ErrNotExist) && s.rulesFile == "" {
		return nil
	}
	if err != nil {
		return err
	}
	if set, _ := rules.Parse(path, data); set != nil {
		e.RulesInForce = set.Version
	}
	return nil
}

// rulesOf gives the rules of a version: kept says that they are in NATS, and set
// is nil if they are not or are of no use today.
func (r reader) rulesOf(ctx context.Context, version string) (set *rules.Set, kept bool, err error) {
	stored, found, err := stream.Last(ctx, r.nc, "KV_"+stream.RulesBucket, "$KV."+stream.RulesBucket+"."+version)
	if err != nil || !found || len(stored.Data) == 0 { // a deleted one is empty
		return nil, false, unlessMissing(err)
	}
	text, err := stream.UnpackRules(stored.Data)
	if err != nil {
		return nil, true, nil // the record still tells what was decided
	}
	// What another version of this program took may be at fault today.
	set, _ = rules.Parse("rules "+shortVersion(version), text)
	return set, true, nil
}

// texts looks up the chat that was decided on: in LIVECHAT_EVENTS, and with fetch
// in LiveChat if it is not there as it was.
func (s *session) texts(ctx context.Context, r reader, e *explanation, fetch bool) (*evidenceTexts, error) {
	k := transcript.Key{Org: e.OrganizationID, Chat: e.ChatID, Thread: e.ThreadID}
	reduction, _, err := r.reduce(ctx, k, e.Decision.Transcript.Seq)
	if err != nil {
		return nil, err
	}
	t := textsOf(e.Decision, reduction)
	t.From = fromStream
	if !fetch {
		return t, nil
	}
	if t.AsDecided {
		fmt.Fprintf(s.stderr, "tagctl: LiveChat is not asked: %s has the chat as it was decided on\n", stream.Events)
		return t, nil
	}
	v, err := s.fetchSettings()
	if err != nil {
		return nil, err
	}
	if reduction, err = s.fetch(ctx, v, k); err != nil {
		return nil, err
	}
	t = textsOf(e.Decision, reduction)
	t.From = fromLiveChat
	if !t.AsDecided {
		t.chat.Complete = !t.chat.Cut // LiveChat shows all of it
	}
	return t, nil
}

// textsOf gives the messages that the evidence of a decision is of, as a
// reduction of its thread has them.
func textsOf(d *decision.Record, reduction *transcript.Reduction) *evidenceTexts {
	// The first reading is the one that decisions are of.
	readings, _ := reduction.Readings(1)
	t := &evidenceTexts{
		AsDecided: readings[0].Digest() == d.Transcript.Digest,
		Fields:    []evidenceText{},
		chat:      readings[0],
		lost:      len(readings[0].Messages) == 0 && d.Transcript.Messages > 0,
	}
	t.chat.Complete = d.Transcript.Complete
	for _, k := range d.Skipped {
		if k.Why == rules.WhyPersonSet {
			t.chat.Tagged = append(t.chat.Tagged, k.Tag)
		}
	}
	for _, hit := range slices.Concat(d.Tags, d.Shadow) {
		for _, ev := range hit.Evidence {
			if t.of(ev) == nil {
				t.Fields = append(t.Fields, textOf(readings[0], ev))
			}
		}
	}
	return t
}

// matchAgain looks at the chat by the rules of that day, where there are both.
func (e *explanation) matchAgain() {
	t := e.Texts
	if t.set == nil || t.lost {
		return
	}
	for _, k := range e.Decision.Skipped {
		i := slices.IndexFunc(t.set.Rules, func(r *rules.Rule) bool { return r.Name == k.Rule })
		// Which tag was in the way is known where only one can have been.
		if k.Why == rules.WhyUnlessTagged && i >= 0 && len(t.set.Rules[i].UnlessTagged) == 1 {
			t.chat.Tagged = append(t.chat.Tagged, t.set.Rules[i].UnlessTagged[0])
		}
	}
	t.TagsAgain = t.set.Match(t.chat).TagSet()
}

// recorded is what the record tells of finds in the chat, for where there are no
// rules to look for them.
func (e *explanation) recorded() rules.Explanation {
	var found rules.Explanation
	for _, hit := range slices.Concat(e.Decision.Tags, e.Decision.Shadow) {
		places := &rules.Finding{}
		for _, ev := range hit.Evidence {
			if in := e.Texts.of(ev); in.Text != nil && fits(*in.Text, ev) {
				places.Places = append(places.Places, rules.Place{Message: in.number - 1, Text: in.index, Start: ev.Start, End: ev.End})
			}
		}
		found.Rules = append(found.Rules, rules.RuleVerdict{Verdict: rules.Matched, Body: places})
	}
	return found
}

// of is the text that a piece of evidence is of, nil where it was not looked up.
func (t *evidenceTexts) of(ev rules.Evidence) *evidenceText {
	if t == nil {
		return nil
	}
	i := slices.IndexFunc(t.Fields, func(f evidenceText) bool { return f.EventID == ev.EventID && f.Field == ev.Field })
	if i < 0 {
		return nil
	}
	return &t.Fields[i]
}

func textOf(t *transcript.Transcript, ev rules.Evidence) evidenceText {
	f := evidenceText{EventID: ev.EventID, Field: ev.Field}
	for i, m := range t.Messages {
		if m.EventID != ev.EventID {
			continue
		}
		f.number = i + 1
		for j, x := range m.Texts {
			if x.Field == ev.Field {
				f.Text, f.index = &x.Text, j
				return f
			}
		}
	}
	return f
}
