package webhook

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func samples(t testing.TB) map[string][]byte {
	t.Helper()
	files, err := filepath.Glob("testdata/webhook.*.json")
	if err != nil || len(files) == 0 {
		t.Fatal("no samples", err)
	}
	all := make(map[string][]byte)
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(f)] = b
	}
	return all
}

// oracle says what readEnvelope must do, by other means: whether the body is
// accepted, and the document that is left.
func oracle(body []byte) (doc map[string]json.RawMessage, ok bool) {
	if !json.Valid(body) || !utf8.Valid(body) || depth(body) > maxDepth {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, false
	}
	doc = make(map[string]json.RawMessage)
	var names []string
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, false
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, false
		}
		name := key.(string)
		for _, known := range knownKeys {
			if name != known && strings.EqualFold(name, known) {
				return nil, false
			}
		}
		for _, before := range names {
			if strings.EqualFold(name, before) {
				return nil, false
			}
		}
		names = append(names, name)
		doc[name] = raw
	}
	return doc, true
}

func depth(body []byte) (deepest int) {
	level, inString := 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '{' || c == '[':
			level++
			deepest = max(deepest, level)
		case c == '}' || c == ']':
			level--
		}
	}
	return deepest
}

// check holds readEnvelope against the oracle.
func check(t interface {
	Helper()
	Fatalf(string, ...any)
}, body []byte) {
	t.Helper()
	want, ok := oracle(body)
	e, err := readEnvelope(bytes.Clone(body))
	if (err == nil) != ok {
		t.Fatalf("accepted is %v, should be %v (%v): %q", err == nil, ok, err, body)
	}
	if !ok {
		return
	}
	var secret string
	isString := json.Unmarshal(want["secret_key"], &secret) == nil && secret != ""
	if isString != e.hasSecret || isString && e.secret != sha256.Sum256([]byte(secret)) {
		t.Fatalf("secret: %v, should be %v: %q", e.hasSecret, isString, body)
	}
	delete(want, "secret_key")
	got := make(map[string]json.RawMessage)
	if err := json.Unmarshal(e.data, &got); err != nil {
		t.Fatalf("%v: %q", err, e.data)
	}
	if len(got) != len(want) {
		t.Fatalf("%d members, should be %d: %q", len(got), len(want), e.data)
	}
	for name, raw := range want {
		// Byte for byte but for the blanks.
		var compact bytes.Buffer
		if err := json.Compact(&compact, raw); err != nil {
			t.Fatalf("%v", err)
		}
		if !bytes.Equal(compact.Bytes(), got[name]) {
			t.Fatalf("%s: %q, should be %q", name, got[name], compact.Bytes())
		}
	}
	if !bytes.Equal(e.payload, got["payload"]) {
		t.Fatalf("payload: %q, should be %q", e.payload, got["payload"])
	}
	if bytes.ContainsAny(e.data, "\n\t\r") {
		t.Fatalf("not compact: %q", e.data)
	}
	checkIDs(t, &e)
}

// checkIDs compares the ids found with those that encoding/json finds.
func checkIDs(t interface {
	Helper()
	Fatalf(string, ...any)
}, e *envelope) {
	t.Helper()
	var payload map[string]json.RawMessage
	if json.Unmarshal(e.payload, &payload) != nil || payload == nil {
		return
	}
	for name, got := range map[string][]byte{"id": e.id, "chat_id": e.chatID, "thread_id": e.threadID, "event_id": e.eventID} {
		if !bytes.Equal(got, payload[name]) {
			t.Fatalf("%s: %q, should be %q", name, got, payload[name])
		}
	}
	var event, chat, thread map[string]json.RawMessage
	_ = json.Unmarshal(payload["event"], &event)
	_ = json.Unmarshal(payload["chat"], &chat)
	_ = json.Unmarshal(chat["thread"], &thread)
	for name, pair := range map[string]struct {
		got  object
		want map[string]json.RawMessage
	}{"event": {e.event, event}, "chat": {e.chat, chat}, "thread": {e.thread, thread}} {
		if pair.got.present != (pair.want != nil) || !bytes.Equal(pair.got.id, pair.want["id"]) {
			t.Fatalf("%s.id: %q, should be %q in %q", name, pair.got.id, pair.want["id"], e.payload)
		}
	}
}

func TestReadSamples(t *testing.T) {
	t.Parallel()
	for name, body := range samples(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, body)
			e, err := readEnvelope(bytes.Clone(body))
			if err != nil {
				t.Fatal(err)
			}
			if bytes.Contains(e.data, []byte("secret")) || !e.hasSecret {
				t.Errorf("%s", e.data)
			}
			if r := e.route(); r.reason != "" || r.label == other {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestReadEnvelope(t *testing.T) {
	t.Parallel()
	nest := func(n int) string { // n levels, the envelope's included
		return `{"payload":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + `}`
	}
	for name, c := range map[string]struct {
		body string
		err  error
	}{
		"empty":                   {"", errSyntax},
		"blanks":                  {" \n", errSyntax},
		"null":                    {"null", errNotObject},
		"array":                   {"[]", errNotObject},
		"string":                  {`"x"`, errNotObject},
		"number":                  {"1", errNotObject},
		"bom":                     {"\xef\xbb\xbf{}", errSyntax},
		"empty object":            {" { } ", nil},
		"two documents":           {"{}{}", errSyntax},
		"garbage after":           {"{} x", errSyntax},
		"truncated":               {`{"a":`, errSyntax},
		"trailing comma":          {`{"a":1,}`, errSyntax},
		"comma after the secret":  {`{"secret_key":"s",}`, errSyntax},
		"comma first":             {`{,"a":1}`, errSyntax},
		"NaN":                     {`{"a":NaN}`, errSyntax},
		"comment":                 {`{/**/}`, errSyntax},
		"single quotes":           {`{'a':1}`, errSyntax},
		"NUL":                     {"{\"a\":\"\x00\"}", errSyntax},
		"NUL between":             {"{\x00}", errSyntax},
		"tab in a string":         {"{\"a\":\"\t\"}", errSyntax},
		"leading zero":            {`{"a":01}`, errSyntax},
		"bare minus":              {`{"a":-}`, errSyntax},
		"no digits":               {`{"a":1.}`, errSyntax},
		"huge exponent":           {`{"a":1e400}`, nil},
		"not utf-8":               {"{\"a\":\"\xff\"}", errUTF8},
		"not utf-8 key":           {"{\"\xff\":1}", errUTF8},
		"encoded surrogate":       {"{\"a\":\"\xed\xa0\x80\"}", errUTF8},
		"escaped lone surrogate":  {`{"a":"\ud800"}`, nil},
		"bad escape":              {`{"a":"\x"}`, errSyntax},
		"short escape":            {`{"a":"\u12"}`, errSyntax},
		"64 levels":               {nest(64), nil},
		"65 levels":               {nest(65), errDepth},
		"20000 levels":            {nest(20000), errDepth},
		"twice":                   {`{"a":1,"a":2}`, errKey},
		"twice, escaped":          {`{"a":1,"\u0061":2}`, errKey},
		"twice, other case":       {`{"a":1,"A":2}`, errKey},
		"secret twice":            {`{"secret_key":"good","secret_key":"bad"}`, errKey},
		"secret, other case":      {`{"SECRET_KEY":"good"}`, errKey},
		"secret, escaped":         {`{"secret\u005fkey":"good"}`, nil},
		"secret, Kelvin sign":     {"{\"secret_\u212aey\":\"good\"}", errKey},
		"secret, long s":          {"{\"\u017fecret_key\":\"good\"}", errKey},
		"action, other case":      {`{"Action":"x"}`, errKey},
		"nested twice":            {`{"payload":{"a":1,"A":2,"a":3}}`, nil},
		"many unknown keys":       {`{"a":1,"b":2,"c":{"d":[]},"e":null,"f":true,"g":false}`, nil},
		"array instead of colon":  {`{"a"[]}`, errSyntax},
		"unclosed array":          {`{"a":[1,2}`, errSyntax},
		"unclosed nested":         {`{"payload":{"event":{"id":"x"}`, errSyntax},
		"comma in payload":        {`{"payload":{"event":{"id":"x",}}}`, errSyntax},
		"word with more letters":  {`{"a":truex}`, errSyntax},
		"word with less letters":  {`{"a":tru}`, errSyntax},
		"key that is no string":   {`{1:1}`, errSyntax},
		"secret first, then junk": {`{"secret_key":"s"]`, errSyntax},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := readEnvelope([]byte(c.body))
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Errorf("%v, should be %v", err, c.err)
			}
			check(t, []byte(c.body))
		})
	}
}

// Strings are looked at in blocks: what ends or breaks one is found wherever in
// a block it is.
func TestStringBlocks(t *testing.T) {
	t.Parallel()
	for _, c := range []string{`"`, `\`, `\n`, `\"`, "\x00", "\x1f", "\x20", "\x7f", "\x80", "é", "\xff", "!", "#", "[", "]"} {
		for before := range 20 {
			for after := range 10 {
				check(t, []byte(`{"a":"`+strings.Repeat("x", before)+c+strings.Repeat("x", after)+`"}`))
			}
		}
	}
}

func TestSecretIsCutOut(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ body, want string }{
		"first":       {`{ "secret_key" : "s3cr3t" , "action" : "a" , "payload" : { } }`, `{"action":"a","payload":{}}`},
		"in between":  {`{"action":"a", "secret_key":"s3cr3t", "payload":{}}`, `{"action":"a","payload":{}}`},
		"last":        {`{"action":"a","payload":{}, "secret_key":"s3cr3t" }`, `{"action":"a","payload":{}}`},
		"alone":       {`{"secret_key":"s3cr3t"}`, `{}`},
		"not a text":  {`{"secret_key":{"secret_key":["s3cr3t"]},"action":"a"}`, `{"action":"a"}`},
		"nested stay": {`{"secret_key":"s3cr3t","payload":{"secret_key":"customer's"}}`, `{"payload":{"secret_key":"customer's"}}`},
		"escapes":     {`{"a":"\u003c<\/é\"","secret_key":"s3cr3t"}`, `{"a":"\u003c<\/é\""}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := []byte(c.body)
			e, err := readEnvelope(body)
			if err != nil {
				t.Fatal(err)
			}
			if string(e.data) != c.want {
				t.Errorf("%s, should be %s", e.data, c.want)
			}
			if bytes.Contains(body[:cap(body)], []byte("s3cr3t")) {
				t.Errorf("the secret is still in memory: %q", body)
			}
		})
	}
}

func TestSecretValues(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"secret_key":"abc"}`:      "abc",
		`{"secret_key":"a\u0062c"}`: "abc",
		`{}`:                        "",
		`{"secret_key":""}`:         "",
		`{"secret_key":null}`:       "",
		`{"secret_key":1}`:          "",
		`{"secret_key":["abc"]}`:    "",
		`{"secret_key":{"a":"b"}}`:  "",
	} {
		e, err := readEnvelope([]byte(body))
		if err != nil || e.hasSecret != (want != "") || e.hasSecret && e.secret != sha256.Sum256([]byte(want)) {
			t.Errorf("%s: %v, %v", body, e.hasSecret, err)
		}
	}
}

func TestReadRandomDocuments(t *testing.T) {
	t.Parallel()
	keys := append([]string{"a", "A", "id", "chat_id", "thread_id", "event_id", "event", "chat", "thread", "Secret_Key", ""}, knownKeys[:]...)
	text := rapid.OneOf(rapid.SampledFrom([]string{`"x"`, `""`, `"\u00e9"`, `"é"`, `"\ud800"`, `"\\"`, "\"\xff\"", `"\q"`}), rapid.Map(rapid.String(), func(s string) string {
		b, err := json.Marshal(s)
		if err != nil {
			panic(err)
		}
		return string(b)
	}))
	scalar := rapid.OneOf(text, rapid.SampledFrom([]string{"1", "-0", "1e5", "1E+400", "0.5", "01", "null", "true", "false", "NaN", ""}))
	blank := rapid.SampledFrom([]string{"", "", "", " ", "\n\t", "\r", "\v"})
	var value func(depth int) *rapid.Generator[string]
	value = func(depth int) *rapid.Generator[string] {
		return rapid.Custom(func(t *rapid.T) string {
			kind := rapid.IntRange(0, 4).Draw(t, "kind")
			if depth == 0 || kind < 2 {
				return scalar.Draw(t, "scalar")
			}
			open, end := "{", "}"
			if kind == 4 {
				open, end = "[", "]"
			}
			var parts []string
			for range rapid.IntRange(0, 4).Draw(t, "n") {
				v := value(depth-1).Draw(t, "v")
				if kind != 4 {
					v = `"` + rapid.SampledFrom(keys).Draw(t, "key") + `"` + blank.Draw(t, "b") + ":" + v
				}
				parts = append(parts, blank.Draw(t, "b")+v+blank.Draw(t, "b"))
			}
			return open + strings.Join(parts, ",") + end
		})
	}
	rapid.Check(t, func(t *rapid.T) { check(t, []byte(value(5).Draw(t, "doc"))) })
}

func FuzzReadEnvelope(f *testing.F) {
	for _, body := range samples(f) {
		f.Add(body)
	}
	for _, body := range []string{`{"secret_key":"a","a":[1,-2.5e+3,"\u00e9\ud800",{"b":null}]}`, `{"payload":{"chat":{"id":"1","thread":{"id":"2"}}}}`, "{}x", `{"a":1,"A":2}`} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) { check(t, body) })
}

func TestFoldAgreesWithEqualFold(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		for _, other := range []string{b, strings.ToUpper(a), strings.ToLower(a)} {
			if got, want := reflect.DeepEqual(fold([]byte(a)), fold([]byte(other))), strings.EqualFold(a, other); got != want {
				t.Fatalf("%q %q: %v, should be %v", a, other, got, want)
			}
		}
	})
}

func BenchmarkReadEnvelope(b *testing.B) {
	body := samples(b)["webhook.incoming_event.v3.6.json"]
	work := make([]byte, len(body))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		copy(work, body)
		e, err := readEnvelope(work)
		if err != nil {
			b.Fatal(err)
		}
		if r := e.route(); r.messageID(e.payload) == "" {
			b.Fatal("no id")
		}
	}
}
