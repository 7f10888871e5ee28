package config

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	fileSuffix  = "_FILE"
	secretLimit = 1 << 20     // bytes; a larger file is not a secret
	reread      = time.Second // how old a value from a file may be
)

// Secret is a setting whose value must not be seen: printed, logged or encoded
// it is "[redacted]". One that came from a file follows the file, however it is
// changed, within a second; one whose file is empty at the start is not set and
// follows nothing. The zero value is an empty secret. Copies share the file.
type Secret struct {
	value string
	file  *secretFile // nil if the value was given directly
}

type secretFile struct {
	path  string
	value atomic.Pointer[string] // the last good one
	due   atomic.Int64           // unix nanoseconds of the next look
	mu    sync.Mutex             // held while looking
	err   atomic.Pointer[error]  // of the last look, nil if it went well
}

// NewSecret returns a secret with a fixed value.
func NewSecret(value string) Secret { return Secret{value: value} }

// Get returns the value. If the secret came from a file that has changed, it is
// the new one; if the file has gone, is empty or cannot be read, it is the last
// good one, and Err says so.
func (s Secret) Get() string {
	f := s.file
	if f == nil {
		return s.value
	}
	f.look()
	return *f.value.Load()
}

// Err says why the file cannot be read again, also when nobody asks for the
// value meanwhile.
func (s Secret) Err() error {
	if s.file == nil {
		return nil
	}
	s.file.look()
	if err := s.file.err.Load(); err != nil {
		return *err
	}
	return nil
}

// look reads the file again if its value is due.
func (f *secretFile) look() {
	if time.Now().UnixNano() < f.due.Load() {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if time.Now().UnixNano() < f.due.Load() {
		return // another caller has just looked
	}
	text, err := readSecret(f.path)
	if err != nil {
		f.err.Store(&err)
	} else {
		f.err.Store(nil)
		f.value.Store(&text)
	}
	f.due.Store(time.Now().Add(reread).UnixNano())
}

// watch makes the secret follow the file that its value has been read from.
func (s *Secret) watch(path string) {
	f := &secretFile{path: path}
	value := s.value
	f.value.Store(&value)
	f.due.Store(time.Now().Add(reread).UnixNano())
	s.file = f
}

// readSecret reads a secret's file, without the line end that editors leave.
func readSecret(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, secretLimit+1))
	if err != nil {
		return "", err
	}
	if len(text) > secretLimit {
		return "", fmt.Errorf("%s: larger than %d bytes", path, secretLimit)
	}
	value := strings.TrimRight(string(text), "\r\n")
	if value == "" {
		return "", fmt.Errorf("%s %w", path, errEmpty)
	}
	return value, nil
}

// errEmpty is of a file without a value.
var errEmpty = errors.New("is empty")

const redacted = "[redacted]"

// UnmarshalText takes the value as it is.
func (s *Secret) UnmarshalText(text []byte) error { *s = NewSecret(string(text)); return nil }

// MarshalText hides the value from every encoder.
func (s Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// String hides the value.
func (s Secret) String() string { return redacted }

// GoString hides the value.
func (s Secret) GoString() string { return redacted }

// Format hides the value from every verb, %d and %x too.
func (s Secret) Format(w fmt.State, _ rune) { io.WriteString(w, redacted) }
