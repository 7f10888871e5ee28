// Package scenarios holds the scenarios that the simulator and the demo play
// when no others are given. Their tags are those of configs/rules.yaml.
package scenarios

import "embed"

// FS holds the scenario files.
//
//go:embed *.yaml
var FS embed.FS
