package webhook

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"strings"
	"sync/atomic"

	"autotag/pkg/config"
)

// Secrets are the secret keys that authenticate a webhook: several at once, so
// that one can be replaced without a gap. It is safe for use by several
// goroutines.
type Secrets struct {
	source config.Secret
	now    atomic.Pointer[digests]
	fault  atomic.Pointer[error]
}

type digests struct {
	text string // what sums was made from
	sums [][sha256.Size]byte
}

// NewSecrets returns the secrets in source: separated by commas or, in a file,
// also by line ends; at least one, none empty. If source follows a file, they
// follow it too; while the file is faulty the last good ones stay.
func NewSecrets(source config.Secret) (*Secrets, error) {
	s := &Secrets{source: source}
	d, err := digest(source.Get())
	if err != nil {
		return nil, err
	}
	s.now.Store(d)
	return s, nil
}

func digest(text string) (*digests, error) {
	d := &digests{text: text}
	if strings.TrimSpace(text) == "" {
		return nil, errors.New("must hold at least one secret")
	}
	for part := range strings.SplitSeq(text, ",") {
		found := false
		for line := range strings.Lines(part) {
			if secret := strings.TrimSpace(line); secret != "" {
				d.sums = append(d.sums, sha256.Sum256([]byte(secret)))
				found = true
			}
		}
		if !found {
			return nil, errors.New("a secret is empty")
		}
	}
	return d, nil
}

// Match tells whether sum is the SHA-256 of one of the secrets, and which. It
// looks at all of them, each in constant time.
func (s *Secrets) Match(sum [sha256.Size]byte) (index int, ok bool) {
	d := s.current()
	index = -1
	for i := range d.sums {
		same := subtle.ConstantTimeCompare(sum[:], d.sums[i][:])
		index = subtle.ConstantTimeSelect(same, i, index)
	}
	return index, index >= 0
}

func (s *Secrets) current() *digests {
	d, text := s.now.Load(), s.source.Get()
	if text == d.text {
		if s.fault.Load() != nil {
			s.fault.Store(nil)
		}
		return d
	}
	fresh, err := digest(text)
	if err != nil {
		s.fault.Store(&err)
		return d
	}
	s.fault.Store(nil)
	s.now.Store(fresh)
	return fresh
}

// Problem says why the secrets are not those of their file; "" if they are.
func (s *Secrets) Problem() string {
	s.current()
	if err := s.source.Err(); err != nil {
		return "the last good secrets stay: " + err.Error()
	}
	if err := s.fault.Load(); err != nil {
		return "the last good secrets stay: " + (*err).Error()
	}
	return ""
}
