package stream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Warning is something about the server that breaks a promise of ours or that
// could not be checked.
type Warning string

const (
	monitorTimeout = 5 * time.Second
	maxVarz        = 4 << 20
)

// CheckServer looks at what the server's settings mean for durability:
// JetStream is on, a stored message is fsynced before it is acknowledged
// (sync_interval always), and no stream is written asynchronously.
//
// An ordinary connection is not told sync_interval: nats-server gives it only
// to the system account and on its monitoring port. monitorURLs lists the
// monitoring addresses, comma-separated, of every server; when it is empty, a
// warning says that the setting could not be checked.
func CheckServer(ctx context.Context, js jetstream.JetStream, monitorURLs string) []Warning {
	var ws []Warning
	if _, err := js.AccountInfo(ctx); err != nil {
		if errors.Is(err, jetstream.ErrJetStreamNotEnabled) || errors.Is(err, jetstream.ErrJetStreamNotEnabledForAccount) {
			return []Warning{"JetStream is not enabled on the NATS server"}
		}
		return []Warning{Warning(fmt.Sprintf("JetStream could not be checked: %v", err))}
	}
	for _, name := range []string{Events, Timers, Decisions, Dead} {
		if s, err := js.Stream(ctx, name); err == nil && s.CachedInfo().Config.PersistMode == jetstream.AsyncPersistMode {
			ws = append(ws, Warning(name+" is written asynchronously: a crash of the server loses acknowledged messages"))
		}
	}
	if monitorURLs == "" {
		return append(ws, "sync_interval could not be checked: NATS tells it only on its monitoring port, and no address of one is set")
	}
	for i, u := range strings.Split(monitorURLs, ",") {
		always, err := syncAlways(ctx, strings.TrimSpace(u))
		switch {
		case err != nil:
			ws = append(ws, Warning(fmt.Sprintf("sync_interval of server %d could not be checked: %v", i+1, err)))
		case !always:
			ws = append(ws, Warning(fmt.Sprintf("sync_interval of server %d is not always: a power failure loses acknowledged messages", i+1)))
		}
	}
	return ws
}

func syncAlways(ctx context.Context, monitorURL string) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, monitorTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(monitorURL, "/")+"/varz", nil)
	if err != nil {
		return false, errors.New("its monitoring address is not an address")
	}
	req.Close = true // it is asked once
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false, errors.New("its monitoring port does not answer")
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return false, fmt.Errorf("its monitoring port answers %d", resp.StatusCode)
	}
	var varz struct {
		JetStream struct {
			Config *struct {
				SyncAlways bool `json:"sync_always"`
			} `json:"config"`
		} `json:"jetstream"`
	}
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxVarz)).Decode(&varz); err != nil {
		return false, errors.New("its monitoring port answers with something else than /varz")
	}
	if varz.JetStream.Config == nil {
		return false, errors.New("its monitoring port tells of no JetStream")
	}
	return varz.JetStream.Config.SyncAlways, nil
}
