package app

import (
	"fmt"
	"net"
	"time"

	"autotag/pkg/config"
	"autotag/pkg/stream"
	"autotag/services/ingress/internal/webhook"
)

// Program is the name of the program: of its settings file, too.
const Program = "ingress"

// Config are the settings of the ingress.
type Config struct {
	Addr           string        `env:"INGRESS_ADDR" envDefault:":8080" desc:"address on which webhooks are taken"`
	AdminAddr      string        `env:"ADMIN_ADDR" envDefault:":9090" desc:"address of /healthz, /readyz and /metrics; keep it private"`
	Secrets        config.Secret `env:"LIVECHAT_WEBHOOK_SECRETS" desc:"secret keys of the webhooks, comma-separated, at least one; required"`
	Organizations  []string      `env:"LIVECHAT_ORGANIZATIONS" desc:"organizations that are let in, comma-separated (organization_id, or license-<license_id>); all if not set"`
	EventsMaxAge   time.Duration `env:"EVENTS_MAX_AGE" envDefault:"7d" desc:"how long LIVECHAT_EVENTS keeps webhooks"`
	EventsMaxBytes config.Bytes  `env:"EVENTS_MAX_BYTES" desc:"how large LIVECHAT_EVENTS may grow; a quarter of the free store if not set"`
	Replicas       int           `env:"NATS_REPLICAS" envDefault:"1" desc:"replicas of the streams: 1, 3 or 5"`
	config.Common
}

// LoadConfig loads the settings; see config.Load.
func LoadConfig(file string, lookup config.Lookup) (Config, error) {
	var c Config
	err := config.Load(&c, Program, file, lookup)
	return c, err
}

// LoadAdminAddr loads ADMIN_ADDR alone: whoever asks a running ingress for its
// health need not have its secrets.
func LoadAdminAddr(file string, lookup config.Lookup) (string, error) {
	type unchecked Config // without Validate
	var c unchecked
	err := config.Load(&c, Program, file, lookup)
	return c.AdminAddr, err
}

// Validate returns every fault of the settings.
func (c *Config) Validate() (faults []error) {
	fault := func(name, format string, args ...any) {
		faults = append(faults, fmt.Errorf(name+": "+format, args...))
	}
	for _, a := range []struct{ name, addr string }{{"INGRESS_ADDR", c.Addr}, {"ADMIN_ADDR", c.AdminAddr}} {
		_, port, err := net.SplitHostPort(a.addr)
		if err == nil {
			_, err = net.LookupPort("tcp", port)
		}
		if err != nil {
			fault(a.name, "%q is not an address such as :8080 or 127.0.0.1:8080", a.addr)
		}
	}
	if _, err := webhook.NewSecrets(c.Secrets); err != nil {
		fault("LIVECHAT_WEBHOOK_SECRETS", "%w", err)
	}
	for _, org := range c.Organizations {
		if _, ok := stream.Token(org); !ok || org == stream.None {
			fault("LIVECHAT_ORGANIZATIONS", "%q cannot be an organization", org)
		}
	}
	if c.EventsMaxAge <= 0 {
		fault("EVENTS_MAX_AGE", "must be above 0")
	}
	if c.Replicas != 1 && c.Replicas != 3 && c.Replicas != 5 {
		fault("NATS_REPLICAS", "must be 1, 3 or 5")
	}
	return append(faults, c.Common.Validate()...)
}
