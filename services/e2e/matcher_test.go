//go:build unix

package e2e

import (
	"os"
	"path/filepath"
	"reflect"

	"autotag/pkg/livechat"
	"autotag/pkg/rules"
	"autotag/pkg/stream"
	"autotag/pkg/transcript"
)

// checkMatchers fails where the compiled matcher, which the taggers use, and the
// reference matcher differ on a transcript of any thread that the stream holds,
// in any of its readings.
func (w *world) checkMatchers(rulesFiles ...string) {
	w.t.Helper()
	threads := map[transcript.Key]*transcript.Facts{}
	for _, m := range w.messages(stream.Events) {
		k, action, ok := stream.ParseEventSubject(m.Subject)
		if !ok || k.Thread == stream.None {
			continue
		}
		envelope, err := livechat.ParseWebhook(m.Data)
		if err != nil {
			w.t.Fatal(err)
		}
		payload, err := livechat.ParsePayload(action, envelope.Payload)
		if err != nil {
			continue // the taggers cannot read it either
		}
		if threads[k] == nil {
			threads[k] = &transcript.Facts{}
		}
		threads[k].AddAll(transcript.Read(k, action, payload, m.Time).Facts)
	}
	compared, hits := 0, 0
	for _, file := range rulesFiles {
		text, err := os.ReadFile(file)
		if err != nil {
			w.t.Fatal(err)
		}
		set, problems := rules.Parse(filepath.Base(file), text)
		if set == nil {
			w.t.Fatal(problems)
		}
		for k, facts := range threads {
			readings, _ := transcript.Reduce(k, facts).Readings(16)
			for _, t := range readings {
				got, want := set.Match(t), set.MatchReference(t)
				if !reflect.DeepEqual(got, want) {
					w.t.Errorf("%s, thread %s: the matchers differ:\ncompiled  %+v\nreference %+v", file, k.Thread, got, want)
				}
				compared++
				hits += len(want.Tags) + len(want.Shadow)
			}
		}
	}
	w.t.Logf("%d transcripts of %d threads, %d tags: the matchers agree", compared, len(threads), hits)
	if compared < len(rulesFiles)*100 || hits < 100 {
		w.t.Errorf("only %d transcripts and %d tags compared", compared, hits)
	}
}
