// Command tagctl checks, tests and tries out Autotag's rules.
package main

import (
	"os"

	"autotag/services/tagctl/internal/cmd"
)

func main() { os.Exit(cmd.Run(os.Args[1:], os.LookupEnv, os.Stdin, os.Stdout, os.Stderr)) }
