package cmd

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"autotag/pkg/stream"
)

// threadRef is one way to take what somebody gave as a thread: the ids that
// are asked for, "" for any.
type threadRef struct{ chat, thread string }

// tokens are the parts of a subject that stand for chat and thread.
func (r threadRef) tokens() string {
	chat, thread := "*", "*"
	if r.chat != "" {
		chat = r.chat
	}
	if r.thread != "" {
		thread = r.thread
	}
	return chat + "." + thread
}

// maxIDs bounds how many parts of a link are looked up.
const maxIDs = 12

// parseThread lists the ways to take text, a thread id, chat/thread, or a link
// with an id in its path or query, the likeliest first. A link's last part is
// taken first, and each as a thread before any is taken as a chat.
func parseThread(text string) ([]threadRef, error) {
	given := text
	text = strings.Trim(strings.TrimSpace(text), `<>"'`)
	if id, ok := threadToken(text); ok {
		return asThreadOrChat([]string{id}), nil
	}
	link := strings.Contains(text, "://")
	first, rest, slash := strings.Cut(text, "/")
	if !link && slash && strings.Contains(first, ".") { // a host: the browser has left out https://
		text, link = "https://"+text, true
	}
	if !link {
		chat, ok1 := threadToken(first)
		thread, ok2 := threadToken(rest)
		if ok1 && ok2 {
			return []threadRef{{chat, thread}}, nil
		}
	}
	if u, err := url.Parse(text); err == nil && link {
		parts := strings.Split(u.Path, "/")
		parts = append(parts, strings.Split(u.Fragment, "/")...)
		query := u.Query()
		for _, name := range slices.Sorted(maps.Keys(query)) {
			parts = append(parts, query[name]...)
		}
		var ids []string
		for _, part := range slices.Backward(parts) {
			if id, ok := threadToken(part); ok && !slices.Contains(ids, id) && len(ids) < maxIDs {
				ids = append(ids, id)
			}
		}
		if len(ids) > 0 {
			return asThreadOrChat(ids), nil
		}
	}
	return nil, fmt.Errorf("%s is neither the id of a thread nor chat/thread nor a link to one", shown(given))
}

func asThreadOrChat(ids []string) []threadRef {
	var refs []threadRef
	for _, id := range ids {
		refs = append(refs, threadRef{thread: id})
	}
	for _, id := range ids {
		refs = append(refs, threadRef{chat: id})
	}
	return refs
}

// threadToken tells whether text can be an id: nothing else may become part of
// a subject.
func threadToken(text string) (string, bool) {
	id, ok := stream.Token(text)
	return id, ok && id != stream.None
}
