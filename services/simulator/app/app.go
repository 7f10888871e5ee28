// Package app is the simulator: a LiveChat platform on an address of its own,
// and a player of scripted chats that sends the platform's webhooks to a
// receiver. The demo and the tests of the whole use it too.
package app

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"autotag/pkg/config"
	"autotag/pkg/livechat/livechattest"
	"autotag/services/simulator/internal/scenario"
	"autotag/services/simulator/internal/sender"
	"autotag/services/simulator/scenarios"
)

// Config is the simulator's settings. Start from Default or config.Load.
type Config struct {
	Addr         string        `env:"SIMULATOR_ADDR" envDefault:"127.0.0.1:9400" desc:"address of the platform's API"`
	Target       string        `env:"WEBHOOK_URL" envDefault:"http://127.0.0.1:8080/webhooks/livechat" desc:"where webhooks go; with several addresses, comma-separated, they take turns"`
	Secret       config.Secret `env:"LIVECHAT_WEBHOOK_SECRET" desc:"secret_key of the webhooks; simulator if empty"`
	AccountID    string        `env:"LIVECHAT_ACCOUNT_ID" envDefault:"simulator" desc:"account id that the API accepts, together with LIVECHAT_PAT"`
	PAT          config.Secret `env:"LIVECHAT_PAT" desc:"personal access token that the API accepts; simulator if empty"`
	AccessToken  config.Secret `env:"LIVECHAT_ACCESS_TOKEN" desc:"bearer token that the API accepts too"`
	ClientID     string        `env:"LIVECHAT_CLIENT_ID" envDefault:"7d1e90c4b6a24f538c0e2a9b71f3d685" desc:"client id of the app that registers webhooks"`
	Organization string        `env:"SIMULATOR_ORGANIZATION" envDefault:"5f0b2c4e-7a1d-4c39-9f57-3d2a61b8e0c4" desc:"organization_id of the webhooks"`
	LicenseID    int           `env:"SIMULATOR_LICENSE" envDefault:"15872341" desc:"license_id of webhooks in the shape of v3.2 and v3.3"`
	Switches     string        `env:"SIMULATOR_SWITCHES" desc:"readings of what LiveChat leaves undocumented, such as retag=already_exists,rate=5"`
	Speed        float64       `env:"SIMULATOR_SPEED" envDefault:"1" desc:"how much faster than LiveChat webhooks are tried again"`
	Quiet        time.Duration `env:"SIMULATOR_QUIET" envDefault:"6s" desc:"how long nothing may happen before tags count as final; more than the tagger's SETTLE"`
	Limit        time.Duration `env:"SIMULATOR_LIMIT" envDefault:"1m" desc:"how long tags may take to become as expected after the last webhook"`
}

// Default returns the settings without a file or an environment.
func Default() (Config, error) {
	var cfg Config
	err := config.Load(&cfg, "simulator", os.DevNull, func(string) (string, bool) { return "", false })
	return cfg, err
}

// Validate returns every fault of the settings.
func (c *Config) Validate() []error {
	var errs []error
	if c.Speed <= 0 {
		errs = append(errs, errors.New("SIMULATOR_SPEED: must be more than 0"))
	}
	for _, url := range c.targets() {
		if !strings.HasPrefix(url, "http://") && !strings.HasPrefix(url, "https://") {
			errs = append(errs, errors.New("WEBHOOK_URL: must begin with http:// or https://"))
		}
	}
	if _, err := parseSwitches(c.Switches); err != nil {
		errs = append(errs, fmt.Errorf("SIMULATOR_SWITCHES: %w", err))
	}
	return errs
}

func (c *Config) targets() []string {
	urls := strings.Split(c.Target, ",")
	for i := range urls {
		urls[i] = strings.TrimSpace(urls[i])
	}
	return urls
}

// The scenario types that users of the simulator meet.
type (
	Scenario  = scenario.Scenario
	Chat      = scenario.Chat
	Thread    = scenario.Thread
	Step      = scenario.Step
	Event     = scenario.Event
	EventKind = scenario.EventKind
	Report    = scenario.Report
	Result    = scenario.Result
)

// Says is the kind of a step in which somebody says something.
const Says = scenario.Says

// Kinds of events.
const (
	ChatStarted      = scenario.ChatStarted
	WebhookSent      = scenario.WebhookSent
	WebhookRetry     = scenario.WebhookRetry
	WebhookGivenUp   = scenario.WebhookGivenUp
	WebhookDropped   = scenario.WebhookDropped
	WebhookDuplicate = scenario.WebhookDuplicate
	TagCalled        = scenario.TagCalled
	APICalled        = scenario.APICalled
	ChatFinished     = scenario.ChatFinished
)

// Builtin returns the scenarios that come with the program.
func Builtin() ([]Scenario, error) { return scenario.Load(scenarios.FS) }

// Load returns the scenarios of a file system.
func Load(fsys fs.FS) ([]Scenario, error) { return scenario.Load(fsys) }

// LoadPaths returns the scenarios of files and folders.
func LoadPaths(paths []string) ([]Scenario, error) {
	var out []Scenario
	var errs []error
	for _, path := range paths {
		list, err := loadPath(path)
		out = append(out, list...)
		errs = append(errs, err)
	}
	return out, errors.Join(errs...)
}

func loadPath(path string) ([]Scenario, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("load scenarios: %w", err)
	}
	if info.IsDir() {
		list, err := scenario.Load(os.DirFS(path))
		if err == nil && len(list) == 0 {
			err = fmt.Errorf("load scenarios: no .yaml file in %s", path)
		}
		return list, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("load scenarios: %w", err)
	}
	s, err := scenario.Parse(filepath.ToSlash(path), text)
	if err != nil {
		return nil, err
	}
	return []Scenario{s}, nil
}

// groups of the simulated organization.
var groups = []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}

// Simulator is a platform with a player.
type Simulator struct {
	cfg      Config
	platform *livechattest.Platform
	player   *scenario.Player
	sender   *sender.Sender
	server   *http.Server
	listener net.Listener
	ctx      context.Context // of webhooks that API calls cause; Stop ends it
	cancel   context.CancelFunc
}

// New returns a simulator that is not serving yet. onEvent, which may be nil,
// is told what happens, one event at a time.
func New(cfg Config, onEvent func(Event)) (*Simulator, error) {
	open, err := parseSwitches(cfg.Switches)
	if err != nil {
		return nil, fmt.Errorf("SIMULATOR_SWITCHES: %w", err)
	}
	s := &Simulator{cfg: cfg, sender: sender.New(sender.Options{
		URLs: cfg.targets(), Speed: cfg.Speed, Accept2xx: open.Accept2xx,
	})}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.platform = livechattest.New(livechattest.Config{
		Switches: open.Switches,
		Sink:     func(w livechattest.Webhook) { s.player.Echo(s.ctx, w) },
		OnCall:   func(c livechattest.Call) { s.player.Called(c) },
	})
	org := livechattest.Organization{
		ID: cfg.Organization, LicenseID: cfg.LicenseID, Secret: or(cfg.Secret, "simulator"),
		AccountID: cfg.AccountID, PAT: or(cfg.PAT, "simulator"), ClientIDs: []string{cfg.ClientID}, Groups: groups,
	}
	if token := cfg.AccessToken.Get(); token != "" {
		org.Tokens = []string{token}
	}
	if err := s.platform.AddOrganization(org); err != nil {
		return nil, err
	}
	s.player = scenario.NewPlayer(scenario.Options{
		Platform: s.platform, Organization: cfg.Organization, Groups: groups, Sender: s.sender, Delivery: open.Delivery,
		Quiet: cfg.Quiet, Limit: cfg.Limit, OnEvent: onEvent,
	})
	return s, nil
}

func or(s config.Secret, otherwise string) string {
	if v := s.Get(); v != "" {
		return v
	}
	return otherwise
}

// Platform is the platform that the simulator serves, for further faults and
// questions.
func (s *Simulator) Platform() *livechattest.Platform { return s.platform }

// Start serves the platform's API; it returns once the address is bound.
func (s *Simulator) Start() error {
	l, err := net.Listen("tcp", s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("serve the platform: %w", err)
	}
	s.listener = l
	s.server = &http.Server{Handler: s.platform, ReadHeaderTimeout: 5 * time.Second}
	go s.server.Serve(l)
	return nil
}

// URL is what LIVECHAT_API_URL must be for clients of this platform. It is
// valid after Start.
func (s *Simulator) URL() string { return "http://" + s.listener.Addr().String() }

// Play plays scenarios; see scenario.Player.Play. One play at a time.
func (s *Simulator) Play(ctx context.Context, list []Scenario) (Report, error) {
	return s.player.Play(ctx, list)
}

// Stop ends what is on its way and closes the server. It may be called twice,
// and before Start.
func (s *Simulator) Stop(ctx context.Context) error {
	s.cancel()
	s.sender.Close()
	if s.server == nil {
		return nil
	}
	if err := s.server.Shutdown(ctx); err != nil {
		return s.server.Close() // calls that hang on purpose
	}
	return nil
}
