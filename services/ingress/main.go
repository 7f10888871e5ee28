// Command ingress takes LiveChat's webhooks over HTTP and keeps each in NATS
// before it answers 200.
package main

import (
	"io"
	"os"

	"autotag/pkg/config"
	"autotag/pkg/logging"
	"autotag/pkg/program"
	"autotag/services/ingress/app"
)

func main() { os.Exit(run(os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)) }

func run(args []string, lookup config.Lookup, stdout, stderr io.Writer) int {
	return program.Program[app.Config]{
		Name: app.Program,
		Does: "takes LiveChat's webhooks and keeps each in NATS before it answers 200.",
		Load: app.LoadConfig, AdminAddr: app.LoadAdminAddr,
		Log: func(c app.Config) logging.Config { return c.Log },
		Run: app.Run,
	}.Main(args, lookup, stdout, stderr)
}
