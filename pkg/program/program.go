// Package program is the command line that the long-running programs share:
// run, healthcheck, version and help, with the same exit statuses.
package program

import (
	"context"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"syscall"
	"time"

	"go.uber.org/zap"

	"autotag/pkg/admin"
	"autotag/pkg/buildinfo"
	"autotag/pkg/config"
	"autotag/pkg/logging"
)

// Exit statuses.
const (
	OK      = 0
	Failure = 1 // it could not go on, or the healthcheck says no
	Usage   = 2 // wrong usage or settings
)

// healthcheckTimeout bounds the healthcheck command.
const healthcheckTimeout = 10 * time.Second

// Program is a program with settings of type C.
type Program[C any] struct {
	Name string
	// Does says in a sentence what the program is for.
	Does string
	// Load loads the settings; AdminAddr only where the program's /healthz is,
	// for whoever asks a running program need not have its secrets.
	Load      func(file string, lookup config.Lookup) (C, error)
	AdminAddr func(file string, lookup config.Lookup) (string, error)
	Log       func(C) logging.Config
	// Run serves until the context ends (nil) or it cannot go on.
	Run func(ctx context.Context, settings C, log *zap.Logger) error
}

const usage = `%[1]s %[2]s

Usage:
  %[1]s [--config FILE]                        run until SIGTERM or SIGINT
  %[1]s healthcheck [--ready] [--config FILE]  ask the running %[1]s whether it lives (is ready); exit 0 or 1
  %[1]s version

Exit status: 0 stopped as asked, 1 could not go on, 2 wrong usage or settings.

Settings, in order of weight: the environment, then FILE (default configs/%[1]s.yaml
if it is there; the same names in lower case), then the defaults:
`

// Main carries out a command line and returns the exit status.
func (p Program[C]) Main(args []string, lookup config.Lookup, stdout, stderr io.Writer) int {
	complain := func(status int, err error) int {
		fmt.Fprintf(stderr, "%s: %v\n", p.Name, err)
		return status
	}
	parsed, err := config.ParseArgs(args)
	if err != nil {
		return complain(Usage, err)
	}
	switch {
	case parsed.Help:
		var settings C
		fmt.Fprintf(stdout, usage, p.Name, p.Does)
		fmt.Fprint(stdout, config.Usage(settings))
		return OK
	case slices.Equal(parsed.Rest, []string{"version"}):
		fmt.Fprintln(stdout, p.Name, buildinfo.Version())
		return OK
	case slices.Equal(parsed.Rest, []string{"healthcheck"}), slices.Equal(parsed.Rest, []string{"healthcheck", "--ready"}):
		addr, err := p.AdminAddr(parsed.File, lookup)
		if err != nil {
			return complain(Usage, err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), healthcheckTimeout)
		defer cancel()
		if err := admin.Healthcheck(ctx, addr, len(parsed.Rest) == 2); err != nil {
			return complain(Failure, err)
		}
		return OK
	case len(parsed.Rest) > 0:
		return complain(Usage, fmt.Errorf("unknown command or flag %q; try %s --help", parsed.Rest, p.Name))
	}
	settings, err := p.Load(parsed.File, lookup)
	if err != nil {
		return complain(Usage, err)
	}
	log := logging.New(p.Log(settings), stderr)
	defer func() { _ = log.Sync() }() // a terminal cannot be synced
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := p.Run(ctx, settings, log); err != nil {
		log.Error("ended", zap.Error(err))
		return Failure
	}
	return OK
}
