// Command tagger collects the messages of each chat from NATS, decides by the
// rules which tags a finished chat gets, and sets them through the LiveChat API.
package main

import (
	"context"
	"io"
	"os"

	"go.uber.org/zap"

	"autotag/pkg/chatstore"
	"autotag/pkg/config"
	"autotag/pkg/logging"
	"autotag/pkg/program"
	"autotag/services/tagger/app"
)

func main() { os.Exit(run(os.Args[1:], os.LookupEnv, os.Stdout, os.Stderr)) }

func run(args []string, lookup config.Lookup, stdout, stderr io.Writer) int {
	return program.Program[app.Config]{
		Name: app.Program,
		Does: "decides which tags finished LiveChat chats get, by the rules, and sets them.",
		Load: app.LoadConfig, AdminAddr: app.LoadAdminAddr,
		Log: func(c app.Config) logging.Config { return c.Log },
		Run: func(ctx context.Context, c app.Config, log *zap.Logger) error {
			chatstore.LogTo(log)
			return app.Run(ctx, c, log)
		},
	}.Main(args, lookup, stdout, stderr)
}
