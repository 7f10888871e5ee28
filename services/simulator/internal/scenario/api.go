package scenario

import (
	"net/http"
	"slices"
	"time"

	"autotag/pkg/livechat/livechattest"
)

// faults are what `api:` of a chat may ask for, by its word.
var faults = map[string]livechattest.Fault{
	"429":         livechattest.TooManyRequests(0),
	"429 for 1s":  livechattest.TooManyRequests(time.Second),
	"500":         livechattest.Refusal("internal"),
	"502":         livechattest.Status(http.StatusBadGateway),
	"503":         livechattest.Refusal("service_unavailable"),
	"504":         livechattest.Refusal("request_timeout"),
	"html":        livechattest.HTML(),
	"lost answer": livechattest.ApplyThenCut(),
}

func apiAnswers() []string {
	var out []string
	for word := range faults {
		out = append(out, word)
	}
	slices.Sort(out)
	return out
}
