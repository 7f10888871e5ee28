package stream

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestPackRules(t *testing.T) {
	t.Parallel()
	var large bytes.Buffer
	large.WriteString("version: 1\nrules:\n")
	for i := range 50_000 {
		fmt.Fprintf(&large, "  - {tag: a, any: [word%d]}\n", i)
	}
	noise := make([]byte, 2<<20)
	r := rand.NewChaCha8([32]byte{})
	r.Read(noise)
	for name, text := range map[string][]byte{"small": []byte("version: 1\nrules: []\n"), "large": large.Bytes()} {
		packed, err := PackRules(text, 1<<20)
		if err != nil || len(packed) > 1<<20 {
			t.Fatalf("%s: %d bytes, %v", name, len(packed), err)
		}
		if got, err := UnpackRules(packed); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: %d bytes come back as %d, %v", name, len(text), len(got), err)
		}
	}
	if _, err := PackRules(noise, 1<<20); err == nil || !strings.Contains(err.Error(), "max_payload of 1048576") {
		t.Errorf("too large: %v", err)
	}
	if _, err := UnpackRules([]byte{0x1f, 0x8b, 1}); err == nil {
		t.Error("a broken value is unpacked")
	}
}
