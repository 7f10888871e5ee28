package e2e

// The programs are built from these packages. Importing them tells go test that
// its results depend on them.
import (
	_ "autotag/services/ingress/app"
	_ "autotag/services/simulator/app"
	_ "autotag/services/tagger/app"
)
