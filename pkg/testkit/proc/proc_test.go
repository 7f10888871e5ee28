//go:build unix

package proc

import (
	"net"
	"testing"
)

// A server may listen on a reserved port, end, and listen on it again.
func TestFreePortServesAgainAndAgain(t *testing.T) {
	t.Parallel()
	addr := "127.0.0.1:" + FreePort(t)
	for range 3 {
		l, err := net.Listen("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		client, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		server, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		_ = server.Close() // the server's side first, as when it is killed
		_ = client.Close()
		_ = l.Close()
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		_ = c.Close()
		t.Error("the reservation itself takes connections")
	}
}

func TestFreePortsDiffer(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 200 {
		port := FreePort(t)
		if seen[port] {
			t.Fatalf("port %s is given twice", port)
		}
		seen[port] = true
	}
}
