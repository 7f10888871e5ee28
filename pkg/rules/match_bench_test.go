package rules

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"autotag/pkg/transcript"
)

// benchWord makes the nth of many words that look like words.
func benchWord(n int) string {
	const consonants, vowels = "bcdfghjklmnprstvwz", "aeiou"
	var b strings.Builder
	for n += 20; n > 0; n /= len(consonants) * len(vowels) {
		b.WriteByte(consonants[n%len(consonants)])
		b.WriteByte(vowels[n/len(consonants)%len(vowels)])
	}
	return b.String()
}

// benchSet has rules of ten terms each: words, phrases and open words.
func benchSet(terms int) *Set {
	set := &Set{}
	for i := 0; i < terms; {
		r := &Rule{Name: fmt.Sprint("rule", i), Tag: fmt.Sprint("tag", i), Status: Active, From: FromAnyone, Within: WithinChat, Body: Term{Kind: Group, Min: 1}}
		for range min(10, terms-i) {
			t := &Term{Kind: Literal, Text: "x" + benchWord(i), Min: 1}
			switch i % 10 {
			case 1, 2, 3:
				t.Text += " " + benchWord(i/7)
			case 4, 5:
				t.Text += "*"
			}
			r.Body.Any = append(r.Body.Any, t)
			i++
		}
		set.Rules = append(set.Rules, r)
	}
	return set
}

// benchChats are chats of twenty messages, in which one word of 200 is a term.
func benchChats(set *Set) (chats []*transcript.Transcript, size int) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		c := &transcript.Transcript{Complete: true}
		for i := range 20 {
			var b strings.Builder
			for range 5 + r.IntN(25) {
				if r.IntN(200) == 0 {
					terms := set.Rules[r.IntN(len(set.Rules))].Body.Any
					b.WriteString(strings.TrimSuffix(terms[r.IntN(len(terms))].Text, "*"))
				} else {
					w := benchWord(int(3000 * r.Float64() * r.Float64() * r.Float64()))
					if r.IntN(10) == 0 {
						w = strings.ToUpper(w[:1]) + w[1:]
					}
					b.WriteString(w)
				}
				b.WriteString([]string{" ", " ", " ", " ", " ", " ", " ", ", ", ". ", "? ", "'s "}[r.IntN(11)])
			}
			c.Messages = append(c.Messages, transcript.Message{EventID: fmt.Sprint("T_", i), Author: transcript.Customer, Texts: []transcript.Text{{Field: "text", Text: b.String()}}})
			size += b.Len()
		}
		chats = append(chats, c)
	}
	return chats, size
}

func BenchmarkMatch(b *testing.B) {
	for _, terms := range []int{100, 1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(terms), func(b *testing.B) {
			set := benchSet(terms)
			chats, size := benchChats(set)
			set.Match(chats[0])
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				for _, c := range chats {
					set.Match(c)
				}
			}
		})
	}
}

func BenchmarkCompile100000Terms(b *testing.B) {
	set := benchSet(100_000)
	b.ReportAllocs()
	for b.Loop() {
		newMatcher(set)
	}
}
