package app

import (
	"fmt"
	"net"
	"slices"
	"time"

	"autotag/pkg/chatstore"
	"autotag/pkg/config"
	"autotag/pkg/stream"
	"autotag/services/tagger/internal/tagging"
)

// Program is the name of the program: of its settings file, too.
const Program = "tagger"

// Config are the settings of the tagger.
type Config struct {
	AdminAddr string        `env:"ADMIN_ADDR" envDefault:":9090" desc:"address of /healthz, /readyz and /metrics; keep it private"`
	RedisURL  config.Secret `env:"REDIS_URL" envDefault:"redis://127.0.0.1:6379/0" desc:"redis:// or rediss:// (TLS); further nodes of a Cluster as ?addr=; Sentinels with &master_name="`
	RulesFile string        `env:"RULES_FILE" envDefault:"configs/rules.yaml" desc:"the rules; followed as the file changes"`
	ChatTTL   time.Duration `env:"CHAT_TTL" envDefault:"7d" desc:"how long Redis keeps a chat after its last event"`
	Settle    time.Duration `env:"SETTLE" envDefault:"3s" desc:"how long a chat must have been quiet after its end before it is decided"`
	Apply     Switch        `env:"APPLY" envDefault:"on" desc:"off: decide and record, but never call LiveChat"`
	Reconcile Reconcile     `env:"RECONCILE" envDefault:"auto" desc:"when to ask LiveChat for a chat whose webhooks leave something open: auto, always or never"`

	SweepEvery time.Duration `env:"SWEEP_EVERY" envDefault:"1h" desc:"how often LiveChat's archives are to be searched for chats that were missed, 0 for never; reserved: this version does not search them"`

	config.LiveChat
	Organizations  []string `env:"LIVECHAT_ORGANIZATION" desc:"organizations that the token belongs to, comma-separated; chats of others are decided but wait; any if not set"`
	APIRate        float64  `env:"API_RATE" envDefault:"5" desc:"calls of the LiveChat API a second and organization, over all taggers"`
	APIConcurrency int      `env:"API_CONCURRENCY" envDefault:"16" desc:"chats that one tagger tags at the same time"`

	EventsMaxAge   time.Duration `env:"EVENTS_MAX_AGE" envDefault:"7d" desc:"how long LIVECHAT_EVENTS keeps webhooks"`
	EventsMaxBytes config.Bytes  `env:"EVENTS_MAX_BYTES" desc:"how large LIVECHAT_EVENTS may grow; a quarter of the free store if not set"`
	Replicas       int           `env:"NATS_REPLICAS" envDefault:"1" desc:"replicas of the streams: 1, 3 or 5"`
	config.Common
}

// Switch is on or off.
type Switch bool

// UnmarshalText reads on or off.
func (s *Switch) UnmarshalText(text []byte) error {
	switch v := string(text); v {
	case "on", "off":
		*s = v == "on"
		return nil
	default:
		return fmt.Errorf("must be on or off, not %q", v)
	}
}

// Reconcile says when LiveChat is asked for a chat.
type Reconcile tagging.Reconcile

// UnmarshalText reads auto, always or never.
func (r *Reconcile) UnmarshalText(text []byte) error {
	switch v := tagging.Reconcile(text); v {
	case tagging.ReconcileAuto, tagging.ReconcileAlways, tagging.ReconcileNever:
		*r = Reconcile(v)
		return nil
	default:
		return fmt.Errorf("must be auto, always or never, not %q", string(v))
	}
}

// LoadConfig loads the settings; see config.Load.
func LoadConfig(file string, lookup config.Lookup) (Config, error) {
	var c Config
	err := config.Load(&c, Program, file, lookup)
	return c, err
}

// LoadAdminAddr loads ADMIN_ADDR alone: whoever asks a running tagger for its
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
	if _, _, err := net.SplitHostPort(c.AdminAddr); err != nil {
		fault("ADMIN_ADDR", "%q is not an address such as :9090 or 127.0.0.1:9090", c.AdminAddr)
	}
	if client, err := chatstore.Connect(c.RedisURL.Get); err != nil {
		fault("REDIS_URL", "%w", err)
	} else {
		_ = client.Close() // it has not connected
	}
	if c.ChatTTL < time.Minute {
		fault("CHAT_TTL", "must be at least 1m")
	}
	if c.Settle <= 0 || c.Settle > time.Hour {
		fault("SETTLE", "must be above 0 and at most 1h")
	}
	if c.SweepEvery < 0 {
		fault("SWEEP_EVERY", "must not be below 0")
	}
	faults = append(faults, c.LiveChat.Faults()...)
	if !c.HasToken() && bool(c.Apply) {
		fault("LIVECHAT_PAT", "set LIVECHAT_ACCOUNT_ID and LIVECHAT_PAT, or LIVECHAT_ACCESS_TOKEN, or APPLY=off")
	}
	for _, org := range c.Organizations {
		if _, ok := stream.Token(org); !ok || org == stream.None {
			fault("LIVECHAT_ORGANIZATION", "%q cannot be an organization", org)
		}
	}
	if !(c.APIRate >= 0.01 && c.APIRate <= 1000) {
		fault("API_RATE", "must be from 0.01 to 1000")
	}
	if c.APIConcurrency < 1 || c.APIConcurrency > 1000 {
		fault("API_CONCURRENCY", "must be from 1 to 1000")
	}
	if c.EventsMaxAge <= 0 {
		fault("EVENTS_MAX_AGE", "must be above 0")
	}
	if !slices.Contains([]int{1, 3, 5}, c.Replicas) {
		fault("NATS_REPLICAS", "must be 1, 3 or 5")
	}
	return faults
}
