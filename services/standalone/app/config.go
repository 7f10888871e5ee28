package app

import (
	"errors"
	"slices"
	"strings"

	"autotag/pkg/config"
	ingress "autotag/services/ingress/app"
	tagger "autotag/services/tagger/app"
)

// Program is the name of the program: of its settings file, too.
const Program = "standalone"

// Config are the settings of the standalone: those of the ingress and the
// tagger. The settings of servers are overruled: it has its own.
type Config struct {
	DataDir string `env:"DATA_DIR" envDefault:"./data" desc:"folder of what must survive a restart, for one standalone alone"`
	Ingress ingress.Config
	Tagger  tagger.Config
	// Ignored are the settings that the environment gives and that do not count
	// here.
	Ignored []string
}

// serverSettings are the settings of the NATS and Redis servers that the
// ingress and the tagger would use on their own.
var serverSettings = []string{"NATS_URL", "NATS_CREDS", "NATS_MONITOR_URL", "NATS_REPLICAS", "REDIS_URL", "REDIS_URL_FILE"}

// LoadConfig loads the settings; see config.Load. Its error joins one error for
// each fault.
func LoadConfig(file string, lookup config.Lookup) (Config, error) {
	var c Config
	err := config.Load(&c, Program, file, withoutServers(lookup))
	for _, name := range serverSettings {
		if v, ok := lookup(name); ok && v != "" {
			c.Ignored = append(c.Ignored, name)
		}
	}
	return c, once(err)
}

// LoadAdminAddr loads ADMIN_ADDR alone: whoever asks a running standalone for
// its health need not have its secrets.
func LoadAdminAddr(file string, lookup config.Lookup) (string, error) {
	type unchecked Config // without Validate
	var c unchecked
	err := config.Load(&c, Program, file, withoutServers(lookup))
	return c.Ingress.AdminAddr, once(err)
}

func withoutServers(lookup config.Lookup) config.Lookup {
	return func(name string) (string, bool) {
		if slices.Contains(serverSettings, name) {
			return "", false
		}
		return lookup(name)
	}
}

// Validate returns every fault of the settings.
func (c *Config) Validate() []error {
	return append(c.Ingress.Validate(), c.Tagger.Validate()...)
}

// once leaves out repeated faults: the ingress and the tagger share settings.
func once(err error) error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var faults []error
	for _, fault := range joined.Unwrap() {
		if !slices.ContainsFunc(faults, func(f error) bool { return f.Error() == fault.Error() }) {
			faults = append(faults, fault)
		}
	}
	return errors.Join(faults...)
}

// Usage lists the settings that count, one a line.
func Usage() string {
	var b strings.Builder
	seen := map[string]bool{}
	for line := range strings.Lines(config.Usage(Config{})) {
		name := strings.Fields(line)[0]
		if !seen[name] && !slices.Contains(serverSettings, name) {
			b.WriteString(line)
		}
		seen[name] = true
	}
	return b.String()
}
