// Package config loads a program's settings: defaults, then a YAML file, then
// the environment, each over the one before.
//
// A settings type is a struct whose fields carry three tags: `env`, the name of
// the setting, `envDefault`, and `desc`, one line for the help text. The same
// names in lower case are the keys of the YAML file. An empty value counts as
// not set. A setting of type Secret may also come from a file that <NAME>_FILE
// names; an empty file counts as not set, too. Every fault is reported, not the first one only, and each names the
// setting it is about; the value of a secret is never shown.
package config

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/caarlos0/env/v11"
	"go.uber.org/zap/zapcore"
	"go.yaml.in/yaml/v3"

	"autotag/pkg/logging"
)

// Lookup finds a variable of the environment; os.LookupEnv is one.
type Lookup = func(name string) (value string, ok bool)

// Common are the settings of every program. Embed it.
type Common struct {
	NATSURL   string `env:"NATS_URL" envDefault:"nats://127.0.0.1:4222" desc:"NATS servers, comma-separated"`
	NATSCreds string `env:"NATS_CREDS" desc:"NATS credentials file"`
	// NATSMonitorURL lists the servers' monitoring addresses, which alone tell
	// whether they fsync before they acknowledge.
	NATSMonitorURL string `env:"NATS_MONITOR_URL" desc:"monitoring addresses of the NATS servers, comma-separated; to check at the start that sync_interval is always"`
	Log            logging.Config
}

// Validate returns the faults of the common settings. A type that embeds Common
// and has a Validate of its own calls it.
func (c *Common) Validate() (faults []error) {
	for _, list := range []struct {
		name, urls string
		schemes    []string // the first is that of an address without one
		example    string
	}{
		{"NATS_URL", c.NATSURL, []string{"nats", "tls", "ws", "wss"}, "nats://127.0.0.1:4222"},
		{"NATS_MONITOR_URL", c.NATSMonitorURL, []string{"", "http", "https"}, "http://127.0.0.1:8222"},
	} {
		if list.urls == "" {
			continue
		}
		for i, u := range strings.Split(list.urls, ",") {
			u = strings.TrimSpace(u)
			if !strings.Contains(u, "://") {
				u = list.schemes[0] + "://" + u // as the NATS client does
			}
			// Not the value, nor the parser's error: there may be a password in it.
			if parsed, err := url.Parse(u); err != nil || parsed.Host == "" || !slices.Contains(list.schemes, parsed.Scheme) {
				faults = append(faults, fmt.Errorf("%s: address %d of the list is not an address such as %s", list.name, i+1, list.example))
			}
		}
	}
	if c.NATSCreds != "" {
		if _, err := readSecret(c.NATSCreds); err != nil {
			faults = append(faults, fmt.Errorf("NATS_CREDS: %w", err))
		}
	}
	if c.Log.Level > zapcore.ErrorLevel {
		faults = append(faults, errors.New("LOG_LEVEL: must be debug, info, warn or error"))
	}
	return faults
}

// Validator is a settings type with rules beyond those of its field types.
// Validate returns every fault, each beginning with its setting's name and a
// colon.
type Validator interface{ Validate() []error }

// Load fills dst, a pointer to a settings struct. file is the YAML file that
// the caller was told to use; if it is "", configs/<program>.yaml below the
// working directory is used if it is there.
func Load(dst any, program, file string, lookup Lookup) error {
	settings := settingsOf(reflect.TypeOf(dst).Elem())
	values := make(map[string]string)
	var faults []error

	required := file != ""
	if !required {
		file = "configs/" + program + ".yaml"
	}
	switch text, err := os.ReadFile(file); {
	case err == nil:
		faults = append(faults, readFile(file, text, settings, values)...)
	case !required && errors.Is(err, fs.ErrNotExist):
	default:
		faults = append(faults, fmt.Errorf("settings file: %w", err))
	}
	empty := make(map[string]string)
	dropEmptyFiles(settings, values, empty)
	fromEnvironment(settings, values, empty, lookup)
	faults = append(faults, openSecrets(settings, values)...)

	err := env.ParseWithOptions(dst, env.Options{
		Environment: values,
		FuncMap: map[reflect.Type]env.ParserFunc{
			reflect.TypeFor[time.Duration](): parseDuration,
			reflect.TypeFor[[]string]():      parseList,
		},
	})
	faults = append(faults, nameFields(err, settings)...)
	attachSecretFiles(reflect.ValueOf(dst).Elem(), values)
	if v, ok := dst.(Validator); ok {
		faults = append(faults, nameEmptyFiles(notYetNamed(v.Validate(), faults), empty)...)
	}
	return errors.Join(faults...)
}

// dropEmptyFiles takes out of values the files of secrets that hold nothing, and
// notes them in empty, by setting.
func dropEmptyFiles(settings []setting, values, empty map[string]string) {
	for _, s := range settings {
		path, ok := values[s.name+fileSuffix]
		if !s.secret || !ok {
			continue
		}
		if _, err := readSecret(path); errors.Is(err, errEmpty) {
			delete(values, s.name+fileSuffix)
			empty[s.name] = path
		}
	}
}

// nameEmptyFiles adds to the faults the files that would have to hold what is
// missing.
func nameEmptyFiles(faults []error, empty map[string]string) []error {
	for i, err := range faults {
		for _, name := range slices.Sorted(maps.Keys(empty)) {
			if slices.Contains(strings.FieldsFunc(err.Error(), notOfAName), name) {
				faults[i] = fmt.Errorf("%w (%s%s: %s %w)", faults[i], name, fileSuffix, empty[name], errEmpty)
			}
		}
	}
	return faults
}

// notOfAName tells whether r cannot be in a setting's name.
func notOfAName(r rune) bool { return r != '_' && (r < 'A' || r > 'Z') && (r < '0' || r > '9') }

// notYetNamed leaves out the faults of settings that have one already: a value
// that could not be read is missing too.
func notYetNamed(more, faults []error) (left []error) {
	for _, err := range more {
		name, _, _ := strings.Cut(err.Error(), ":")
		if !slices.ContainsFunc(faults, func(f error) bool {
			rest, found := strings.CutPrefix(f.Error(), name)
			return found && (strings.HasPrefix(rest, ":") || strings.HasPrefix(rest, fileSuffix+":"))
		}) {
			left = append(left, err)
		}
	}
	return left
}

// Usage lists the settings of a settings struct, one a line, with what they
// mean and their defaults.
func Usage(settings any) string {
	t := reflect.TypeOf(settings)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, s := range settingsOf(t) {
		desc := s.desc
		if s.secret {
			desc += " (or " + s.name + fileSuffix + ", a file with it)"
		}
		if s.preset != "" {
			desc += " (default " + s.preset + ")"
		}
		fmt.Fprintf(w, "  %s\t%s\n", s.name, desc)
	}
	w.Flush()
	return b.String()
}

// setting is one tagged field.
type setting struct {
	name   string // e.g. NATS_URL
	field  string // Go name, by which the parser reports its errors
	desc   string
	preset string
	secret bool
}

func settingsOf(t reflect.Type) []setting {
	var all []setting
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("env")
		if name == "" {
			if f.Type.Kind() == reflect.Struct {
				all = append(all, settingsOf(f.Type)...)
			}
			continue
		}
		all = append(all, setting{
			name: name, field: f.Name,
			desc: f.Tag.Get("desc"), preset: f.Tag.Get("envDefault"),
			secret: f.Type == reflect.TypeFor[Secret](),
		})
	}
	return all
}

// names returns every name that a value may be given under.
func (s setting) names() []string {
	if s.secret {
		return []string{s.name, s.name + fileSuffix}
	}
	return []string{s.name}
}

// readFile adds the values of a YAML file: one mapping of setting names in
// lower case to scalars, or to lists of scalars where a setting is a list.
func readFile(file string, text []byte, settings []setting, values map[string]string) (faults []error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		if strings.Contains(err.Error(), "unknown anchor") { // it quotes a value, which may be a secret
			err = errors.New("a value that begins with * needs quotes")
		}
		return []error{fmt.Errorf("%s: %w", file, err)}
	}
	if len(doc.Content) == 0 {
		return nil // an empty file, or comments only
	}
	root := doc.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" {
		return nil
	}
	if root.Kind != yaml.MappingNode {
		return []error{fmt.Errorf("%s:%d: must be a mapping of settings", file, root.Line)}
	}
	known := make(map[string]string)
	for _, s := range settings {
		for _, name := range s.names() {
			known[strings.ToLower(name)] = name
		}
	}
	seen := make(map[string]bool)
	for i := 0; i < len(root.Content); i += 2 {
		key, value := root.Content[i], root.Content[i+1]
		name, ok := known[key.Value]
		switch {
		case !ok:
			faults = append(faults, fmt.Errorf("%s:%d: unknown setting %q", file, key.Line, key.Value))
			continue
		case seen[name]:
			faults = append(faults, fmt.Errorf("%s:%d: %s is given twice", file, key.Line, key.Value))
			continue
		}
		seen[name] = true
		v, err := scalars(value)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s:%d: %s: %w", file, value.Line, key.Value, err))
		} else if v != "" {
			values[name] = v
		}
	}
	return faults
}

func scalars(n *yaml.Node) (string, error) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case n.Kind == yaml.ScalarNode && n.Tag == "!!null":
		return "", nil
	case n.Kind == yaml.ScalarNode:
		return n.Value, nil
	case n.Kind != yaml.SequenceNode:
		return "", errors.New("must be a plain value or a list of plain values")
	}
	var items []string
	for _, item := range n.Content {
		if item.Kind != yaml.ScalarNode || strings.Contains(item.Value, ",") {
			return "", errors.New("must be a list of plain values without commas")
		}
		items = append(items, item.Value)
	}
	return strings.Join(items, ","), nil
}

// fromEnvironment puts the environment's values over those of the file. A
// secret given there in one way replaces one given in the file in the other.
func fromEnvironment(settings []setting, values, empty map[string]string, lookup Lookup) {
	for _, s := range settings {
		given := make(map[string]string)
		for _, name := range s.names() {
			if v, ok := lookup(name); ok && v != "" {
				given[name] = v
			}
		}
		dropEmptyFiles([]setting{s}, given, empty)
		if len(given) == 0 {
			continue
		}
		for _, name := range s.names() {
			delete(values, name)
			if v, ok := given[name]; ok {
				values[name] = v
			}
		}
	}
}

// openSecrets reads the files of the secrets that are given as files.
func openSecrets(settings []setting, values map[string]string) (faults []error) {
	for _, s := range settings {
		path, ok := values[s.name+fileSuffix]
		if !s.secret || !ok {
			continue
		}
		if values[s.name] != "" {
			faults = append(faults, fmt.Errorf("%s: both it and %s%s are set", s.name, s.name, fileSuffix))
			continue
		}
		text, err := readSecret(path)
		if err != nil {
			faults = append(faults, fmt.Errorf("%s%s: %w", s.name, fileSuffix, err))
			continue
		}
		values[s.name] = text
	}
	return faults
}

// attachSecretFiles tells the secrets that came from a file which one it was.
func attachSecretFiles(v reflect.Value, values map[string]string) {
	for i := range v.NumField() {
		f, name := v.Field(i), v.Type().Field(i).Tag.Get("env")
		switch {
		case f.Type() == reflect.TypeFor[Secret]():
			if path := values[name+fileSuffix]; path != "" {
				f.Addr().Interface().(*Secret).watch(path)
			}
		case name == "" && f.Kind() == reflect.Struct:
			attachSecretFiles(f, values)
		}
	}
}

// nameFields turns the parser's errors, which name Go fields, into errors that
// name settings.
func nameFields(err error, settings []setting) (faults []error) {
	if err == nil {
		return nil
	}
	var all env.AggregateError
	if !errors.As(err, &all) {
		return []error{err}
	}
	for _, err := range all.Errors {
		var parse env.ParseError
		i := -1
		if errors.As(err, &parse) {
			i = slices.IndexFunc(settings, func(s setting) bool { return s.field == parse.Name })
		}
		if i < 0 {
			faults = append(faults, err)
			continue
		}
		faults = append(faults, fmt.Errorf("%s: %w", settings[i].name, parse.Err))
	}
	return faults
}

// parseDuration reads Go's durations and, since ages are given in them, whole
// days ("7d").
func parseDuration(s string) (any, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("invalid duration %q", s)
		}
		return time.Duration(n) * 24 * time.Hour, nil
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return nil, fmt.Errorf("invalid duration %q (examples: 500ms, 3s, 1h, 7d)", s)
	}
	return d, nil
}

// parseList reads items separated by commas; blanks around them do not count.
func parseList(s string) (any, error) {
	items := strings.Split(s, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items, nil
}

// Bytes is a number of bytes, given plainly or with a unit: 1000000, 512KiB,
// 10GiB, 2TB.
type Bytes int64

var units = []struct {
	suffix string
	factor int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1}, {"", 1},
}

// UnmarshalText reads a number of bytes.
func (b *Bytes) UnmarshalText(text []byte) error {
	for _, u := range units {
		digits, ok := strings.CutSuffix(string(text), u.suffix)
		if !ok {
			continue
		}
		n, err := strconv.ParseInt(strings.TrimSpace(digits), 10, 64)
		if err != nil || n < 0 || n > (1<<63-1)/u.factor {
			break
		}
		*b = Bytes(n * u.factor)
		return nil
	}
	return fmt.Errorf("invalid size %q (examples: 1000000, 512MiB, 10GB)", text)
}
