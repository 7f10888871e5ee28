package webhook

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/maphash"
	"unicode"
	"unicode/utf8"
)

// maxDepth is how many objects and arrays may lie in one another, the envelope
// included.
const maxDepth = 64

// Why a body is refused as malformed.
var (
	errSyntax    = errors.New("not one JSON document")
	errNotObject = errors.New("not a JSON object")
	errDepth     = errors.New("nested too deeply")
	errUTF8      = errors.New("not UTF-8")
	errKey       = errors.New("an envelope key is given twice or in another spelling")
)

// envelope is a webhook's body as far as the ingress reads it. Its slices share
// the memory of the body it was read from. A raw value is JSON, nil if absent;
// of a key given twice below the top level, the last one counts, as it does for
// encoding/json.
type envelope struct {
	// data is the envelope without secret_key and without blanks, otherwise
	// byte for byte as it came.
	data []byte
	// secret is the SHA-256 of the secret_key, if that is a string that is not
	// empty.
	secret    [sha256.Size]byte
	hasSecret bool

	action       []byte
	organization []byte
	license      []byte
	payload      []byte

	// Of the payload, if it is an object.
	id       []byte
	chatID   []byte
	threadID []byte
	eventID  []byte
	chat     object // payload.chat
	thread   object // payload.chat.thread
	event    object // payload.event
}

// object is a member that should be an object, and its id.
type object struct {
	present bool
	id      []byte
}

// readEnvelope reads body in one pass, and strictly: exactly one JSON object in
// UTF-8 without a byte order mark, no deeper than maxDepth, no key of the top
// level twice, none in a spelling that a reader ignoring case would take for
// another. Everything below the top level is only checked to be JSON. The
// result is written over body, which is therefore worthless afterwards; the
// secret is wiped from it.
func readEnvelope(body []byte) (envelope, error) {
	r := reader{b: body}
	r.skip()
	if r.i == len(body) || body[r.i] != '{' {
		if r.value(1) {
			r.fail(errNotObject)
		}
		return envelope{}, r.err
	}
	var e envelope
	if !r.envelope(&e) {
		return envelope{}, r.err
	}
	r.skip()
	if r.i != len(body) {
		return envelope{}, errSyntax
	}
	e.data = body[:r.w]
	return e, nil
}

// reader checks the JSON at b[i:] and copies it, without blanks, to b[w:]; w is
// never above i, so that it can do so in place.
type reader struct {
	b    []byte
	i, w int
	err  error
}

func (r *reader) fail(err error) bool {
	if r.err == nil {
		r.err = err
	}
	return false
}

func (r *reader) skip() {
	for r.i < len(r.b) {
		switch r.b[r.i] {
		case ' ', '\t', '\n', '\r':
			r.i++
		default:
			return
		}
	}
}

// peek returns the byte after blanks, 0 at the end.
func (r *reader) peek() byte {
	r.skip()
	if r.i == len(r.b) {
		return 0
	}
	return r.b[r.i]
}

func (r *reader) put(c byte) {
	r.b[r.w] = c
	r.w++
}

// take copies n bytes as they are.
func (r *reader) take(n int) {
	if r.w != r.i {
		copy(r.b[r.w:], r.b[r.i:r.i+n])
	}
	r.w += n
	r.i += n
}

// expect copies one byte, which must be c.
func (r *reader) expect(c byte) bool {
	if r.peek() != c {
		return r.fail(errSyntax)
	}
	r.i++
	r.put(c)
	return true
}

// raw takes any value and returns it as it was written.
func (r *reader) raw(depth int, into *[]byte) bool {
	begin := r.w
	if !r.value(depth) {
		return false
	}
	*into = r.b[begin:r.w:r.w]
	return true
}

// value takes any value. depth is that of the value itself, should it be an
// object or an array.
func (r *reader) value(depth int) bool {
	switch c := r.peek(); {
	case c == '"':
		return r.string()
	case c == '{':
		return r.open(depth) && r.anyMembers(depth)
	case c == '[':
		return r.open(depth) && r.elements(depth)
	case c == '-' || c >= '0' && c <= '9':
		return r.number()
	case c == 't':
		return r.word("true")
	case c == 'f':
		return r.word("false")
	case c == 'n':
		return r.word("null")
	}
	return r.fail(errSyntax)
}

// open takes the bracket that the caller has seen.
func (r *reader) open(depth int) bool {
	if depth > maxDepth {
		return r.fail(errDepth)
	}
	r.take(1)
	return true
}

func (r *reader) anyMembers(depth int) bool {
	for first := true; ; first = false {
		_, more, ok := r.member(first)
		if !ok || !more {
			return ok
		}
		if !r.value(depth + 1) {
			return false
		}
	}
}

// member takes what lies before a member's value: the comma unless it is the
// first, the key and the colon. more is false when it took the closing brace
// instead. The key is as it was written, without the quotes.
func (r *reader) member(first bool) (key []byte, more, ok bool) {
	switch c := r.peek(); {
	case c == '}':
		r.i++
		r.put('}')
		return nil, false, true
	case !first && c == ',':
		r.i++
		r.put(',')
		r.skip()
	case !first:
		return nil, false, r.fail(errSyntax)
	}
	begin := r.w
	if r.peek() != '"' {
		return nil, false, r.fail(errSyntax)
	}
	if !r.string() {
		return nil, false, false
	}
	end := r.w
	return r.b[begin+1 : end-1], true, r.expect(':')
}

func (r *reader) elements(depth int) bool {
	if r.peek() == ']' {
		r.take(1)
		return true
	}
	for {
		if !r.value(depth + 1) {
			return false
		}
		switch r.peek() {
		case ',':
			r.take(1)
		case ']':
			r.take(1)
			return true
		default:
			return r.fail(errSyntax)
		}
	}
}

func (r *reader) word(w string) bool {
	if len(r.b)-r.i < len(w) || string(r.b[r.i:r.i+len(w)]) != w {
		return r.fail(errSyntax)
	}
	r.take(len(w))
	return true
}

func (r *reader) number() bool {
	j := r.i
	digits := func() bool {
		begin := j
		for j < len(r.b) && r.b[j] >= '0' && r.b[j] <= '9' {
			j++
		}
		return j > begin
	}
	at := func(c byte) bool { return j < len(r.b) && r.b[j] == c }

	if at('-') {
		j++
	}
	if at('0') {
		j++
	} else if !digits() {
		return r.fail(errSyntax)
	}
	if at('.') {
		j++
		if !digits() {
			return r.fail(errSyntax)
		}
	}
	if at('e') || at('E') {
		j++
		if at('+') || at('-') {
			j++
		}
		if !digits() {
			return r.fail(errSyntax)
		}
	}
	r.take(j - r.i)
	return true
}

func (r *reader) string() bool {
	b, j := r.b, r.i+1
	for {
		for j+8 <= len(b) && plain(binary.LittleEndian.Uint64(b[j:])) {
			j += 8
		}
		if j == len(b) {
			return r.fail(errSyntax)
		}
		switch c := b[j]; {
		case c == '"':
			r.take(j + 1 - r.i)
			return true
		case c == '\\':
			n := escape(b[j:])
			if n == 0 {
				return r.fail(errSyntax)
			}
			j += n
		case c < ' ':
			return r.fail(errSyntax)
		case c < utf8.RuneSelf:
			j++
		default:
			_, n := utf8.DecodeRune(b[j:])
			if n == 1 {
				return r.fail(errUTF8)
			}
			j += n
		}
	}
}

// plain tells whether eight bytes are all ASCII that stands for itself in a JSON
// string: no quote, backslash or control character. Most of a webhook is, and
// this is several times faster than a look at each.
func plain(eight uint64) bool {
	const (
		ones  = 0x0101010101010101
		highs = 0x8080808080808080
	)
	quotes, slashes := eight^ones*'"', eight^ones*'\\'
	// x-ones*n borrows into the high bit of a byte below n (n of 128 at most).
	found := (quotes-ones)&^quotes | (slashes-ones)&^slashes | (eight-ones*' ')&^eight | eight
	return found&highs == 0
}

// escape returns the length of the escape sequence at the begin of b, 0 if it
// is none. A surrogate without its partner is let through: it stands for
// U+FFFD.
func escape(b []byte) int {
	if len(b) < 2 {
		return 0
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2
	case 'u':
		if len(b) < 6 {
			return 0
		}
		for _, c := range b[2:6] {
			if (c < '0' || c > '9') && (c < 'a' || c > 'f') && (c < 'A' || c > 'F') {
				return 0
			}
		}
		return 6
	}
	return 0
}

// envelope takes the top level, whose brace the caller has seen.
func (r *reader) envelope(e *envelope) bool {
	if !r.open(1) {
		return false
	}
	var seen keys
	for first := true; ; {
		mark := r.w
		key, more, ok := r.member(first)
		if !ok {
			return false
		}
		if !more {
			return true
		}
		name := decoded(key)
		if !seen.add(name) {
			return r.fail(errKey)
		}
		switch string(name) {
		case "secret_key":
			var secret []byte
			if !r.raw(2, &secret) {
				return false
			}
			e.setSecret(secret)
			clear(r.b[mark:r.i]) // what was copied, and what it was copied from
			r.w = mark           // also before the comma
			if first {
				// The next member is the first one written: it has no comma.
				ok, more := r.separator()
				if !ok || !more {
					return ok
				}
			}
			continue
		case "action":
			ok = r.raw(2, &e.action)
		case "organization_id":
			ok = r.raw(2, &e.organization)
		case "license_id":
			ok = r.raw(2, &e.license)
		case "payload":
			begin := r.w
			ok = r.payload(e)
			e.payload = r.b[begin:r.w:r.w]
		default:
			ok = r.value(2)
		}
		if !ok {
			return false
		}
		first = false
	}
}

// separator takes what follows the first member of an object without writing
// the comma. more is false when it was the closing brace.
func (r *reader) separator() (ok, more bool) {
	switch r.peek() {
	case '}':
		r.i++
		r.put('}')
		return true, false
	case ',':
		r.i++
		if r.peek() != '"' {
			return r.fail(errSyntax), false
		}
		return true, true
	}
	return r.fail(errSyntax), false
}

func (e *envelope) setSecret(raw []byte) {
	if text, ok := text(raw); ok && len(text) > 0 {
		e.secret, e.hasSecret = sha256.Sum256(text), true
		clear(text)
	}
}

func (r *reader) payload(e *envelope) bool {
	const depth = 2
	if r.peek() != '{' {
		return r.value(depth)
	}
	r.open(depth)
	for first := true; ; first = false {
		key, more, ok := r.member(first)
		if !ok || !more {
			return ok
		}
		switch string(decoded(key)) {
		case "id":
			ok = r.raw(depth+1, &e.id)
		case "chat_id":
			ok = r.raw(depth+1, &e.chatID)
		case "thread_id":
			ok = r.raw(depth+1, &e.threadID)
		case "event_id":
			ok = r.raw(depth+1, &e.eventID)
		case "event":
			ok = r.object(depth+1, &e.event, nil)
		case "chat":
			ok = r.object(depth+1, &e.chat, &e.thread)
		default:
			ok = r.value(depth + 1)
		}
		if !ok {
			return false
		}
	}
}

// object takes a value and, if it is an object, its id and, if thread is asked
// for, the object of that name in it.
func (r *reader) object(depth int, o, thread *object) bool {
	*o = object{}
	if thread != nil {
		*thread = object{}
	}
	if r.peek() != '{' {
		return r.value(depth)
	}
	r.open(depth)
	o.present = true
	for first := true; ; first = false {
		key, more, ok := r.member(first)
		if !ok || !more {
			return ok
		}
		switch name := decoded(key); {
		case string(name) == "id":
			ok = r.raw(depth+1, &o.id)
		case thread != nil && string(name) == "thread":
			ok = r.object(depth+1, thread, nil)
		default:
			ok = r.value(depth + 1)
		}
		if !ok {
			return false
		}
	}
}

// text returns what a raw JSON string says; ok is false for every other value.
// It shares memory with raw where nothing is escaped.
func text(raw []byte) (s []byte, ok bool) {
	if len(raw) < 2 || raw[0] != '"' {
		return nil, false
	}
	return decoded(raw[1 : len(raw)-1]), true
}

// decoded returns what the inside of a valid JSON string says.
func decoded(inside []byte) []byte {
	for i, c := range inside {
		if c == '\\' {
			return unescape(inside, i)
		}
	}
	return inside
}

func unescape(inside []byte, first int) []byte {
	quoted := make([]byte, 0, len(inside)+2)
	quoted = append(append(append(quoted, '"'), inside...), '"')
	var s string
	if err := json.Unmarshal(quoted, &s); err != nil {
		return inside[:first] // not reached: the reader has checked it
	}
	return []byte(s)
}

// keys is the set of an envelope's keys, spellings that differ in case only
// being one key.
type keys struct {
	known  uint16
	others map[uint64]struct{} // hashes: a body may hold a hundred thousand
}

var (
	knownKeys = [...]string{
		"webhook_id", "secret_key", "action", "organization_id", "license_id",
		"payload", "additional_data", "requester",
	}
	foldedKeys = func() (folded [len(knownKeys)]string) {
		for i, name := range knownKeys {
			folded[i] = string(fold([]byte(name)))
		}
		return folded
	}()
	keySeed = maphash.MakeSeed()
)

// add returns false if the key is in the set, or is a known key in another
// spelling.
func (k *keys) add(key []byte) bool {
	for i, name := range knownKeys {
		if string(key) == name {
			taken := k.known&(1<<i) != 0
			k.known |= 1 << i
			return !taken
		}
	}
	folded := fold(key)
	for _, name := range foldedKeys {
		if string(folded) == name {
			return false
		}
	}
	sum := maphash.Bytes(keySeed, folded)
	if _, taken := k.others[sum]; taken {
		return false
	}
	if k.others == nil {
		k.others = make(map[uint64]struct{})
	}
	k.others[sum] = struct{}{}
	return true
}

// fold makes the spellings equal that encoding/json takes for one key: letters
// in upper and lower case, and the few signs that Unicode folds to them.
func fold(key []byte) []byte {
	out := make([]byte, 0, len(key))
	for len(key) > 0 {
		c, n := utf8.DecodeRune(key)
		key = key[n:]
		for {
			next := unicode.SimpleFold(c)
			if next <= c {
				c = next
				break
			}
			c = next
		}
		out = utf8.AppendRune(out, c)
	}
	return out
}
