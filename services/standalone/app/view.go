package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"autotag/pkg/decision"
	"autotag/pkg/rules"
	"autotag/pkg/stream"
	"autotag/pkg/transcript"
	simulator "autotag/services/simulator/app"
)

const (
	viewWidth  = 80              // columns of every line
	viewIndent = 6               // of what stands below a conversation
	viewSilent = 5 * time.Second // after that it says what it waits for
)

// view prints a demo: each conversation as it is finished, then a table. It
// shows the rules' own words, never what people wrote.
type view struct {
	out io.Writer
	nc  *nats.Conn
	// orgs are the organization's token and that of its old webhooks.
	orgs     []string
	chats    int
	total    int                  // conversations
	finished chan simulator.Event // has room for all
	over     chan struct{}        // closed when no more are to come
	printed  chan struct{}        // closed when all are printed

	mu      sync.Mutex
	arrived map[string]int // webhooks by thread
	retried map[string]int
}

func newView(out io.Writer, nc *nats.Conn, orgs []string, scenarios []simulator.Scenario) *view {
	v := &view{
		out: out, nc: nc, orgs: orgs,
		over: make(chan struct{}), printed: make(chan struct{}),
		arrived: map[string]int{}, retried: map[string]int{},
	}
	for _, s := range scenarios {
		for _, c := range s.Chats {
			v.chats += c.Repeat
			v.total += c.Repeat * len(c.Threads)
		}
	}
	v.finished = make(chan simulator.Event, v.total)
	return v
}

// header says what is going to be seen.
func (v *view) header(ruleSource string) {
	for _, paragraph := range []string{
		fmt.Sprintf("Autotag demo: %s of a simulated LiveChat with %s, played against the real ingress and tagger. "+
			"Their webhooks arrive shuffled, doubled, late or never, as real ones do.", count(v.chats, "chat"), count(v.total, "conversation")),
		"Rules: " + ruleSource,
		"Each conversation is shown when it has its tags. Below it stands for each tag which rule gave it, where the rule found something, and what: the words of the rule, not those of the message.",
	} {
		fmt.Fprintln(v.out, wrap(0, 0, paragraph))
	}
	fmt.Fprintln(v.out)
}

// event takes what the simulator tells, one event at a time.
func (v *view) event(e simulator.Event) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch e.Kind {
	case simulator.WebhookSent:
		if e.Status == http.StatusOK {
			v.arrived[e.ThreadID]++
		}
	case simulator.WebhookRetry:
		v.retried[e.ThreadID]++
	case simulator.ChatFinished:
		v.finished <- e
	}
}

// run prints conversations until close is called. When ctx ends, it prints no
// more.
func (v *view) run(ctx context.Context) {
	defer close(v.printed)
	silence := time.NewTicker(viewSilent)
	defer silence.Stop()
	for open := v.total; ; {
		select {
		case e := <-v.finished:
			v.print(ctx, e)
			open--
			silence.Reset(viewSilent)
		case <-v.over:
			for len(v.finished) > 0 {
				v.print(ctx, <-v.finished)
			}
			return
		case <-silence.C:
			if ctx.Err() == nil && open > 0 {
				fmt.Fprintf(v.out, "...   waiting for the right tags of %d more\n", open)
			}
		}
	}
}

// close waits until everything is printed.
func (v *view) close() {
	close(v.over)
	<-v.printed
}

func (v *view) print(ctx context.Context, e simulator.Event) {
	if ctx.Err() != nil {
		return
	}
	mark := "ok"
	if !e.OK {
		mark = "WRONG"
	}
	v.mu.Lock()
	arrival := fmt.Sprintf("(%s, %s", count(v.arrived[e.ThreadID], "webhook"), e.Arrived)
	if n := v.retried[e.ThreadID]; n > 0 {
		arrival += ", " + count(n, "retry")
	}
	v.mu.Unlock()
	fmt.Fprintln(v.out, wrap(0, viewIndent, fmt.Sprintf("%-*s%s %s)", viewIndent, mark, e.Chat, arrival)))

	r, err := v.record(ctx, e)
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		fmt.Fprintln(v.out, wrap(viewIndent, viewIndent, err.Error()))
	}
	shown := map[string]bool{}
	line := func(tag, why string) {
		const column = 19 // beside the tags
		shown[tag] = true
		fmt.Fprintln(v.out, wrap(viewIndent, viewIndent+column, fmt.Sprintf("%-*s%s", column, tag+" ", why)))
	}
	for _, hit := range r.Tags {
		line(hit.Tag, reason(hit))
	}
	for _, s := range r.Skipped {
		line(s.Tag, "not set: "+skipReason[s.Why])
	}
	for _, tag := range e.Got {
		if !shown[tag] {
			line(tag, "no rule asks for it: a person set it")
		}
	}
	if len(shown) == 0 && err == nil {
		line("(no tag)", "no rule matched")
	}
	if !e.OK {
		fmt.Fprintln(v.out, wrap(viewIndent, viewIndent, "EXPECTED "+list(e.Expected)+" BUT GOT "+list(e.Got)))
	}
	if e.Error != "" {
		fmt.Fprintln(v.out, wrap(viewIndent, viewIndent, e.Error))
	}
}

// reason says which rule brought a tag, by which of its words, and where they
// were found.
func reason(hit rules.Hit) string {
	var places []string
	terms := map[string][]string{} // by place
	for _, e := range hit.Evidence {
		where, term := place(e), fmt.Sprintf("%q", e.Term)
		if terms[where] == nil {
			places = append(places, where)
		}
		if !slices.Contains(terms[where], term) {
			terms[where] = append(terms[where], term)
		}
	}
	var parts []string
	for _, where := range places {
		parts = append(parts, where+": "+strings.Join(terms[where], ", "))
	}
	if len(parts) == 0 {
		parts = []string{"no other rule matched"}
	}
	return "rule " + hit.Rule + ", " + strings.Join(parts, "; ")
}

func place(e rules.Evidence) string {
	author := string(e.Author)
	if author == "" {
		author = "someone"
	}
	switch field, _, _ := strings.Cut(e.Field, ":"); field {
	case "answer":
		return author + "'s form"
	case "button":
		return author + "'s button"
	}
	// LiveChat numbers what is said in a conversation: <thread>_<number>.
	if i := strings.LastIndexByte(e.EventID, '_'); i >= 0 {
		return author + "'s message " + e.EventID[i+1:]
	}
	return author + "'s message"
}

var skipReason = map[string]string{
	rules.WhySet:           "an earlier rule of its set matched",
	rules.WhyUnlessTagged:  "unless_tagged names a tag that is set",
	rules.WhyPersonSet:     "a person has set it already",
	rules.WhyPersonRemoved: "a person has removed it",
}

// record reads the thread's newest decision. A thread whose tags a person had
// already set may be finished before it is decided.
func (v *view) record(ctx context.Context, e simulator.Event) (decision.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*demoSettle)
	defer cancel()
	for {
		r, ok, err := v.lookUp(ctx, e)
		if ok || err != nil {
			return r, err
		}
		select {
		case <-ctx.Done():
			return r, errors.New("no decision was recorded")
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (v *view) lookUp(ctx context.Context, e simulator.Event) (r decision.Record, ok bool, err error) {
	for _, org := range v.orgs {
		m, ok, err := stream.Last(ctx, v.nc, stream.Decisions, stream.DecisionSubject(transcript.Key{Org: org, Chat: e.ChatID, Thread: e.ThreadID}))
		if err == nil && ok {
			err = json.Unmarshal(m.Data, &r)
		}
		if err != nil {
			return r, false, fmt.Errorf("read the decision: %w", err)
		}
		if ok {
			return r, true, nil
		}
	}
	return r, false, nil
}

// table sets the tags that were expected beside those that were there in the
// end, one a line.
func (v *view) table(report simulator.Report) {
	const column = 19
	row := func(ok, expected, got, chat string) {
		text := fmt.Sprintf("%-*s%-*s%-*s%s", viewIndent, ok, column, expected, column, got, chat)
		fmt.Fprintln(v.out, strings.TrimRight(text, " "))
	}
	at := func(lines []string, i int) string {
		if i < len(lines) {
			return lines[i]
		}
		return ""
	}
	fmt.Fprintln(v.out)
	row("", "TAGS EXPECTED", "TAGS GOT", "CONVERSATION")
	good := 0
	for _, r := range report.Results {
		mark := "WRONG"
		if r.OK {
			mark = "ok"
			good++
		}
		expected, got := orNone(r.Expected), orNone(r.Got)
		chat := strings.Split(wrapTo(viewWidth-viewIndent-2*column, 0, 0, r.Chat), "\n")
		for i := range max(len(expected), len(got), len(chat)) {
			row(mark, at(expected, i), at(got, i), at(chat, i))
			mark = ""
		}
		if r.Why != "" {
			fmt.Fprintln(v.out, wrap(viewIndent, viewIndent, r.Why))
		}
	}
	fmt.Fprintf(v.out, "\n%d of %s got exactly the tags expected; %s, %.0f s.\n",
		good, count(len(report.Results), "conversation"), count(report.Webhooks, "webhook"), report.Took.Seconds())
}

func orNone(tags []string) []string {
	if len(tags) == 0 {
		return []string{"(none)"}
	}
	return tags
}

func list(tags []string) string { return strings.Join(orNone(tags), ", ") }

func count(n int, what string) string {
	switch {
	case n == 1:
		return "1 " + what
	case what == "retry":
		return fmt.Sprint(n, " retries")
	}
	return fmt.Sprint(n, " ", what, "s")
}

// wrap breaks text between words; first and rest are the indents of its first
// line and of the others.
func wrap(first, rest int, text string) string { return wrapTo(viewWidth, first, rest, text) }

func wrapTo(width, first, rest int, text string) string {
	var b strings.Builder
	room := width - first
	b.WriteString(strings.Repeat(" ", first))
	for len([]rune(text)) > room {
		runes := []rune(text)
		i := room // of the blank to break at
		for i > 0 && runes[i] != ' ' {
			i--
		}
		if strings.TrimSpace(string(runes[:i])) == "" { // one long word
			i = room
		}
		b.WriteString(strings.TrimRight(string(runes[:i]), " ") + "\n" + strings.Repeat(" ", rest))
		text = strings.TrimLeft(string(runes[i:]), " ")
		room = width - rest
	}
	b.WriteString(text)
	return b.String()
}
