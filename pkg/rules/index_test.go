package rules

import (
	"math/rand/v2"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"autotag/pkg/transcript"
)

// Phrases are found whatever stands between their words: they are looked up by
// two words and what is between, which not every phrase has.
func TestMatchFindsPhrases(t *testing.T) {
	t.Parallel()
	words := []string{"a", "I", "don", "dogs", "bowls*", "é", "5", "ではない"}
	betweens := []string{" ", "  ", "-", "'", "’", "' ", "'t ", "'T ", "'d ", "'re ", "'éé ", "'abc ", "'s-", " '", ", ", ".", "'5 ", "''", "* "}
	set := &Set{}
	for _, options := range []options{{}, {caseExact: true}, {accentsExact: true}} {
		for _, first := range words {
			for _, between := range betweens {
				for _, second := range words {
					name := strconv.Itoa(len(set.Rules))
					term := &Term{Kind: Literal, Text: first + between + second, Min: 1, CaseExact: options.caseExact, AccentsExact: options.accentsExact}
					set.Rules = append(set.Rules, &Rule{
						Name: name, Tag: name, Status: Active, From: FromAnyone, Within: WithinChat,
						Body: Term{Kind: Group, Min: 1, Any: []*Term{term}},
					})
				}
			}
		}
	}
	r := rand.New(rand.NewPCG(1, 2))
	found := 0
	for range 100 {
		var b strings.Builder
		for range 12 {
			b.WriteString(strings.TrimSuffix(words[r.IntN(len(words))], "*"))
			b.WriteString(betweens[r.IntN(len(betweens))])
		}
		chat := &transcript.Transcript{Complete: true, Messages: []transcript.Message{{
			EventID: "E1", Author: transcript.Customer, Texts: []transcript.Text{{Field: "text", Text: b.String()}},
		}}}
		got, want := set.Match(chat), set.MatchReference(chat)
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("in %+q: %v\nshould be %v", b.String(), got.Tags, want.Tags)
		}
		found += len(want.Tags)
	}
	if found < 1000 {
		t.Errorf("only %d finds", found)
	}
}
