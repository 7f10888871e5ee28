package scenario

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"autotag/pkg/livechat/livechattest"
	"autotag/services/simulator/internal/sender"
)

// Options of a Player.
type Options struct {
	Platform     *livechattest.Platform
	Organization string // must exist on the platform
	Groups       []int  // the organization's groups; the tags that scenarios need get all of them
	Sender       *sender.Sender
	Delivery     Delivery // Accept2xx is the sender's
	// Quiet is how long nothing may happen before the tags count as final: time
	// enough for the receiver to decide a chat that has just ended.
	Quiet time.Duration
	// Limit is how long the tags may take to become as expected, counted from
	// the last webhook.
	Limit time.Duration
	// OnEvent, which may be nil, is told what happens, one event at a time.
	OnEvent func(Event)
}

// EventKind says what happened.
type EventKind string

const (
	ChatStarted      EventKind = "chat_started"
	WebhookSent      EventKind = "webhook_sent"       // Attempt, Status; it arrived
	WebhookRetry     EventKind = "webhook_retry"      // Attempt, Status, Error; it will be tried again
	WebhookGivenUp   EventKind = "webhook_given_up"   // after the last try
	WebhookDropped   EventKind = "webhook_dropped"    // on purpose: the scenario loses it, or webhooks are disabled
	WebhookDuplicate EventKind = "webhook_duplicated" // on purpose: it is sent once more
	TagCalled        EventKind = "tag_called"         // Method, Tag, Status: a call that changes tags
	APICalled        EventKind = "api_called"         // Method, Status: any other call
	ChatFinished     EventKind = "chat_finished"      // Arrived, Expected, Got, OK
)

// Event is one thing that happened while playing. Fields that do not belong to
// its kind are empty.
type Event struct {
	At       time.Time
	Kind     EventKind
	Scenario string
	Chat     string // name in the scenario
	ChatID   string
	ThreadID string
	Action   string // of webhooks
	Attempt  int
	Status   int
	Error    string
	Method   string
	Tag      string
	Arrived  string // of a finished chat: how its webhooks came
	Expected []string
	Got      []string
	OK       bool
}

// Result is how one thread ended.
type Result struct {
	Scenario string   `json:"scenario"`
	Chat     string   `json:"chat"`
	ChatID   string   `json:"chat_id"`
	ThreadID string   `json:"thread_id"`
	Arrived  string   `json:"arrived"` // how its webhooks arrived
	Expected []string `json:"expected"`
	Got      []string `json:"got"`
	Calls    int      `json:"calls"` // calls of tag_thread and untag_thread, refused ones too
	OK       bool     `json:"ok"`
	Why      string   `json:"why,omitempty"` // why the chat could not be played to its end
}

// Report is the outcome of a play.
type Report struct {
	OK       bool          `json:"ok"`
	Results  []Result      `json:"results"`
	Webhooks int           `json:"webhooks"` // delivered with status 200
	Retries  int           `json:"retries"`
	GivenUp  int           `json:"given_up"`
	Took     time.Duration `json:"took_ns"`
}

// Player plays scenarios. Its platform must tell it of echoes and calls through
// Echo and Called.
type Player struct {
	opts Options
	tell sync.Mutex // held while OnEvent runs

	mu      sync.Mutex
	runs    map[string]*run // by thread id
	order   []*run
	changed chan struct{} // closed at the next activity
	last    time.Time     // of the latest activity
	sending int           // webhooks on their way, and calls that are still to be told
	failing int           // webhooks given up since one arrived
	report  Report
}

// run is one thread being played.
type run struct {
	scenario, name string
	chat           *Chat
	chatID, thread string
	expect         []string
	arrived        string
	ended          chan struct{} // closed once the end has been sent
	endOnce        sync.Once
	held           []livechattest.Webhook
	api            *[]string // answers that the chat's calls still meet
	pending        int       // webhooks on their way
	played         bool
	finished       bool
	calls          int
	err            error
}

// NewPlayer returns a player.
func NewPlayer(opts Options) *Player {
	return &Player{opts: opts, runs: map[string]*run{}, changed: make(chan struct{})}
}

func (p *Player) emit(e Event, r *run) {
	if p.opts.OnEvent == nil {
		return
	}
	if r != nil {
		e.Scenario, e.Chat, e.ChatID, e.ThreadID = r.scenario, r.name, r.chatID, r.thread
	}
	p.tell.Lock()
	defer p.tell.Unlock()
	e.At = time.Now()
	p.opts.OnEvent(e)
}

// touch notes that something happened; change runs under the lock.
func (p *Player) touch(change func()) {
	p.mu.Lock()
	if change != nil {
		change()
	}
	p.last = time.Now()
	close(p.changed)
	p.changed = make(chan struct{})
	p.mu.Unlock()
}

// Echo sends a webhook that an API call caused.
func (p *Player) Echo(ctx context.Context, w livechattest.Webhook) {
	p.mu.Lock()
	r := p.runs[w.Thread]
	p.mu.Unlock()
	copies := 1
	if r != nil {
		copies = r.chat.Copies
	}
	for range copies {
		p.send(ctx, r, w, nil)
	}
}

// Called takes note of an API call.
func (p *Player) Called(c livechattest.Call) {
	e := Event{Kind: APICalled, ChatID: c.Chat, ThreadID: c.Thread, Method: c.Method, Tag: c.Tag, Status: c.Status, Error: c.Type}
	if c.Method == "tag_thread" || c.Method == "untag_thread" {
		e.Kind = TagCalled
	}
	var r *run
	p.touch(func() {
		p.sending++ // Play must not return before this is told
		if r = p.runs[c.Thread]; r != nil && e.Kind == TagCalled {
			r.calls++
		}
	})
	p.emit(e, r)
	if e.Kind == TagCalled {
		p.checkFinished(r)
	}
	p.touch(func() { p.sending-- })
}

// fault is the platform's hook: the answers that `api:` of a chat asks for, one
// a call.
func (p *Player) fault(c livechattest.Call) *livechattest.Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := p.runs[c.Thread]
	if r == nil || len(*r.api) == 0 {
		return nil
	}
	f := faults[(*r.api)[0]]
	*r.api = (*r.api)[1:]
	return &f
}

// checkFinished tells once when a thread is as expected and all its webhooks
// are out.
func (p *Player) checkFinished(r *run) {
	if r == nil {
		return
	}
	p.mu.Lock()
	result := p.result(r)
	tell := r.played && r.pending == 0 && !r.finished && result.OK && len(r.expect) > 0
	if tell {
		r.finished = true
	}
	p.mu.Unlock()
	if tell {
		p.emit(Event{Kind: ChatFinished, Arrived: result.Arrived, Expected: result.Expected, Got: result.Got, OK: true}, r)
	}
}

func (p *Player) result(r *run) Result {
	got := p.opts.Platform.Tags(r.thread)
	slices.Sort(got)
	if got == nil {
		got = []string{}
	}
	out := Result{
		Scenario: r.scenario, Chat: r.name, ChatID: r.chatID, ThreadID: r.thread,
		Arrived: r.arrived, Expected: r.expect, Got: got, Calls: r.calls,
		OK: r.err == nil && slices.Equal(got, r.expect),
	}
	if r.err != nil {
		out.Why = r.err.Error()
	}
	return out
}

// Play plays all chats of all scenarios side by side, waits until the tags are
// as expected and have been so for Options.Quiet, or until Options.Limit is
// over, and reports. Its error is about the set-up or the context; tags that are
// not as expected are in the report. One play at a time; it takes the
// platform's hook for itself.
func (p *Player) Play(ctx context.Context, scenarios []Scenario) (Report, error) {
	start := time.Now()
	p.mu.Lock()
	p.order, p.report = nil, Report{}
	p.mu.Unlock()
	if err := p.createTags(ctx, scenarios); err != nil {
		return Report{}, err
	}
	p.opts.Platform.SetHook(p.fault)
	defer p.opts.Platform.SetHook(nil)

	var chats sync.WaitGroup
	for _, s := range scenarios {
		for i := range s.Chats {
			chat := p.opts.Delivery.of(s.Chats[i])
			c := &chat
			for n := range c.Repeat {
				name := c.Name
				if c.Repeat > 1 {
					name = fmt.Sprintf("%s #%d", name, n+1)
				}
				runs := p.newRuns(s.Name, name, c)
				chats.Go(func() { p.playChat(ctx, runs, uint64(n)) })
			}
		}
	}
	chats.Wait()
	p.wait(ctx, nil, func() (bool, time.Duration) { return p.sending == 0, 0 })
	p.settle(ctx)

	p.mu.Lock()
	report := p.report
	report.OK = true
	var late []*run
	for _, r := range p.order {
		result := p.result(r)
		report.Results = append(report.Results, result)
		report.OK = report.OK && result.OK
		if !r.finished {
			r.finished = true
			late = append(late, r)
		}
	}
	p.mu.Unlock()
	for _, r := range late {
		p.mu.Lock()
		result := p.result(r)
		p.mu.Unlock()
		p.emit(Event{Kind: ChatFinished, Arrived: result.Arrived, Expected: result.Expected, Got: result.Got, OK: result.OK, Error: result.Why}, r)
	}
	report.Took = time.Since(start)
	return report, ctx.Err()
}

// settle waits until all tags are as expected and nothing has happened for a
// while, or until the time is up.
func (p *Player) settle(ctx context.Context) {
	limit := time.NewTimer(p.opts.Limit)
	defer limit.Stop()
	p.wait(ctx, limit.C, func() (bool, time.Duration) {
		for _, r := range p.order {
			if !p.result(r).OK {
				return false, 0
			}
		}
		quiet := time.Until(p.last.Add(p.opts.Quiet))
		return p.sending == 0 && quiet <= 0, quiet
	})
}

// wait looks at done, under the lock, now and after every activity, until it is
// true, the time is up (over may be nil) or the context ends. When done says
// false and a time, it is asked again after that time too.
func (p *Player) wait(ctx context.Context, over <-chan time.Time, done func() (bool, time.Duration)) (ok bool) {
	for {
		p.mu.Lock()
		changed := p.changed
		ok, again := done()
		p.mu.Unlock()
		if ok {
			return true
		}
		var timer <-chan time.Time
		if again > 0 {
			timer = time.After(again)
		}
		select {
		case <-changed:
		case <-timer:
		case <-over:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// createTags makes every tag exist that the scenarios name.
func (p *Player) createTags(ctx context.Context, scenarios []Scenario) error {
	tags := map[string]bool{}
	groups := map[string][]int{}
	for _, s := range scenarios {
		for _, t := range s.Tags {
			tags[t] = true
		}
		for t, own := range s.TagGroups {
			if groups[t] != nil && !slices.Equal(groups[t], own) {
				return fmt.Errorf("scenario %s: the tag %s has other groups in another scenario", s.Name, t)
			}
			groups[t] = own
		}
		for _, c := range s.Chats {
			for _, t := range c.Threads {
				for _, tag := range t.Expect {
					tags[tag] = true
				}
				for _, step := range t.Says {
					for _, tag := range append(step.Tags, step.Tag) {
						tags[tag] = true
					}
				}
			}
		}
	}
	delete(tags, "")
	for tag := range tags {
		in := p.opts.Groups
		if groups[tag] != nil {
			in = groups[tag]
		}
		hooks, err := p.opts.Platform.CreateTag(p.opts.Organization, tag, in...)
		if errors.Is(err, livechattest.ErrExists) {
			continue
		}
		if err != nil {
			return err
		}
		for _, w := range hooks {
			p.send(ctx, nil, w, nil)
		}
	}
	return nil
}

// newRuns prepares the runs of a chat's threads, so that the report has them in
// the order of the files.
func (p *Player) newRuns(scenario, name string, c *Chat) []*run {
	api := slices.Clone(c.API)
	var out []*run
	for i, t := range c.Threads {
		threadName := name
		if len(c.Threads) > 1 {
			threadName = fmt.Sprintf("%s, thread %d", name, i+1)
		}
		expect := append([]string{}, t.Expect...)
		slices.Sort(expect)
		out = append(out, &run{
			scenario: scenario, name: threadName, chat: c, expect: expect,
			arrived: describe(c, i), ended: make(chan struct{}), api: &api,
		})
	}
	p.mu.Lock()
	p.order = append(p.order, out...)
	p.mu.Unlock()
	return out
}

// describe says how a thread's webhooks arrive.
func describe(c *Chat, thread int) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if c.Order != AsSent {
		add("%s", c.Order)
	}
	if c.Copies > 1 {
		add("each %d times", c.Copies)
	}
	if c.Lose > 0 {
		add("%d%% lost", c.Lose)
	}
	if c.Delay > 0 {
		add("up to %s late", c.Delay)
	}
	lost, repeated, late, after := 0, 0, 0, 0
	for _, s := range c.Threads[thread].Says {
		switch a := s.Arrives; {
		case a.Lost:
			lost++
		case a.Copies > 1:
			repeated++
		case a.AfterEnd:
			after++
		case a.Delay > 0:
			late++
		}
	}
	for _, part := range []struct {
		n    int
		what string
	}{{lost, "lost"}, {repeated, "repeated"}, {late, "late"}, {after, "after the end"}} {
		if part.n > 0 {
			add("%d %s", part.n, part.what)
		}
	}
	if c.Webhooks != defaultShape {
		add("v%s shape", c.Webhooks)
	}
	if thread == 0 && c.Starts != StartsOpen {
		add("%s", c.Starts)
	}
	if c.Restricted {
		add("restricted")
	}
	if len(c.API) > 0 {
		add("API: %s", strings.Join(c.API, " "))
	}
	if len(parts) == 0 {
		return string(AsSent)
	}
	return strings.Join(parts, ", ")
}

// The people of every chat; the customer's id is the chat's own.
const (
	agentID = "smith@example.com"
	botID   = "9f3ad1c07be24d6a8e15c2b47d60fa93"
)

var colleagues = map[string]livechattest.User{
	"agent": {ID: agentID, Type: "agent", Name: "Agent Smith", Email: agentID},
	"bot":   {ID: botID, Type: "agent", Name: "Shop Bot"},
}

// playChat plays the threads of one chat one after the other.
func (p *Player) playChat(ctx context.Context, runs []*run, n uint64) {
	a := &actor{Player: p, chat: runs[0].chat, customer: customerID()}
	a.rng = rand.New(rand.NewPCG(a.chat.Seed, n)) // its own for every repetition
	for i, r := range runs {
		err := a.playThread(ctx, r, &a.chat.Threads[i], i)
		p.touch(func() { r.played, r.err = true, err })
		r.end()
		if err != nil {
			for _, later := range runs[i+1:] {
				p.touch(func() { later.played, later.err = true, errors.New("the thread before it could not be played") })
			}
			return
		}
		p.checkFinished(r)
	}
}

func customerID() string {
	return fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", rand.Uint32(), rand.Uint32()>>16,
		rand.Uint32()>>20, rand.Uint32()>>20, rand.Uint64()>>16)
}

// send delivers one webhook in the background, unless the organization's
// webhooks are disabled. answered, if not nil, is closed after the first try.
func (p *Player) send(ctx context.Context, r *run, w livechattest.Webhook, answered chan struct{}) {
	if !p.opts.Platform.WebhooksEnabled(p.opts.Organization) {
		p.emit(Event{Kind: WebhookDropped, Action: w.Action}, r)
		if answered != nil {
			close(answered)
		}
		return
	}
	p.touch(func() {
		p.sending++
		if r != nil {
			r.pending++
		}
	})
	go func() {
		p.opts.Sender.Send(ctx, w.Body, func(t sender.Try) {
			e := Event{Kind: WebhookSent, Action: w.Action, ChatID: w.Chat, ThreadID: w.Thread, Attempt: t.Number, Status: t.Status}
			if t.Err != nil {
				e.Error = t.Err.Error()
			}
			p.touch(func() {
				switch {
				case t.OK:
					p.report.Webhooks++
					p.failing = 0
				case t.Last:
					e.Kind = WebhookGivenUp
					p.report.GivenUp++
					if p.failing++; p.failing == p.opts.Delivery.DisableAfter {
						p.opts.Platform.DisableWebhooks(p.opts.Organization)
					}
				default:
					e.Kind = WebhookRetry
					p.report.Retries++
				}
			})
			p.emit(e, r)
			if answered != nil && t.Number == 1 {
				close(answered)
			}
		})
		if r != nil {
			p.touch(func() { r.pending-- })
			p.checkFinished(r)
		}
		// The last step: Play may return once nothing is sending, and nothing is
		// told after that.
		p.touch(func() { p.sending-- })
	}()
}

// end lets those go that wait for the end of the thread.
func (r *run) end() { r.endOnce.Do(func() { close(r.ended) }) }
