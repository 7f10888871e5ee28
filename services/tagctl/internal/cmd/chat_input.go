package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"autotag/pkg/livechat"
	"autotag/pkg/rules"
	"autotag/pkg/transcript"
)

// What a file of a chat may hold: the size of a long chat, many times over.
const (
	maxInput    = 1 << 20 // bytes
	maxMessages = 5000
)

// readChat reads a chat from a file, or from standard input where path is "" or
// "-": JSON if it begins like it, else lines.
func (s *session) readChat(path string, from transcript.Author) (*transcript.Transcript, error) {
	name, in := "standard input", s.stdin
	if path != "" && path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		name, in = path, f
	} else if f, ok := s.stdin.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
		fmt.Fprintln(s.stderr, "One message a line; end with Ctrl-D on a line of its own (Windows: Ctrl-Z).")
	}
	data, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if len(data) > maxInput {
		return nil, fmt.Errorf("%s has more than 1 MiB; give one chat at a time", name)
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if start := bytes.TrimSpace(data); len(start) > 0 && start[0] == '{' || isList(data) {
		chat, err := jsonChat(data, from)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return chat, nil
	}
	return linesChat(name, data, from)
}

// linesChat reads one message a line; who wrote it may stand before it.
func linesChat(name string, data []byte, from transcript.Author) (*transcript.Transcript, error) {
	chat := &transcript.Transcript{Complete: true}
	n := 0
	for line := range bytes.Lines(data) {
		n++
		switch {
		case n > maxMessages:
			return nil, fmt.Errorf("%s has more than %d lines; give one chat at a time", name, maxMessages)
		case bytes.IndexByte(line, 0) >= 0:
			return nil, fmt.Errorf("%s, line %d: a NUL byte; it must be text in UTF-8", name, n)
		case !utf8.Valid(line):
			return nil, fmt.Errorf("%s, line %d: not UTF-8", name, n)
		}
		author, text := from, strings.TrimRight(string(line), "\r\n")
		if head, after, ok := strings.Cut(text, ":"); ok {
			if name := strings.ToLower(strings.TrimSpace(head)); slices.Contains(authors, name) {
				author, text = transcript.Author(name), strings.TrimPrefix(after, " ")
			}
		}
		addMessage(chat, author, text, false)
	}
	return chat, nil
}

var authors = []string{string(transcript.Customer), string(transcript.Agent), string(transcript.Bot)}

// addMessage adds a message, unless it is empty.
func addMessage(chat *transcript.Transcript, author transcript.Author, text string, internal bool) {
	if strings.TrimSpace(text) != "" {
		m := message(len(chat.Messages)+1, author, text)
		m.Internal = internal
		chat.Messages = append(chat.Messages, m)
	}
}

// jsonChat reads {"messages": [...]}, the list of messages alone, an answer of
// get_chat, or an entry of list_archives, also as the only one of its answer.
func jsonChat(data []byte, from transcript.Author) (*transcript.Transcript, error) {
	if isList(data) {
		return jsonMessages(data, from)
	}
	var keys map[string]json.RawMessage
	if err := json.Unmarshal(data, &keys); err != nil {
		return nil, fmt.Errorf("not a chat in JSON: %w", err)
	}
	if messages, own := keys["messages"]; own {
		delete(keys, "messages")
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			return nil, fmt.Errorf("unknown key %s beside messages; groups and tags are for --groups and --tagged to say", shown(key))
		}
		return jsonMessages(messages, from)
	}
	var form struct {
		Chats  []json.RawMessage `json:"chats"`
		Thread json.RawMessage   `json:"thread"`
	}
	if err := json.Unmarshal(data, &form); err != nil {
		return nil, fmt.Errorf("not a chat in JSON: %w", err)
	}
	switch {
	case len(form.Chats) == 1:
		data = form.Chats[0]
	case len(form.Chats) > 1:
		return nil, fmt.Errorf("%d chats; give one of them", len(form.Chats))
	case form.Thread == nil:
		return nil, errors.New(`neither {"messages": [{"author": "customer", "text": "..."}]} nor a chat of LiveChat with its thread`)
	}
	var c livechat.Chat
	if err := json.Unmarshal(data, &c); err != nil {
		return nil, fmt.Errorf("not a chat of LiveChat: %w", err)
	}
	if c.Thread == nil || c.Thread.ID == "" {
		return nil, errors.New("a chat of LiveChat without its thread")
	}
	return chatOf(transcript.Key{Chat: c.ID, Thread: c.Thread.ID}, c), nil
}

var messageKeys = []string{"author", "text", "internal", "deleted"}

// jsonMessages reads [{"author", "text", "internal", "deleted"}].
func jsonMessages(data []byte, from transcript.Author) (*transcript.Transcript, error) {
	var list []map[string]json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf(`messages must be a list, [{"author": "customer", "text": "..."}]: %w`, err)
	}
	if len(list) > maxMessages {
		return nil, fmt.Errorf("more than %d messages; give one chat at a time", maxMessages)
	}
	chat := &transcript.Transcript{Complete: true}
	for i, fields := range list {
		for _, key := range slices.Sorted(maps.Keys(fields)) {
			if slices.Contains(messageKeys, key) {
				continue
			}
			if near := rules.Nearest(key, messageKeys); near != "" {
				return nil, fmt.Errorf("message %d: unknown key %s; did you mean %s?", i+1, shown(key), shown(near))
			}
			return nil, fmt.Errorf("message %d: unknown key %s; a message has %s", i+1, shown(key), strings.Join(messageKeys, ", "))
		}
		m := struct {
			Author   string
			Text     *string
			Internal bool
			Deleted  bool
		}{Author: string(from)}
		for _, field := range []struct {
			key  string
			into any
			kind string
		}{
			{"author", &m.Author, "customer, agent or bot"}, {"text", &m.Text, "a text"},
			{"internal", &m.Internal, "true or false"}, {"deleted", &m.Deleted, "true or false"},
		} {
			if raw, ok := fields[field.key]; ok && json.Unmarshal(raw, field.into) != nil {
				return nil, fmt.Errorf("message %d: %s must be %s", i+1, field.key, field.kind)
			}
		}
		switch {
		case !slices.Contains(authors, m.Author):
			return nil, fmt.Errorf("message %d: author %s must be customer, agent or bot", i+1, shown(m.Author))
		case m.Internal && m.Author == string(transcript.Customer):
			return nil, fmt.Errorf("message %d: internal cannot stand on a customer's message; remove it, or write agent in place of customer", i+1)
		case m.Deleted:
		case m.Text == nil:
			return nil, fmt.Errorf(`message %d has no text; write "text": "..."`, i+1)
		default:
			addMessage(chat, transcript.Author(m.Author), *m.Text, m.Internal)
		}
	}
	return chat, nil
}

// isList says whether a chat is a list of messages and not a line that begins
// with a bracket, such as the time of a message.
func isList(data []byte) bool {
	after, ok := bytes.CutPrefix(bytes.TrimSpace(data), []byte("["))
	return ok && bytes.HasPrefix(bytes.TrimSpace(after), []byte("{"))
}

// chatOf is the transcript that an answer of get_chat shows.
func chatOf(k transcript.Key, c livechat.Chat) *transcript.Transcript {
	reduction := reduceChat(k, c)
	readings, _ := reduction.Readings(1)
	t := readings[0]
	t.Complete = !t.Cut && !reduction.Restricted
	return t
}

func reduceChat(k transcript.Key, c livechat.Chat) *transcript.Reduction {
	facts := &transcript.Facts{}
	facts.AddAll(transcript.FromChat(k, facts, c, time.Unix(0, 0).UTC()))
	return transcript.Reduce(k, facts)
}
