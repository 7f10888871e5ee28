package sender

import (
	"context"
	"math/rand/v2"
	"net"
)

// dialAny connects to one of the addresses that a name has, chosen by chance.
// The usual dialer takes the same one each time, and of several ingresses behind
// one name, as docker compose --scale makes them, the others would get nothing.
func dialAny(ctx context.Context, network, address string) (conn net.Conn, err error) {
	var dialer net.Dialer
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil || len(found) < 2 {
		return dialer.DialContext(ctx, network, address)
	}
	rand.Shuffle(len(found), func(i, j int) { found[i], found[j] = found[j], found[i] })
	for _, ip := range found {
		if conn, err = dialer.DialContext(ctx, network, net.JoinHostPort(ip, port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}
