package app

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"autotag/pkg/config"
	"autotag/pkg/rules"
	simulator "autotag/services/simulator/app"
)

// What the demo overrules: it is over in seconds, and nothing of it is kept.
const (
	demoSettle = time.Second
	demoQuiet  = 2 * time.Second // more than demoSettle
	demoLimit  = time.Minute     // after the last webhook; a busy machine needs it
	demoSpeed  = 20              // how much faster than LiveChat the simulator retries
	demoRate   = 100
	demoReady  = 30 * time.Second
)

// Errors of Demo.
var (
	// ErrNotAsExpected says that some chat of the demo did not get its tags.
	ErrNotAsExpected = errors.New("not every conversation got the tags that its scenario expects")
	// ErrRules says that the rules cannot be used.
	ErrRules = errors.New("the rules cannot be used")
)

// defaultRules is where the rules are if RULES_FILE is not set.
const defaultRules = "configs/rules.yaml"

// demoRules are configs/rules.yaml, for a demo in a folder that has none.
//
//go:embed demo_rules.yaml
var demoRules []byte

// DemoConfig is the settings of the demo. Of the environment only RULES_FILE,
// LOG_LEVEL and LOG_FORMAT count, and no settings file: real credentials and
// addresses stay out of it.
func DemoConfig(lookup config.Lookup) (Config, error) {
	overruled := map[string]string{
		"LIVECHAT_WEBHOOK_SECRETS": "demo-secret",
		"LIVECHAT_ACCOUNT_ID":      "demo-account",
		"LIVECHAT_PAT":             "demo-token",
		"INGRESS_ADDR":             "127.0.0.1:0",
		"ADMIN_ADDR":               "127.0.0.1:0",
		"SETTLE":                   demoSettle.String(),
		"API_RATE":                 fmt.Sprint(demoRate),
	}
	defaults := map[string]string{"LOG_LEVEL": "error", "LOG_FORMAT": "console", "RULES_FILE": ""}
	return LoadConfig(os.DevNull, func(name string) (string, bool) {
		preset, counts := defaults[name]
		if !counts {
			v, ok := overruled[name]
			return v, ok
		}
		if v, ok := lookup(name); ok && v != "" {
			return v, true
		}
		return preset, true
	})
}

// Demo plays the built-in scenarios on a simulated LiveChat against the real
// ingress and tagger, with the rules of cfg, and shows every conversation with
// the reason for each tag. cfg is that of DemoConfig. What the demo stores is
// gone when it returns.
func Demo(ctx context.Context, cfg Config, log *zap.Logger, out io.Writer) error {
	scenarios, err := simulator.Builtin()
	if err != nil {
		return err
	}
	return demo{cfg, scenarios, demoLimit, log, out}.run(ctx)
}

type demo struct {
	cfg       Config
	scenarios []simulator.Scenario
	limit     time.Duration // see simulator.Config
	log       *zap.Logger
	out       io.Writer
}

func (d demo) run(ctx context.Context) (err error) {
	d.cfg.DataDir, err = os.MkdirTemp("", "autotag-demo-")
	if err != nil {
		return fmt.Errorf("make a folder for the demo: %w", err)
	}
	defer os.RemoveAll(d.cfg.DataDir)
	told, err := d.readRules()
	if err != nil {
		return err
	}

	// The tagger must know where the platform is before the platform can know
	// where the ingress is.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("serve the simulated LiveChat: %w", err)
	}
	defer l.Close()
	d.cfg.Tagger.APIURL = "http://" + l.Addr().String()
	a, err := New(d.cfg, d.log)
	if err != nil {
		return err
	}
	defer a.Stop(context.WithoutCancel(ctx))
	if err := a.Start(); err != nil {
		return err
	}

	sim, err := simulator.Default()
	if err != nil {
		return err
	}
	sim.Target = "http://" + a.Addr() + "/webhooks/livechat"
	sim.Secret, sim.PAT = d.cfg.Ingress.Secrets, d.cfg.Tagger.PAT
	sim.AccountID = d.cfg.Tagger.AccountID.Get()
	sim.Quiet, sim.Limit, sim.Speed = demoQuiet, d.limit, demoSpeed
	view := newView(d.out, a.nc, []string{sim.Organization, fmt.Sprint("license-", sim.LicenseID)}, d.scenarios)
	platform, err := simulator.New(sim, view.event)
	if err != nil {
		return err
	}
	defer platform.Stop(context.WithoutCancel(ctx))
	api := &http.Server{Handler: platform.Platform(), ReadHeaderTimeout: 5 * time.Second}
	go api.Serve(l)
	defer api.Close() // calls that hang on purpose, too

	ready, cancel := context.WithTimeout(ctx, demoReady)
	defer cancel()
	if err := a.Ready(ready); err != nil {
		return err
	}
	view.header(told)
	go view.run(ctx)
	report, err := platform.Play(ctx, d.scenarios)
	view.close()
	if err != nil {
		return fmt.Errorf("play the scenarios: %w", err)
	}
	view.table(report)
	if !report.OK {
		return ErrNotAsExpected
	}
	return nil
}

// readRules looks at the rules before anything waits for them, takes those that
// are built in where there are none, and lets their tags exist. It returns how
// to name the rules.
func (d *demo) readRules() (told string, err error) {
	told = d.cfg.Tagger.RulesFile
	text, err := os.ReadFile(told)
	if told == defaultRules && errors.Is(err, fs.ErrNotExist) {
		text, told = demoRules, "built in (there is no "+defaultRules+" here)"
		d.cfg.Tagger.RulesFile = filepath.Join(d.cfg.DataDir, "rules.yaml")
		err = os.WriteFile(d.cfg.Tagger.RulesFile, text, 0o600)
	}
	if err != nil {
		return "", fmt.Errorf("%w: RULES_FILE: %w", ErrRules, err)
	}
	set, problems := rules.Parse(d.cfg.Tagger.RulesFile, text)
	if set == nil {
		return "", fmt.Errorf("%w:\n%s", ErrRules, strings.TrimSpace(problems.String()))
	}
	var tags []string
	for _, r := range set.Rules {
		tags = append(tags, r.Tag)
	}
	d.scenarios = append([]simulator.Scenario{{Name: "rules", Tags: tags}}, d.scenarios...)
	return told, nil
}
