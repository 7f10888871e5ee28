package cmd

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"autotag/pkg/stream"
	"autotag/pkg/transcript"
)

// threadRef is one way to take what somebody gave as a thread: the ids that
// are asked for, "" for any.
type threadRef struct{ org, chat, thread string }

// whole says that both the chat and the thread are given.
func (r threadRef) whole() bool { return r.chat != "" && r.thread != "" }

// tokens are the parts of a subject that stand for the ids.
func (r threadRef) tokens() string {
	return cmp.Or(r.org, "*") + "." + cmp.Or(r.chat, "*") + "." + cmp.Or(r.thread, "*")
}

// maxIDs bounds how many parts of a link are looked up.
const maxIDs = 12

// parseThread lists the ways to take text, a thread id, chat/thread,
// organization/chat/thread, or a link with an id in its path or query, the
// likeliest first. A link's last part is taken first, and each as a thread
// before any is taken as a chat.
func parseThread(text string) ([]threadRef, error) {
	given := text
	text = strings.Trim(strings.TrimSpace(text), `<>"'`)
	if !isNoID(text) {
		return asThreadOrChat([]string{text}), nil
	}
	link := strings.Contains(text, "://")
	parts := strings.Split(text, "/")
	if !link && len(parts) > 1 && strings.Contains(parts[0], ".") { // a host: the browser has left out https://
		text, link = "https://"+text, true
	}
	if n := len(parts); !link && (n == 2 || n == 3) && !slices.ContainsFunc(parts, isNoID) {
		ref := threadRef{chat: parts[n-2], thread: parts[n-1]}
		if n == 3 {
			ref.org = parts[0]
		}
		return []threadRef{ref}, nil
	}
	if u, err := url.Parse(text); err == nil && link {
		parts = strings.Split(u.Path, "/")
		parts = append(parts, strings.Split(u.Fragment, "/")...)
		query := u.Query()
		for _, name := range slices.Sorted(maps.Keys(query)) {
			parts = append(parts, query[name]...)
		}
		var ids []string
		for _, part := range slices.Backward(parts) {
			if !isNoID(part) && !slices.Contains(ids, part) && len(ids) < maxIDs {
				ids = append(ids, part)
			}
		}
		if len(ids) > 0 {
			return asThreadOrChat(ids), nil
		}
	}
	return nil, fmt.Errorf("%s is neither the id of a thread nor chat/thread nor a link to one", shown(given))
}

// liveChatID is how LiveChat writes ids of chats and threads.
var liveChatID = regexp.MustCompile(`^[0-9]*[A-Z][A-Z0-9]*$`)

// linkedThread is the chat and the thread that a link has one after the other
// in its path. That is a guess, for where nothing better is known.
func linkedThread(text string) (transcript.Key, bool) {
	_, path, _ := strings.Cut(strings.Trim(strings.TrimSpace(text), `<>"'`), "/")
	path, _, _ = strings.Cut(path, "?")
	path, _, _ = strings.Cut(path, "#")
	parts := strings.Split(strings.TrimRight(path, "/"), "/")
	if len(parts) < 2 {
		return transcript.Key{}, false
	}
	chat, thread := parts[len(parts)-2], parts[len(parts)-1]
	return transcript.Key{Chat: chat, Thread: thread}, liveChatID.MatchString(chat) && liveChatID.MatchString(thread)
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

// isNoID tells whether text cannot be an id: nothing else may become part of a
// subject.
func isNoID(text string) bool {
	_, ok := stream.Token(text)
	return !ok || text == stream.None
}
