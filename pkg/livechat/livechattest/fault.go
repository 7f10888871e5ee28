package livechattest

import (
	"fmt"
	"net/http"
	"strconv"
	"time"
)

// UntilGone, as a Fault's Wait or Stall, waits until the client has given up.
const UntilGone time.Duration = -1

// Fault is what goes wrong with one API call. The zero Fault changes nothing.
//
// The order is: Wait, carry the call out, Stall, answer. A Fault with an answer
// of its own (Status or Drop) keeps the call from being carried out, unless
// Apply is set.
type Fault struct {
	Wait  time.Duration // before the call is carried out
	Stall time.Duration // between carrying out and answering

	Apply  bool // carry the call out although the answer says otherwise
	Status int  // HTTP status of the answer
	Type   string
	// Header of the answer, such as Retry-After or Location.
	Header map[string]string
	// Body of the answer; when empty, the error body of Type, or {}.
	Body string
	// Fill makes the answer's body this many bytes of JSON string instead.
	Fill int64
	// Drop cuts the connection instead of answering.
	Drop bool
}

// Refusal answers with an error type of the platform; RetryAfter of
// TooManyRequests aside, every documented refusal is of this form.
func Refusal(errorType string) Fault {
	return Fault{Status: statusOf(errorType), Type: errorType}
}

// TooManyRequests answers 429, with a Retry-After header when after is not 0.
func TooManyRequests(after time.Duration) Fault {
	f := Refusal("too_many_requests")
	if after > 0 {
		f.Header = map[string]string{"Retry-After": seconds(after)}
	}
	return f
}

// Status answers with a status and an empty JSON object.
func Status(code int) Fault { return Fault{Status: code} }

// HangThenApply waits until the client has given up and carries the call out
// then.
func HangThenApply() Fault { return Fault{Wait: UntilGone} }

// ApplyThenHang carries the call out and never answers.
func ApplyThenHang() Fault { return Fault{Stall: UntilGone} }

// ApplyThenCut carries the call out and cuts the connection.
func ApplyThenCut() Fault { return Fault{Apply: true, Drop: true} }

// HTML answers 200 with a page, as a gateway or a login wall does.
func HTML() Fault {
	return Fault{
		Status: http.StatusOK, Header: map[string]string{"Content-Type": "text/html"},
		Body: "<!doctype html><title>Please wait</title><p>Please wait ...</p>",
	}
}

// Redirect answers 302 to another address.
func Redirect(location string) Fault {
	return Fault{Status: http.StatusFound, Header: map[string]string{"Location": location}}
}

// Huge answers 200 with a JSON string of n bytes.
func Huge(n int64) Fault { return Fault{Status: http.StatusOK, Fill: n} }

type queuedFault struct {
	left   int
	method string
	fault  Fault
}

// FailNext lets the next n calls of a method (of any, when it is empty) meet
// the fault. Faults of one method follow each other in the order given.
func (p *Platform) FailNext(n int, method string, f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = append(p.faults, queuedFault{n, method, f})
}

// SetHook asks hook about every call that FailNext does not already spoil; nil
// from it lets the call be. Status, Type and Billed of the Call are not known
// yet. The hook runs under no lock. A nil hook ends it.
func (p *Platform) SetHook(hook func(Call) *Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hook = hook
}

func (p *Platform) faultFor(c Call) Fault {
	p.mu.Lock()
	for i := range p.faults {
		q := &p.faults[i]
		if q.left > 0 && (q.method == "" || q.method == c.Method) {
			q.left--
			f := q.fault
			if q.left == 0 {
				p.faults = append(p.faults[:i], p.faults[i+1:]...)
			}
			p.mu.Unlock()
			return f
		}
	}
	hook := p.hook
	p.mu.Unlock()
	if hook != nil {
		if f := hook(c); f != nil {
			return *f
		}
	}
	return Fault{}
}

// pause waits d, or until the client has gone.
func pause(r *http.Request, d time.Duration) {
	switch {
	case d == UntilGone:
		<-r.Context().Done()
	case d > 0:
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
		}
	}
}

func (f Fault) answers() bool { return f.Drop || f.Status != 0 }

func (f Fault) write(w http.ResponseWriter) {
	if f.Drop {
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	for name, value := range f.Header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(f.Status)
	switch {
	case f.Fill > 0:
		fill(w, f.Fill)
	case f.Body != "":
		fmt.Fprint(w, f.Body)
	case f.Type != "":
		w.Write(errorBody(refuse(f.Type, messages[f.Type])))
	default:
		fmt.Fprint(w, "{}")
	}
}

func fill(w http.ResponseWriter, n int64) {
	chunk := make([]byte, 64<<10)
	for i := range chunk {
		chunk[i] = 'x'
	}
	w.Write([]byte{'"'})
	for n > 0 {
		part := min(n, int64(len(chunk)))
		if _, err := w.Write(chunk[:part]); err != nil {
			return
		}
		n -= part
	}
	w.Write([]byte{'"'})
}

func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d+time.Second-1)/time.Second), 10)
}
