//go:build unix

package e2e

import (
	"slices"
	"testing"

	"autotag/pkg/livechat/livechattest"
)

// Whatever the order, number and time of a chat's webhooks, and however many
// programs share them, its tags are the same.
func TestArrival(t *testing.T) {
	t.Parallel()
	each := 38 // twice every kind
	if long() {
		each = 380
	}
	w := newWorld(t, spec{ingresses: 2, taggers: 3})
	w.createTags(tags...)
	inOrder, reordered, repeated, late := w.traffic(each), w.traffic(each), w.traffic(each), w.traffic(each)

	sending := hooks(inOrder)
	for _, c := range reordered {
		sending = append(sending, w.endFirst(c.hooks))
	}
	for _, c := range repeated {
		sending = append(sending, doubled(c.hooks))
	}
	var rest [][]livechattest.Webhook
	for _, c := range late {
		early, after := split(c.hooks)
		sending, rest = append(sending, early), append(rest, w.shuffled(after))
	}
	w.sendAll(sending)
	w.drain()
	w.sendAll(rest)
	w.check(expectations(slices.Concat(inOrder, reordered, repeated, late)))

	w.afterwards(inOrder, func() {})
}
