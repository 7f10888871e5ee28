package transcript

import (
	"fmt"
	"testing"
)

// thread is a very long thread, each of whose messages has been edited and
// marked.
func thread(events int) []Fact {
	var facts []Fact
	for n := 1; n <= events; n++ {
		text := fmt.Sprintf("message %d: where is my parcel, it should have been here last week already?", n)
		for _, h := range []hook{incoming(n, message(n, maya, text)), edited(n, message(n, maya, text+"!")),
			set(n, fmt.Sprintf("T_%d", n), `{"chats":{"formatting":"commonmark"}}`)} {
			facts = append(facts, h.facts()...)
		}
	}
	return facts
}

func BenchmarkAdd5000Events(b *testing.B) {
	facts := thread(5000)
	for b.Loop() {
		new(Facts).AddAll(facts)
	}
}

func BenchmarkReduce5000Events(b *testing.B) {
	f := new(Facts)
	f.AddAll(thread(5000))
	for b.Loop() {
		Reduce(key, f)
	}
}

func BenchmarkReadings5000Events(b *testing.B) {
	f := new(Facts)
	f.AddAll(thread(5000))
	r := Reduce(key, f)
	for b.Loop() {
		if _, more := r.Readings(16); !more {
			b.Fatal("not ambiguous")
		}
	}
}

func BenchmarkOneShortThread(b *testing.B) {
	facts := thread(20)
	for b.Loop() {
		f := new(Facts)
		f.AddAll(facts)
		Reduce(key, f).Readings(16)
	}
}
