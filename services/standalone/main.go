// Command standalone is Autotag in one process, on an embedded NATS and Redis.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"

	"autotag/pkg/admin"
	"autotag/pkg/buildinfo"
	"autotag/pkg/config"
	"autotag/pkg/logging"
	"autotag/services/standalone/app"
)

func main() { os.Exit(run(os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)) }

const usage = `standalone is the whole of Autotag in one process, on an embedded NATS and Redis.

Usage:
  standalone [--config FILE] [--data DIR]   run until SIGTERM or SIGINT; what must
                                            survive a restart lies in DIR (./data)
  standalone --demo                         play simulated chats, show them being
                                            tagged, and end; needs no settings
  standalone healthcheck [--ready]          ask the running standalone whether it
                                            lives (is ready); exit status 0 or 1
  standalone version

Exit status: 0 stopped as asked (the demo: every conversation got exactly the
expected tags), 1 could not go on (the demo: some conversation did not get them),
2 wrong usage or settings, 130 the demo was interrupted.

Settings, in order of weight: the environment, then FILE (default
configs/standalone.yaml if it is there; the same names in lower case), then the
defaults. For the demo only RULES_FILE, LOG_LEVEL and LOG_FORMAT of the
environment count.

`

// Exit statuses.
const (
	exitOK          = 0
	exitFailure     = 1
	exitUsage       = 2
	exitInterrupted = 130
)

// command is what the command line asks for.
type command struct {
	file    string // --config
	data    string // --data
	demo    bool
	health  bool
	ready   bool
	version bool
	help    bool
}

func parse(args []string) (c command, err error) {
	parsed, err := config.ParseArgs(args)
	if err != nil {
		return c, err
	}
	c.file, c.help = parsed.File, parsed.Help
	for rest := parsed.Rest; len(rest) > 0; rest = rest[1:] {
		switch name, value, given := strings.Cut(rest[0], "="); {
		case name == "--data" || name == "-data":
			if !given && len(rest) > 1 {
				rest = rest[1:]
				value = rest[0]
			}
			if value == "" || strings.HasPrefix(value, "-") {
				return c, errors.New("--data: needs a folder")
			}
			c.data = value
		case rest[0] == "--demo" || rest[0] == "-demo":
			c.demo = true
		case rest[0] == "--ready" || rest[0] == "-ready":
			c.ready = true
		case rest[0] == "healthcheck":
			c.health = true
		case rest[0] == "version":
			c.version = true
		default:
			return c, fmt.Errorf("unknown command or flag %q; try standalone --help", rest[0])
		}
	}
	switch {
	case c.demo && (c.data != "" || c.file != ""):
		return c, errors.New("--demo keeps nothing and has settings of its own: --data and --config do not go with it")
	case c.ready && !c.health:
		return c, errors.New("--ready goes with healthcheck only")
	case c.health && (c.demo || c.version || c.data != ""), c.version && (c.demo || c.data != ""):
		return c, fmt.Errorf("%q do not go together; try standalone --help", args)
	}
	return c, nil
}

func run(args []string, lookup config.Lookup, stdout, stderr io.Writer) int {
	complain := func(err error) { fmt.Fprintf(stderr, "standalone: %v\n", err) }
	c, err := parse(args)
	if err != nil {
		complain(err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	switch {
	case c.help:
		fmt.Fprint(stdout, usage+app.Usage())
		return exitOK
	case c.version:
		fmt.Fprintln(stdout, "standalone", buildinfo.Version())
		return exitOK
	case c.health:
		addr, err := app.LoadAdminAddr(c.file, lookup)
		if err != nil {
			complain(err)
			return exitUsage
		}
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if err := admin.Healthcheck(ctx, addr, c.ready); err != nil {
			complain(err)
			return exitFailure
		}
		return exitOK
	case c.demo:
		return demo(ctx, lookup, stdout, complain, stderr)
	}

	cfg, err := app.LoadConfig(c.file, lookup)
	if err != nil {
		fmt.Fprintf(stderr, "standalone: settings are missing or wrong:\n  %s\n"+
			"To see it work without any: standalone --demo. All settings: standalone --help.\n",
			strings.ReplaceAll(err.Error(), "\n", "\n  "))
		return exitUsage
	}
	if c.data != "" {
		cfg.DataDir = c.data
	}
	log := logging.New(cfg.Ingress.Log, stderr)
	defer func() { _ = log.Sync() }() // a terminal cannot be synced
	if err := app.Run(ctx, cfg, log); err != nil {
		log.Error("ended", zap.Error(err))
		return exitFailure
	}
	return exitOK
}

func demo(ctx context.Context, lookup config.Lookup, stdout io.Writer, complain func(error), stderr io.Writer) int {
	cfg, err := app.DemoConfig(lookup)
	if err != nil {
		complain(err)
		return exitUsage
	}
	log := logging.New(cfg.Ingress.Log, stderr)
	defer func() { _ = log.Sync() }()
	// Its folder goes, too, when the reader or the terminal goes.
	signal.Ignore(syscall.SIGPIPE)
	if !signal.Ignored(syscall.SIGHUP) {
		hangup, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
		defer stop()
		ctx = hangup
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	switch err := app.Demo(ctx, cfg, log, reader{stdout, cancel}); {
	case ctx.Err() != nil:
		complain(errors.New("the demo was interrupted; nothing of it is kept"))
		return exitInterrupted
	case errors.Is(err, app.ErrRules):
		complain(err)
		return exitUsage
	case err != nil:
		complain(err)
		return exitFailure
	}
	return exitOK
}

// reader is whoever reads the demo; gone runs when there is nobody any more.
type reader struct {
	io.Writer
	gone func()
}

func (r reader) Write(p []byte) (int, error) {
	n, err := r.Writer.Write(p)
	if err != nil {
		r.gone()
	}
	return n, err
}
