package cmd

import (
	"context"
	"errors"
	"fmt"

	"autotag/pkg/config"
	"autotag/pkg/livechat"
	"autotag/pkg/transcript"
)

// fetchedThread is the transcript of the thread that is meant, as LiveChat
// shows it.
func (s *session) fetchedThread(ctx context.Context, given string, refs []threadRef) (*transcript.Transcript, error) {
	v, err := s.fetchSettings()
	if err != nil {
		return nil, err
	}
	k, err := s.keyToFetch(ctx, given, refs)
	if err != nil {
		return nil, err
	}
	reduction, err := s.fetch(ctx, v, k)
	if err != nil {
		return nil, err
	}
	return s.reading(k, reduction, true), nil
}

// fetch asks LiveChat for a thread: one billed call, which is said before it is
// made.
func (s *session) fetch(ctx context.Context, v fetching, k transcript.Key) (*transcript.Reduction, error) {
	client := livechat.New(livechat.Options{BaseURL: v.APIURL, Version: v.APIVersion, Token: v.Token})
	defer client.Close()
	fmt.Fprintln(s.stderr, "tagctl: asking LiveChat for the thread: one billed call")
	chat, err := client.GetChat(ctx, k.Org, k.Chat, k.Thread)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", whyNotFetched(err), err)
	}
	reduction := reduceChat(k, chat)
	if reduction.Restricted {
		return nil, fmt.Errorf("LiveChat withholds what was written in thread %s: its access is restricted, as beyond the history that a plan has", word(k.Thread))
	}
	return reduction, nil
}

// keyToFetch finds out the ids that LiveChat is asked for: it wants the chat
// beside the thread. Whoever gives both needs no NATS.
func (s *session) keyToFetch(ctx context.Context, given string, refs []threadRef) (transcript.Key, error) {
	if r := refs[0]; r.chat != "" && r.thread != "" {
		return transcript.Key{Org: r.org, Chat: r.chat, Thread: r.thread}, nil
	}
	keys, err := s.knownThreads(ctx, refs)
	if len(keys) > 0 {
		s.sayThread(keys)
		return keys[0], nil
	}
	if k, ok := linkedThread(given); ok {
		return k, nil
	}
	const both = "LiveChat has to be given the chat beside the thread; write CHAT/THREAD, or a link that has both"
	if err != nil {
		return transcript.Key{}, fmt.Errorf("%w\nWithout NATS, %s", err, both)
	}
	return transcript.Key{}, fmt.Errorf("NATS does not know which chat %s is of: %s", shown(given), both)
}

// knownThreads are the threads of which NATS knows, in the order of find.
func (s *session) knownThreads(ctx context.Context, refs []threadRef) ([]transcript.Key, error) {
	nc, js, err := s.connect()
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	keys, _, err := reader{nc, js}.locate(ctx, refs)
	return keys, err
}

// whyNotFetched says what to do about a call of get_chat that failed.
func whyNotFetched(err error) string {
	var e *livechat.Error
	if !errors.As(err, &e) {
		return "LiveChat cannot be asked"
	}
	switch e.Type {
	case "authentication":
		return "LiveChat does not know the token; see LIVECHAT_ACCOUNT_ID and LIVECHAT_PAT, or LIVECHAT_ACCESS_TOKEN"
	case "authorization":
		return "the token may not read chats; give it the scope chats--all:ro or chats--access:ro"
	case "missing_access":
		return "the token may not read this chat; chats--all:ro would let it"
	case "not_found", "validation":
		return "LiveChat has no such chat and thread"
	case "too_many_requests":
		return "LiveChat has been asked too often; try again later"
	case "":
		if e.Status == 0 && !e.Token() {
			return "LiveChat cannot be reached; LIVECHAT_API_URL names its address"
		}
		return "LiveChat has not answered as it should"
	}
	return "LiveChat refuses"
}

// fetching are the settings of a command that calls LiveChat.
type fetching settings

// Validate returns the faults of what --fetch needs.
func (f *fetching) Validate() []error {
	faults := f.Faults()
	if !f.HasToken() {
		faults = append(faults, errors.New("LIVECHAT_PAT: --fetch needs LIVECHAT_ACCOUNT_ID and LIVECHAT_PAT, or LIVECHAT_ACCESS_TOKEN"))
	}
	return faults
}

func (s *session) fetchSettings() (fetching, error) {
	var v fetching
	err := config.Load(&v, "tagctl", s.settingsFile, s.lookup)
	return v, err
}
