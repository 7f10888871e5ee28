// Command simulator stands in for the LiveChat platform: it serves the API
// methods that Autotag calls and plays scripted chats, whose webhooks it sends
// to the ingress.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"autotag/pkg/config"
	"autotag/services/simulator/app"
)

const usage = `usage: simulator [flags] [scenario file or folder ...]
       simulator healthcheck

Serves a LiveChat platform in memory and plays scenarios on it. Webhooks go to
the target; the tags that come back through the API are compared with those that
the scenarios expect. Without scenarios it serves until it is stopped, prints a
line for every call of the API, and takes chats and tags that it never heard of
as they come (SIMULATOR_SWITCHES=adopt=false refuses them).

Exit status: 0 all tags as expected, 1 not, 2 usage or set-up.

flags:
  --builtin        play the scenarios that come with the program
  --target URL     where webhooks go (WEBHOOK_URL)
  --addr ADDR      address of the API (SIMULATOR_ADDR)
  --clock 20x      shorten the pauses before retries, which take a minute in all
  --secret TEXT    secret_key of the webhooks (better: LIVECHAT_WEBHOOK_SECRET_FILE)
  --quiet TIME     how long nothing may happen before tags count as final
  --limit TIME     how long tags may take to become as expected
  -o text|json     form of the result
  --verbose        say every webhook and every tag call as it happens
  --config FILE    settings file

settings:
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr))
}

func run(ctx context.Context, args []string, env config.Lookup, stdout, stderr io.Writer) int {
	fail := func(err error) int {
		fmt.Fprintf(stderr, "simulator: %v\n", err)
		return 2
	}
	common, err := config.ParseArgs(args)
	if err != nil {
		return fail(err)
	}
	if common.Help {
		fmt.Fprint(stdout, usage, config.Usage(app.Config{}))
		return 0
	}
	var cfg app.Config
	if err := config.Load(&cfg, "simulator", common.File, env); err != nil {
		return fail(err)
	}
	opts, err := readFlags(common.Rest, &cfg)
	if err != nil {
		return fail(err)
	}
	if len(opts.paths) == 1 && opts.paths[0] == "healthcheck" {
		return healthcheck(ctx, cfg.Addr, stderr)
	}
	list, err := app.LoadPaths(opts.paths)
	if err == nil && opts.builtin {
		var more []app.Scenario
		more, err = app.Builtin()
		list = append(list, more...)
	}
	if err != nil {
		return fail(err)
	}

	show := progress(stderr, opts.verbose)
	if len(list) == 0 {
		cfg.Switches = "adopt=true," + cfg.Switches // the last word on a switch counts
		show = showCalls(stdout, show)
	}
	s, err := app.New(cfg, show)
	if err != nil {
		return fail(err)
	}
	if err := s.Start(); err != nil {
		return fail(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		s.Stop(ctx)
	}()
	fmt.Fprintf(stderr, "platform at %s, webhooks to %s\n", s.URL(), cfg.Target)
	if len(list) == 0 {
		<-ctx.Done()
		return 0
	}
	report, err := s.Play(ctx, list)
	if err != nil {
		return fail(fmt.Errorf("play scenarios: %w", err))
	}
	if opts.json {
		e := json.NewEncoder(stdout)
		e.SetIndent("", "  ")
		err = e.Encode(report)
	} else {
		err = report.WriteTable(stdout)
	}
	if err != nil {
		return fail(fmt.Errorf("print the result: %w", err))
	}
	if !report.OK {
		return 1
	}
	return 0
}

type options struct {
	builtin, verbose, json bool
	paths                  []string
}

// readFlags takes the simulator's own flags over the settings.
func readFlags(args []string, cfg *app.Config) (options, error) {
	var o options
	var output, clock, secret string
	flags := flag.NewFlagSet("simulator", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.BoolVar(&o.builtin, "builtin", false, "")
	flags.BoolVar(&o.verbose, "verbose", false, "")
	flags.StringVar(&output, "o", "text", "")
	flags.StringVar(&clock, "clock", "", "")
	flags.StringVar(&secret, "secret", "", "")
	flags.StringVar(&cfg.Target, "target", cfg.Target, "")
	flags.StringVar(&cfg.Addr, "addr", cfg.Addr, "")
	flags.DurationVar(&cfg.Quiet, "quiet", cfg.Quiet, "")
	flags.DurationVar(&cfg.Limit, "limit", cfg.Limit, "")
	// Flags may stand before and after the paths.
	for len(args) > 0 {
		if err := flags.Parse(args); err != nil {
			return o, err
		}
		if args = flags.Args(); len(args) > 0 {
			o.paths, args = append(o.paths, args[0]), args[1:]
		}
	}
	if output != "text" && output != "json" {
		return o, fmt.Errorf("-o: must be text or json, not %q", output)
	}
	o.json = output == "json"
	if secret != "" {
		cfg.Secret = config.NewSecret(secret)
	}
	if clock != "" {
		speed, err := strconv.ParseFloat(strings.TrimSuffix(clock, "x"), 64)
		if err != nil || speed <= 0 {
			return o, fmt.Errorf("--clock: must be a factor such as 20x, not %q", clock)
		}
		cfg.Speed = speed
	}
	for _, err := range cfg.Validate() {
		return o, err
	}
	return o, nil
}

// progress prints what happens while chats are played: trouble always, the rest
// when asked for.
func progress(w io.Writer, verbose bool) func(app.Event) {
	return func(e app.Event) {
		at := e.At.Format("15:04:05.000")
		switch e.Kind {
		case app.WebhookRetry, app.WebhookGivenUp:
			fmt.Fprintf(w, "%s  %s: %s: try %d, status %d: %s %s\n", at, e.Chat, e.Action, e.Attempt, e.Status, e.Kind, e.Error)
		case app.ChatFinished:
			if verbose || !e.OK {
				fmt.Fprintf(w, "%s  %s: expected %v, got %v %s\n", at, e.Chat, e.Expected, e.Got, e.Error)
			}
		case app.TagCalled, app.APICalled:
			if verbose {
				fmt.Fprintf(w, "%s  %s: %s %s: status %d %s\n", at, e.Chat, e.Method, e.Tag, e.Status, e.Error)
			}
		default:
			if verbose {
				fmt.Fprintf(w, "%s  %s: %s %s\n", at, e.Chat, e.Kind, e.Action)
			}
		}
	}
}

// showCalls prints every call of the API as it arrives; other events go to rest.
func showCalls(w io.Writer, rest func(app.Event)) func(app.Event) {
	return func(e app.Event) {
		if e.Kind != app.TagCalled && e.Kind != app.APICalled {
			rest(e)
			return
		}
		line := e.At.Format("15:04:05.000") + "  " + e.Method
		for _, field := range []struct{ name, value string }{
			{"chat_id", e.ChatID}, {"thread_id", e.ThreadID}, {"tag", e.Tag},
		} {
			if field.value != "" {
				line += fmt.Sprintf("  %s=%q", field.name, field.value)
			}
		}
		line += fmt.Sprintf("  status=%d %s", e.Status, e.Error)
		fmt.Fprintln(w, strings.TrimSpace(line))
	}
}

// healthcheck asks a running simulator for the one method that needs no token.
func healthcheck(ctx context.Context, addr string, stderr io.Writer) int {
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	if strings.HasPrefix(addr, ":") {
		addr = "127.0.0.1" + addr
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost,
		"http://"+addr+"/v3.6/configuration/action/list_webhook_names", strings.NewReader("{}"))
	if err == nil {
		req.Header.Set("Content-Type", "application/json")
		var res *http.Response
		if res, err = http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return 0
			}
			err = fmt.Errorf("status %d", res.StatusCode)
		}
	}
	fmt.Fprintf(stderr, "simulator: healthcheck: %v\n", err)
	return 1
}
