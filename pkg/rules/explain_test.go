package rules

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"autotag/pkg/transcript"
)

// Explain's verdicts are Match's result, and each tree gives its verdict.
func TestExplainAgreesWithMatch(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	seen := map[Verdict]bool{}
	every := readRules(t, `version: 1
rules:
  - {tag: a, set: s, any: [one]}
  - {tag: b, set: s, any: [one, two]}
  - {tag: c, any: [one], unless_tagged: [vip]}
  - {tag: d, any: [one], groups: [7]}
  - {tag: e, any: [one], status: off}
  - {tag: f, fallback: true}
`)
	for _, chat := range []*transcript.Transcript{
		{Complete: true, Groups: []int{0}, Tagged: []string{"vip"}, Messages: []transcript.Message{{EventID: "1", Texts: []transcript.Text{{Field: "text", Text: "one"}}}}},
		{Groups: []int{0}},
	} {
		if err := checkExplanation(every, chat, seen); err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint64(300) {
		s := &sample{chooser: rand.New(rand.NewPCG(seed, i))}
		set := s.set()
		for range 3 {
			chat := s.chat()
			if err := checkExplanation(set, chat, seen); err != nil {
				t.Fatalf("seed %d, set %d: %v\nrules:\n%schat:\n%s", seed, i, err, describeSet(set), describeChat(chat))
			}
		}
	}
	for _, v := range []Verdict{Matched, NotMatched, StoppedSet, StoppedTagged, NotInGroups, SwitchedOff, FallbackSilenced, FallbackIncomplete} {
		if !seen[v] {
			t.Errorf("no rule came to %q", v)
		}
	}
}

// givesInGroups says whether a rule would match in one of its groups.
func givesInGroups(set *Set, r *Rule, chat *transcript.Transcript) bool {
	if r.Fallback || len(r.Groups) == 0 {
		return false
	}
	there := *chat
	there.Groups = r.Groups[:1]
	result := set.Match(&there)
	return slices.ContainsFunc(slices.Concat(result.Tags, result.Shadow), func(h Hit) bool { return h.Rule == r.Name }) ||
		slices.ContainsFunc(result.Skipped, func(k Skip) bool { return k.Rule == r.Name })
}

func checkExplanation(set *Set, chat *transcript.Transcript, seen map[Verdict]bool) error {
	result, got := set.Match(chat), Result{}
	for i, v := range set.Explain(chat).Rules {
		r := v.Rule
		if r != set.Rules[i] {
			return fmt.Errorf("verdict %d is on rule %s", i, r.Name)
		}
		seen[v.Verdict] = true
		switch {
		case v.Verdict == Matched && r.Status == Shadow:
			got.Shadow = append(got.Shadow, Hit{Rule: r.Name})
		case v.Verdict == Matched:
			got.Tags = append(got.Tags, Hit{Rule: r.Name})
		case v.Verdict == StoppedSet || v.Verdict == StoppedTagged:
			got.Skipped = append(got.Skipped, Skip{Rule: r.Name, Why: string(v.Verdict)})
		}
		if v.Near && len(got.NearMisses) < maxNearMisses {
			got.NearMisses = append(got.NearMisses, NearMiss{Rule: r.Name, Missing: v.Missing})
		}
		if v.Verdict == NotInGroups && v.ButForGroups != givesInGroups(set, r, chat) {
			return fmt.Errorf("rule %s: that its groups alone stand in the way is %v", r.Name, v.ButForGroups)
		}
		if v.Body == nil {
			continue
		}
		matched := v.ButForGroups || v.Verdict == Matched || v.Verdict == StoppedSet || v.Verdict == StoppedTagged
		holds := v.Body.Holds
		if r.Within == WithinMessage {
			holds = v.Satisfied >= max(r.Body.Min, 1)
		}
		if holds != matched {
			return fmt.Errorf("rule %s: verdict %s, its tree says %v", r.Name, v.Verdict, holds)
		}
		if err := checkFinding(v.Body); err != nil {
			return fmt.Errorf("rule %s: %w", r.Name, err)
		}
	}
	hitName := func(a, b Hit) bool { return a.Rule == b.Rule }
	switch {
	case !slices.EqualFunc(got.Tags, result.Tags, hitName):
		return fmt.Errorf("tags %v, Match says %v", got.Tags, result.Tags)
	case !slices.EqualFunc(got.Shadow, result.Shadow, hitName):
		return fmt.Errorf("shadow %v, Match says %v", got.Shadow, result.Shadow)
	case !slices.EqualFunc(got.Skipped, result.Skipped, func(a, b Skip) bool { return a.Rule == b.Rule && a.Why == b.Why }):
		return fmt.Errorf("skipped %v, Match says %v", got.Skipped, result.Skipped)
	case !slices.EqualFunc(got.NearMisses, result.NearMisses, func(a, b NearMiss) bool { return a.Rule == b.Rule && a.Missing == b.Missing }):
		return fmt.Errorf("near misses %v, Match says %v", got.NearMisses, result.NearMisses)
	}
	return nil
}

// checkFinding holds a finding against what its parts say.
func checkFinding(f *Finding) error {
	all := func(fs []*Finding) bool { return !slices.ContainsFunc(fs, func(f *Finding) bool { return !f.Holds }) }
	one := func(fs []*Finding) bool { return slices.ContainsFunc(fs, func(f *Finding) bool { return f.Holds }) }
	want := false
	switch f.Term.Kind {
	case Group:
		want = (len(f.Any) == 0 || one(f.Any)) && all(f.All) && !one(f.None)
	case List:
		want = one(f.Entries)
	default:
		want = len(f.Places) > 0
		if f.Messages != len(f.Places) {
			return fmt.Errorf("term %q in %d messages, at %d places", f.Term.Text, f.Messages, len(f.Places))
		}
	}
	if f.Term.Min > 1 {
		want = want && f.Messages >= f.Term.Min
	}
	if f.Holds != want {
		return fmt.Errorf("%s: holds %v, its parts say %v", describe(f.Term), f.Holds, want)
	}
	for _, part := range slices.Concat(f.Any, f.All, f.None, f.Entries) {
		if err := checkFinding(part); err != nil {
			return err
		}
	}
	return nil
}
