package stream

import (
	"strings"

	"autotag/pkg/transcript"
)

const (
	maxToken  = 128
	maxAction = 64
)

// Token returns s when it can be a subject token of ours, an id of
// [A-Za-z0-9_-]{1,128}; ok is false for anything else. Nothing that came from
// outside may become part of a subject without it.
func Token(s string) (token string, ok bool) {
	if len(s) == 0 || len(s) > maxToken {
		return "", false
	}
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '_', c == '-':
		default:
			return "", false
		}
	}
	return s, true
}

// ValidAction tells whether s can be the action token of a webhook's subject:
// [a-z0-9_]{1,64}.
func ValidAction(s string) bool {
	if len(s) == 0 || len(s) > maxAction {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// ParseEventSubject takes an EventSubject apart.
func ParseEventSubject(subject string) (k transcript.Key, action string, ok bool) {
	rest, found := strings.CutPrefix(subject, "livechat.")
	if !found {
		return transcript.Key{}, "", false
	}
	i := strings.LastIndexByte(rest, '.')
	if i < 0 || !ValidAction(rest[i+1:]) {
		return transcript.Key{}, "", false
	}
	k, ok = parseKey(rest[:i])
	if !ok {
		return transcript.Key{}, "", false
	}
	return k, rest[i+1:], true
}

// ParseSubject takes one of the autotag.* subjects apart. The kind is
// "timer", "due", "retry", "retry-due", "decision", "outcome" or, for dead
// letters, "dead.<stage>".
func ParseSubject(subject string) (kind string, k transcript.Key, ok bool) {
	rest, found := strings.CutPrefix(subject, "autotag.")
	if !found {
		return "", transcript.Key{}, false
	}
	kind, rest, found = strings.Cut(rest, ".")
	if !found {
		return "", transcript.Key{}, false
	}
	switch kind {
	case "timer", "due", "retry", "retry-due", "decision", "outcome":
	case "dead":
		var stage string
		stage, rest, found = strings.Cut(rest, ".")
		switch stage {
		case StageIngress, StageAccumulate, StageDecide, StageApply:
		default:
			found = false
		}
		if !found {
			return "", transcript.Key{}, false
		}
		kind += "." + stage
	default:
		return "", transcript.Key{}, false
	}
	if k, ok = parseKey(rest); !ok {
		return "", transcript.Key{}, false
	}
	return kind, k, true
}

func parseKey(s string) (transcript.Key, bool) {
	var k transcript.Key
	parts := [...]*string{&k.Org, &k.Chat, &k.Thread}
	for i, p := range parts {
		token, rest, more := strings.Cut(s, ".")
		if more == (i == len(parts)-1) {
			return transcript.Key{}, false
		}
		t, ok := Token(token)
		if !ok {
			return transcript.Key{}, false
		}
		*p, s = t, rest
	}
	return k, true
}
