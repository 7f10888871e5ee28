package livechat

import "strings"

// Side is who wrote an event.
type Side string

// The sides of a chat.
const (
	Customer Side = "customer"
	Agent    Side = "agent" // a person
	Bot      Side = "bot"
	NoSide   Side = "" // nothing tells
)

// AuthorSide tells the side of an author from the type that the chat's user
// list gives him ("customer", "agent"; "" if he is not in it) and, as far as
// that leaves it open, from the form of his id: customers have a UUID, people
// who are agents a login e-mail address, bots 32 hexadecimal digits. The
// platform has no user type of its own for bots, they are listed as agents.
func AuthorSide(id, userType string) Side {
	switch {
	case userType == "customer":
		return Customer
	case len(id) == 32 && isHex(id):
		return Bot
	case userType == "agent", strings.Contains(id, "@"):
		return Agent
	case isUUID(id):
		return Customer
	}
	return NoSide
}

func isUUID(s string) bool {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return false
	}
	digits := strings.ReplaceAll(s, "-", "")
	return len(digits) == 32 && isHex(digits)
}

func isHex(s string) bool {
	for i := range len(s) {
		switch b := s[i]; {
		case '0' <= b && b <= '9', 'a' <= b && b <= 'f', 'A' <= b && b <= 'F':
		default:
			return false
		}
	}
	return true
}
