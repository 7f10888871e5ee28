package livechat

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
	"unicode/utf8"
)

// cursor walks JSON text once, from front to back. Its readers never fail:
// each takes exactly one value, and one of another shape is skipped and read
// as the zero value, so that a surprise in one field costs that field alone.
//
// The text is expected to be valid JSON; on other text the cursor stops early
// but never panics and never loops. Keys are compared exactly (encoding/json
// would also take "ID" for "id"), and of equal keys the last one counts.
type cursor struct {
	data []byte
	pos  int
}

// isObject reports whether data is one JSON object and nothing else.
func isObject(data []byte) bool {
	c := cursor{data: data}
	return c.peek() == '{' && json.Valid(data)
}

// peek moves to the next byte that is not white space and returns it, 0 at the
// end.
func (c *cursor) peek() byte {
	for c.pos < len(c.data) {
		switch b := c.data[c.pos]; b {
		case ' ', '\t', '\r', '\n':
			c.pos++
		default:
			return b
		}
	}
	return 0
}

// stop ends the walk: every reader up the stack finds the end of the text.
func (c *cursor) stop() { c.pos = len(c.data) }

// skip takes one value of any shape. It counts brackets instead of recursing,
// so the depth of foreign values costs nothing.
func (c *cursor) skip() {
	depth := 0
	for {
		switch c.peek() {
		case 0:
			return
		case '"':
			c.quoted()
		case '{', '[':
			c.pos++
			depth++
		case '}', ']':
			if depth == 0 {
				return
			}
			c.pos++
			depth--
		case ',', ':':
			if depth == 0 {
				return
			}
			c.pos++
			continue
		default:
			c.literal()
		}
		if depth == 0 {
			return
		}
	}
}

// raw takes one value of any shape and returns its text, which shares memory
// with the cursor's.
func (c *cursor) raw() json.RawMessage {
	c.peek()
	start := c.pos
	c.skip()
	return c.data[start:c.pos:c.pos]
}

// literal takes a number, true, false or null.
func (c *cursor) literal() []byte {
	c.peek()
	start := c.pos
	for c.pos < len(c.data) {
		switch c.data[c.pos] {
		case ',', ':', '{', '}', '[', ']', '"', ' ', '\t', '\r', '\n':
			return c.data[start:c.pos]
		}
		c.pos++
	}
	return c.data[start:c.pos]
}

// quoted takes a string that starts here and returns it with its quotes.
func (c *cursor) quoted() []byte {
	start := c.pos
	for i := start + 1; ; {
		n := bytes.IndexByte(c.data[i:], '"')
		if n < 0 {
			c.stop()
			return c.data[start:]
		}
		i += n + 1
		backslashes := 0
		for c.data[i-2-backslashes] == '\\' { // ends at the opening quote
			backslashes++
		}
		if backslashes%2 == 0 {
			c.pos = i
			return c.data[start:i]
		}
	}
}

// plain returns what is between the quotes if it needs no decoding.
func plain(quoted []byte) ([]byte, bool) {
	if len(quoted) < 2 {
		return nil, false
	}
	s := quoted[1 : len(quoted)-1]
	return s, bytes.IndexByte(s, '\\') < 0 && utf8.Valid(s)
}

// unquote decodes a string. Bytes that are not UTF-8 and lone surrogates are
// read as U+FFFD.
func unquote(quoted []byte) string {
	if s, ok := plain(quoted); ok {
		return string(s)
	}
	var s string
	if json.Unmarshal(quoted, &s) != nil {
		return ""
	}
	return s
}

// object takes one value and calls field for each field if it is an object.
// field takes the value with a reader, or leaves it to be skipped.
func (c *cursor) object(field func(key []byte)) bool {
	if c.peek() != '{' {
		c.skip()
		return false
	}
	c.pos++
	for {
		switch c.peek() {
		case '}':
			c.pos++
			return true
		case ',':
			c.pos++
			continue
		case '"':
		default:
			c.stop()
			return true
		}
		quoted := c.quoted()
		key, ok := plain(quoted)
		if !ok {
			key = []byte(unquote(quoted))
		}
		if c.peek() != ':' {
			c.stop()
			return true
		}
		c.pos++
		c.peek()
		start := c.pos
		field(key)
		if c.pos == start {
			c.skip()
		}
	}
}

// array takes one value and calls item for each item if it is an array. item
// takes the item with a reader, or leaves it to be skipped.
func (c *cursor) array(item func()) bool {
	if c.peek() != '[' {
		c.skip()
		return false
	}
	c.pos++
	for {
		switch c.peek() {
		case ']':
			c.pos++
			return true
		case ',':
			c.pos++
			continue
		}
		start := c.pos
		item()
		if c.pos == start {
			c.skip()
		}
		if c.pos == start { // not JSON
			c.stop()
			return true
		}
	}
}

// str takes a string.
func (c *cursor) str() string {
	if c.peek() != '"' {
		c.skip()
		return ""
	}
	return unquote(c.quoted())
}

// id takes an id. The platform's samples have some ids as a string in one
// place and as a number in another.
func (c *cursor) id() string {
	switch b := c.peek(); {
	case b == '"':
		return unquote(c.quoted())
	case b == '-' || '0' <= b && b <= '9':
		return string(c.literal())
	default:
		c.skip()
		return ""
	}
}

// strings takes an array of strings and leaves out what is not one.
func (c *cursor) strings() []string {
	var list []string
	c.array(func() {
		if c.peek() == '"' {
			list = append(list, unquote(c.quoted()))
		}
	})
	return list
}

// ids takes an array of ids and leaves out what is not one.
func (c *cursor) ids() []string {
	var list []string
	c.array(func() {
		if id := c.id(); id != "" {
			list = append(list, id)
		}
	})
	return list
}

// ints takes an array of whole numbers, quoted or not, and leaves out what is
// not one. It reports whether there was an array.
func (c *cursor) ints() ([]int, bool) {
	var list []int
	ok := c.array(func() {
		if n, err := strconv.Atoi(c.id()); err == nil {
			list = append(list, n)
		}
	})
	return list, ok
}

// is takes one value and reports whether it is the literal want.
func (c *cursor) is(want string) bool { return string(c.raw()) == want }

// time takes an RFC 3339 timestamp with any offset and any fraction of a
// second; the result is in UTC.
func (c *cursor) time() time.Time {
	if c.peek() != '"' {
		c.skip()
		return time.Time{}
	}
	var t time.Time
	s, ok := plain(c.quoted())
	if !ok || t.UnmarshalText(s) != nil {
		return time.Time{}
	}
	t = t.UTC()
	if y := t.Year(); y < 0 || y > 9999 { // an offset can lead to years that cannot be written again
		return time.Time{}
	}
	return t
}
