package livechat

import (
	"encoding/base64"
	"fmt"
	"io"
	"strings"
)

// Token is what the API takes as proof of identity: a personal access token
// with the account it belongs to, or an OAuth access token. However it is
// printed or marshalled, it shows nothing of itself.
type Token struct {
	AccountID string // id of the account that PAT belongs to, a UUID, not an e-mail address
	PAT       string // personal access token
	Access    string // OAuth access token; when set, the others are not used
}

const redacted = "[redacted]"

// String returns a placeholder.
func (Token) String() string { return redacted }

// Format prints a placeholder for every verb, %#v and %d included.
func (Token) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, redacted) }

// MarshalText returns a placeholder, which encoding/json uses too.
func (Token) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// usable reports whether the token can be sent at all: a stray line break in a
// secret would otherwise look like a failed connection.
func (t Token) usable() bool {
	for i := range len(t.Access) {
		if b := t.Access[i]; b <= ' ' || b > '~' {
			return false
		}
	}
	return t.Access != "" || t.AccountID != "" && t.PAT != ""
}

// authorization is the value of the Authorization header.
func (t Token) authorization() string {
	if t.Access != "" {
		return "Bearer " + t.Access
	}
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(t.AccountID+":"+t.PAT))
}

// region is the data centre that an OAuth access token names before its first
// colon ("dal:...", "fra-a:..."), "" if there is none. A personal access token
// has no documented prefix.
func (t Token) region() string {
	region, _, ok := strings.Cut(t.Access, ":")
	if !ok || !isRegion(region) {
		return ""
	}
	return region
}

// isRegion reports whether s can be the name of a data centre, and so be sent
// as a header.
func isRegion(s string) bool {
	for i := range len(s) {
		switch b := s[i]; {
		case 'a' <= b && b <= 'z', '0' <= b && b <= '9', b == '-':
		default:
			return false
		}
	}
	return s != "" && len(s) <= 32
}
