package cmd

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"autotag/pkg/livechat"
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
	if start := bytes.TrimSpace(data); len(start) > 0 && start[0] == '{' {
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
		addMessage(chat, author, text)
	}
	return chat, nil
}

var authors = []string{string(transcript.Customer), string(transcript.Agent), string(transcript.Bot)}

// addMessage adds a message, unless it is empty.
func addMessage(chat *transcript.Transcript, author transcript.Author, text string) {
	if strings.TrimSpace(text) != "" {
		chat.Messages = append(chat.Messages, message(len(chat.Messages)+1, author, text))
	}
}

// jsonChat reads {"messages": [...]}, an answer of get_chat, or an entry of
// list_archives, also as the only one of its answer.
func jsonChat(data []byte, from transcript.Author) (*transcript.Transcript, error) {
	var form struct {
		Messages *[]struct {
			Author string `json:"author"`
			Text   string `json:"text"`
		} `json:"messages"`
		Chats  []json.RawMessage `json:"chats"`
		Thread json.RawMessage   `json:"thread"`
	}
	if err := json.Unmarshal(data, &form); err != nil {
		return nil, fmt.Errorf("not a chat in JSON: %w", err)
	}
	switch {
	case form.Messages != nil:
		if len(*form.Messages) > maxMessages {
			return nil, fmt.Errorf("more than %d messages; give one chat at a time", maxMessages)
		}
		chat := &transcript.Transcript{Complete: true}
		for i, m := range *form.Messages {
			author := transcript.Author(m.Author)
			switch author {
			case "":
				author = from
			case transcript.Customer, transcript.Agent, transcript.Bot:
			default:
				return nil, fmt.Errorf("message %d: author %s must be customer, agent or bot", i+1, shown(m.Author))
			}
			addMessage(chat, author, m.Text)
		}
		return chat, nil
	case len(form.Chats) == 1:
		data = form.Chats[0]
	case len(form.Chats) > 1:
		return nil, fmt.Errorf("%d chats; give one of them", len(form.Chats))
	case form.Thread == nil:
		return nil, errors.New(`neither {"messages": [{"author", "text"}]} nor a chat of LiveChat with its thread`)
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
