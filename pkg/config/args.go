package config

import (
	"fmt"
	"strings"
)

// Args is a program's command line.
type Args struct {
	File string   // --config FILE; "" for none
	Help bool     // -h, --help or help
	Rest []string // everything else, in order
}

// ParseArgs reads the flags that every program has.
func ParseArgs(args []string) (Args, error) {
	var a Args
	for i := 0; i < len(args); i++ {
		name, value, hasValue := strings.Cut(args[i], "=")
		switch name {
		case "-h", "-help", "--help", "help":
			a.Help = true
		case "-config", "--config":
			if !hasValue && i+1 < len(args) {
				i++
				value = args[i]
			}
			if value == "" {
				return a, fmt.Errorf("%s: needs a file", name)
			}
			a.File = value
		default:
			a.Rest = append(a.Rest, args[i])
		}
	}
	return a, nil
}
