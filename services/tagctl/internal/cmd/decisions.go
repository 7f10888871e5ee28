package cmd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"autotag/pkg/decision"
	"autotag/pkg/rules"
	"autotag/pkg/stream"
)

// decisionFilter says which decisions are listed; all that is set must hold.
type decisionFilter struct {
	tag   string // among the tags
	rule  string // gave a tag, would have as a shadow rule, or was stopped
	noTag bool
}

func (f decisionFilter) keeps(d *decision.Record) bool {
	ofTag := func(h rules.Hit) bool { return h.Tag == f.tag }
	ofRule := func(h rules.Hit) bool { return h.Rule == f.rule }
	return (f.tag == "" || slices.ContainsFunc(d.Tags, ofTag)) &&
		(f.rule == "" || slices.ContainsFunc(d.Tags, ofRule) || slices.ContainsFunc(d.Shadow, ofRule) ||
			slices.ContainsFunc(d.Skipped, func(k rules.Skip) bool { return k.Rule == f.rule })) &&
		(!f.noTag || len(d.Tags) == 0)
}

func (s *session) decisions() *cobra.Command {
	since := sinceFlag{text: "24h"}
	var filter decisionFilter
	limit := limitFlag(50)
	c := &cobra.Command{
		Use:   "decisions",
		Short: "List the newest decisions",
		Long: `decisions lists what was decided about threads, the newest first, of each thread its
newest decision: when, chat and thread, why, whether the transcript was incomplete or
cut, and the tags, with the rule in brackets where it bears another name. Tags of
shadow rules follow as shadow:TAG. See rules explain for one of them.

The filters --tag, --rule and --no-tag must all hold. A thread is listed by its newest
decision alone: one that has lost a tag is not found by it. Times are in UTC.

The decisions are read from NATS (NATS_URL, NATS_CREDS); nothing is changed.

Exit status: 0 also where there is none; 2 wrong usage, or NATS is out of reach.

With -o json: one decision record a line, as it lies in AUTOTAG_DECISIONS: {"v",
"organization_id", "chat_id", "thread_id", "decided_at", "reason", "rules_version",
"transcript": {"messages", "from": {"redis", "log", "api"}, "complete", "cut",
"digest", "seq", "until"}, "tags": [{"tag", "rule", "evidence": []}], "shadow": [],
"near_misses": [{"tag", "rule", "missing"}], "skipped": [{"tag", "rule", "why"}]}.`,
		Example: `  tagctl decisions
  tagctl decisions --since 2h --no-tag
  tagctl decisions --since 2026-11-22 --tag refund --limit 500
  tagctl decisions --since 7d --rule parcel-late -o json | jq -r .thread_id`,
		Args:              args(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			if filter.noTag && filter.tag != "" {
				return usageError(c, errors.New("--tag and --no-tag exclude each other"))
			}
			from := since.from(time.Now())
			nc, js, err := s.connect()
			if err != nil {
				return err
			}
			defer nc.Close()
			listed := 0
			err = s.eachDecision(c.Context(), reader{nc, js}, from, func(d *decision.Record) (bool, error) {
				if !filter.keeps(d) {
					return true, nil
				}
				listed++
				if s.wantsJSON() {
					return listed < int(limit), s.json(d)
				}
				if listed == 1 {
					fmt.Fprintln(s.stdout, s.decisionColumns("DECIDED", "CHAT/THREAD", "REASON", "TRANSCRIPT", "TAGS"))
				}
				s.printListed(d)
				return listed < int(limit), nil
			})
			if err == nil && !s.wantsJSON() {
				more := ""
				if listed == int(limit) {
					more = "; there may be older ones: see --limit"
				}
				fmt.Fprintf(s.stdout, "%s since %s%s\n", count(listed, "decision"), clock(from), more)
			}
			return err
		},
	}
	flags := c.Flags()
	flags.StringVar(&filter.tag, "tag", "", "only decisions that gave this `TAG`")
	flags.StringVar(&filter.rule, "rule", "", "only decisions in which this `RULE` matched, applied or not")
	flags.BoolVar(&filter.noTag, "no-tag", false, "only decisions that gave no tag")
	flags.Var(&since, "since", "only decisions from this time on: a duration back from now, a date, or RFC 3339")
	flags.Var(&limit, "limit", "list at most this many")
	for _, flag := range []string{"tag", "rule", "since", "limit"} {
		complete(c, flag)
	}
	return c
}

// eachDecision hands the newest decision of each thread to each, the newest
// first, until that returns false or they were stored before from.
func (s *session) eachDecision(ctx context.Context, r reader, from time.Time, each func(*decision.Record) (bool, error)) error {
	seen := map[string]bool{} // threads, by subject
	var fault error
	err := stream.Newest(ctx, r.js, stream.Decisions, func(m stream.Stored) bool {
		if m.Time.Before(from) {
			return false
		}
		if kind, _, _ := stream.ParseSubject(m.Subject); kind != "decision" || seen[m.Subject] {
			return true
		}
		seen[m.Subject] = true
		var d decision.Record
		if err := json.Unmarshal(m.Data, &d); err != nil {
			fmt.Fprintf(s.stderr, "tagctl: decision %d of %s cannot be read: %v\n", m.Seq, stream.Decisions, err)
			return true
		}
		more, err := each(&d)
		fault = err
		return more && err == nil
	})
	return errors.Join(missingStream(err, stream.Decisions), fault)
}

func (s *session) decisionColumns(decided, thread, reason, state, tags string) string {
	const before = 20 + 2 + 23 + 2 + 10 + 2 + 10 + 2
	return s.wrap(0, before, fmt.Sprintf("%-20s  %-23s  %-10s  %-10s  %s", decided, thread, reason, state, tags))
}

func (s *session) printListed(d *decision.Record) {
	state := ""
	switch {
	case d.Transcript.Cut:
		state = "cut"
	case !d.Transcript.Complete:
		state = "incomplete"
	}
	var tags []string
	for _, list := range []struct {
		hits   []rules.Hit
		prefix string
	}{{d.Tags, ""}, {d.Shadow, "shadow:"}} {
		for i, h := range list.hits {
			if slices.ContainsFunc(list.hits[:i], func(o rules.Hit) bool { return o.Tag == h.Tag }) {
				continue
			}
			var by []string
			for _, o := range list.hits {
				if o.Tag == h.Tag {
					by = append(by, word(o.Rule))
				}
			}
			tag := list.prefix + word(h.Tag)
			if len(by) > 1 || h.Rule != h.Tag {
				tag += " (" + strings.Join(by, ", ") + ")"
			}
			tags = append(tags, tag)
		}
	}
	if len(tags) == 0 {
		tags = []string{"-"}
	}
	fmt.Fprintln(s.stdout, s.decisionColumns(clock(d.DecidedAt), visibleText(d.ChatID+"/"+d.ThreadID), word(d.Reason), state, strings.Join(tags, ", ")))
}

// sinceFlag is a point in time: a duration back from now, the beginning of a
// day (UTC), or an instant.
type sinceFlag struct {
	text string
	at   time.Time // zero: back from now
	back time.Duration
}

func (f *sinceFlag) String() string { return f.text }
func (f *sinceFlag) Type() string   { return "TIME" }

func (f *sinceFlag) Set(text string) error {
	v := sinceFlag{text: text}
	var err error
	if days, ok := strings.CutSuffix(text, "d"); ok {
		var n uint64
		n, err = strconv.ParseUint(days, 10, 16)
		v.back = time.Duration(n) * 24 * time.Hour
	} else if v.back, err = time.ParseDuration(text); err != nil {
		if v.at, err = time.Parse(time.DateOnly, text); err != nil {
			v.at, err = time.Parse(time.RFC3339, text)
		}
	}
	if err != nil || v.at.IsZero() && v.back <= 0 {
		return errors.New("must be a duration (90m, 2h, 7d), a date (2026-11-22) or a time (2026-11-22T09:30:00Z)")
	}
	if v.at.After(time.Now()) {
		return errors.New("lies in the future")
	}
	*f = v
	return nil
}

func (f *sinceFlag) from(now time.Time) time.Time {
	switch {
	case !f.at.IsZero():
		return f.at
	case f.back == 0:
		return now.Add(-24 * time.Hour)
	}
	return now.Add(-f.back)
}

// limitFlag is a number of at least 1.
type limitFlag int

func (f *limitFlag) String() string { return strconv.Itoa(int(*f)) }
func (f *limitFlag) Type() string   { return "N" }

func (f *limitFlag) Set(text string) error {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		return errors.New("must be a number of at least 1")
	}
	*f = limitFlag(n)
	return nil
}
