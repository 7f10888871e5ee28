package livechat

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Error is a call that did not succeed. Its text names the method and the kind
// of failure; it never holds the token, the request, or the platform's own
// message, which may quote the request.
//
// A platform error is told by its type, as statuses per type are undocumented.
// Type is empty for an answer that is not the platform's (a gateway's page, a
// redirect, half a document: Status tells, and is 200 for an unreadable success)
// and for no answer at all (Status 0, Unwrap gives the cause).
type Error struct {
	Method string // e.g. "tag_thread"
	Type   string // error.type, lower snake case
	Status int    // HTTP status, 0 without an answer
	// RetryAfter is how long the platform asked to wait, at most 5 minutes; 0
	// if it did not say. That it ever says so is undocumented.
	RetryAfter time.Duration
	Region     string // misdirected_request: the region that the platform named

	message messageKind
	noToken bool // the token could not be had; nothing was sent
	cause   error
}

// messageKind is all that is kept of the platform's message.
type messageKind uint8

const (
	messageOther messageKind = iota
	messageAlready
	messageAbsent
)

// Error types of the platform that decide something here.
const (
	typeAlreadyExists = "already_exists"
	typeMisdirected   = "misdirected_request"
	typeNotFound      = "not_found"
	typeValidation    = "validation"
)

// class is what a failure says about trying again.
type class uint8

const (
	unknownClass class = iota // not documented: the status decides
	temporary                 // goes by itself
	account                   // every call of this organization fails until a person mends it
	permanent                 // this call will fail again
)

// classes are the documented error types. They decide alone, whatever the
// status.
var classes = map[string]class{
	"too_many_requests":   temporary,
	"request_timeout":     temporary,
	"service_unavailable": temporary,
	"internal":            temporary,

	"authentication":        account,
	"authorization":         account,
	"license_expired":       account,
	"license_not_found":     account,
	"wrong_product_version": account,
	"unsupported_version":   account,
	typeMisdirected:         account, // the other region was tried already

	"missing_access":   permanent, // to this chat
	typeValidation:     permanent,
	typeNotFound:       permanent,
	typeAlreadyExists:  permanent,
	"group_not_found":  permanent,
	"limit_reached":    permanent,
	"chat_inactive":    permanent,
	"agent_offline":    permanent,
	"entity_too_large": permanent,
}

func (e *Error) class() class {
	if e.noToken {
		return account
	}
	if c := classes[e.Type]; c != unknownClass {
		return c
	}
	switch {
	case e.Status == http.StatusUnauthorized, e.Status == http.StatusForbidden:
		return account
	case e.Type == "":
		// Not the platform's word, so it says nothing about the call, be it a
		// gateway's 404.
		return temporary
	case e.Status >= 500, e.Status == http.StatusTooManyRequests, e.Status == http.StatusRequestTimeout:
		return temporary
	}
	return permanent
}

// Temporary reports whether the same call may succeed later by itself: rate
// limit, overload, time-out, no connection, an answer that cannot be read.
func (e *Error) Temporary() bool { return e.class() == temporary }

// Token reports whether no call for this organization will succeed until a
// person mends its token, license or API version.
func (e *Error) Token() bool { return e.class() == account }

// AlreadyTagged reports whether tag_thread was refused because the thread has
// the tag. What the platform answers then is undocumented, so both readings
// count: already_exists, and a validation error that says "already".
func (e *Error) AlreadyTagged() bool {
	return e.Method == methodTagThread &&
		(e.Type == typeAlreadyExists || e.Type == typeValidation && e.message == messageAlready)
}

// IsNotTagged reports whether untag_thread was refused because there is nothing
// to take away: not_found, or a validation error that says so. What the
// platform answers then is undocumented. A thread that is itself gone reads the
// same, and has no tag either.
func (e *Error) IsNotTagged() bool {
	return e.Method == methodUntagThread &&
		(e.Type == typeNotFound || e.Type == typeValidation && e.message == messageAbsent)
}

// absentWords are what a validation error about a missing tag may say.
var absentWords = []string{
	"not tagged", "not found", "not exist", "n't exist", "not have", "n't have", "not assigned", "isn't tagged", "no such", "not set", "not present",
}

func kindOfMessage(message string) messageKind {
	message = strings.ToLower(message)
	if strings.Contains(message, "already") {
		return messageAlready
	}
	for _, words := range absentWords {
		if strings.Contains(message, words) {
			return messageAbsent
		}
	}
	return messageOther
}

// Error names the method and the kind of failure.
func (e *Error) Error() string {
	switch {
	case e.noToken:
		return fmt.Sprintf("%s: no token: %v", e.Method, e.cause)
	case e.Type != "" && e.Region != "":
		return fmt.Sprintf("%s: %s (HTTP %d, region %s)", e.Method, e.Type, e.Status, e.Region)
	case e.Type != "":
		return fmt.Sprintf("%s: %s (HTTP %d)", e.Method, e.Type, e.Status)
	case e.Status != 0:
		return fmt.Sprintf("%s: %v (HTTP %d)", e.Method, e.cause, e.Status)
	}
	return fmt.Sprintf("%s: %v", e.Method, e.cause)
}

// Unwrap returns the cause of a failure that is not the platform's: a context
// error, a network error, a failed look-up of the token.
func (e *Error) Unwrap() error { return e.cause }

// Reasons why a call is not made or its answer not taken.
var (
	errNotJSON   = errors.New("answer is not JSON")
	errOther     = errors.New("answer is not what was asked for")
	errTooLarge  = errors.New("answer is too large")
	errRedirect  = errors.New("answer is a redirect, which is not followed")
	errNoType    = errors.New("answer names no error")
	errToken     = errors.New("it is empty or has characters that a header cannot carry")
	errTransport = errors.New("connection failed or answer is not HTTP")
)

// transportCause keeps of a transport error what is known to hold nothing that
// was sent or received: net/http quotes malformed answers.
func transportCause(err error) error {
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err
	}
	for _, known := range []error{context.Canceled, context.DeadlineExceeded, io.ErrUnexpectedEOF, io.EOF, http.ErrSchemeMismatch} {
		if errors.Is(err, known) {
			return known
		}
	}
	var operation *net.OpError
	if errors.As(err, &operation) {
		return operation
	}
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &certificate) {
		return certificate
	}
	return errTransport
}
