package stream

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
)

const (
	headroom = 4 << 10  // what a message takes beside its data
	maxRules = 16 << 20 // above what a rules file may have
)

// PackRules gives the value under which RulesBucket keeps a rules file: the file
// itself or, where that is more than NATS takes in a message, its gzip form. The
// error says that even this is too much.
func PackRules(text []byte, maxPayload int64) ([]byte, error) {
	most := int(maxPayload) - headroom
	if len(text) <= most {
		return text, nil
	}
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(text); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if b.Len() > most {
		return nil, fmt.Errorf("the rules have %d bytes, %d when compressed, which is more than NATS takes in a message: raise its max_payload of %d, or take words that are not used out of them", len(text), b.Len(), maxPayload)
	}
	return b.Bytes(), nil
}

// UnpackRules gives the rules file of a value of RulesBucket.
func UnpackRules(value []byte) ([]byte, error) {
	if !bytes.HasPrefix(value, []byte{0x1f, 0x8b}) { // no text begins so
		return value, nil
	}
	r, err := gzip.NewReader(bytes.NewReader(value))
	if err != nil {
		return nil, fmt.Errorf("unpack the rules: %w", err)
	}
	text, err := io.ReadAll(io.LimitReader(r, maxRules))
	if err != nil {
		return nil, fmt.Errorf("unpack the rules: %w", err)
	}
	return text, nil
}
