// Command tagctl checks, tests and tries out Autotag's rules.
package main

import (
	"os"

	"go.uber.org/zap"

	"autotag/pkg/chatstore"
	"autotag/services/tagctl/internal/cmd"
)

func main() {
	chatstore.LogTo(zap.NewNop()) // what goes wrong is for the command to say
	os.Exit(cmd.Run(os.Args[1:], os.LookupEnv, os.Stdin, os.Stdout, os.Stderr))
}
