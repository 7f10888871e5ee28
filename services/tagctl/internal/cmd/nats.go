package cmd

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/zap"

	"autotag/pkg/config"
	"autotag/pkg/stream"
)

// connectLimit bounds how long a server may take to answer.
const connectLimit = 5 * time.Second

// connect opens a connection to NATS. Unlike the programs that keep running, a
// command does not wait for a server that is away.
func (s *session) connect() (*nats.Conn, jetstream.JetStream, error) {
	v, err := s.settings()
	if err != nil {
		return nil, nil, err
	}
	if err := v.judgeNATS(); err != nil {
		return nil, nil, err
	}
	nc, js, err := stream.Connect(stream.Options{
		URL: v.NATSURL, Creds: v.NATSCreds, Name: "tagctl",
		Extra: []nats.Option{nats.RetryOnFailedConnect(false), nats.NoReconnect(), nats.Timeout(connectLimit)},
	}, zap.NewNop(), nil)
	if err != nil {
		return nil, nil, fmt.Errorf("%w (%s); NATS_URL names the servers", err, hosts(v.NATSURL))
	}
	return nc, js, nil
}

// judgeNATS returns the faults of the settings of NATS. It is not done on
// loading: some commands need no NATS.
func (v settings) judgeNATS() error {
	common := config.Common{NATSURL: v.NATSURL, NATSCreds: v.NATSCreds}
	return errors.Join(common.Validate()...)
}

// hosts are the servers of a list without the credentials that may stand in it.
func hosts(list string) string {
	var all []string
	for address := range strings.SplitSeq(list, ",") {
		_, rest, found := strings.Cut(address, "://")
		if !found {
			rest = address
		}
		if u, err := url.Parse("nats://" + strings.TrimSpace(rest)); err == nil {
			all = append(all, u.Host)
		}
	}
	return strings.Join(all, ", ")
}

// missingStream says what to do about a NATS without the stream.
func missingStream(err error, name string) error {
	if errors.Is(err, stream.ErrNoStream) {
		return fmt.Errorf("this NATS has no stream %s: no tagger or ingress has run with it yet, or NATS_URL names another server", name)
	}
	return err
}

// unlessMissing forgives that a stream is not there: then it holds nothing.
func unlessMissing(err error) error {
	if errors.Is(err, stream.ErrNoStream) {
		return nil
	}
	return err
}
