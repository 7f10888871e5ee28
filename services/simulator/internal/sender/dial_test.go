package sender

import (
	"net"
	"testing"
)

// A name may have an address where nobody listens, as localhost often has ::1.
func TestDialAnyFindsWhoListens(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	for range 20 { // by chance
		conn, err := dialAny(t.Context(), "tcp", net.JoinHostPort("localhost", port))
		if err != nil {
			t.Fatal(err)
		}
		conn.Close()
	}
	if _, err := dialAny(t.Context(), "tcp", "no port"); err == nil {
		t.Error("an address without a port was dialled")
	}
}
