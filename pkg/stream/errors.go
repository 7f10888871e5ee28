package stream

import "errors"

var (
	// ErrFull says that the stream, or the server's store, takes no more.
	ErrFull = errors.New("stream is full")
	// ErrTooLarge says that a message is larger than NATS carries.
	ErrTooLarge = errors.New("message is too large")
	// ErrNoStream says that no stream answered for the subject: it is missing,
	// or JetStream is not up.
	ErrNoStream = errors.New("no stream answers")
	// ErrConflict says that the subject's last sequence is not the expected one.
	ErrConflict = errors.New("another record was stored first")
	// ErrBehind says that the replica that answered has not yet got the
	// message that the reading must reach.
	ErrBehind = errors.New("replica lags behind")
	// ErrTooMuch says that a reading is larger than the given bound.
	ErrTooMuch = errors.New("more data than the reading allows")
)
