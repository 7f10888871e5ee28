// Package leaktest tells whether a package's tests leave goroutines behind.
package leaktest

import (
	"time"

	"go.uber.org/goleak"
)

// patience is generous: a busy machine takes its time to end what has been
// stopped, and whoever waits goes on as soon as nothing is left.
const patience = time.Minute

// Main is the body of a TestMain: it runs the tests and exits with their
// status, or with 1 if goroutines are left that do not end by themselves.
func Main(m goleak.TestingM) { goleak.VerifyTestMain(patient{m}) }

// patient gives goroutines longer to end than goleak does, which is less than
// half a second.
type patient struct{ goleak.TestingM }

func (p patient) Run() int {
	status := p.TestingM.Run()
	if status == 0 {
		for limit := time.Now().Add(patience); goleak.Find() != nil && time.Now().Before(limit); {
		}
	}
	return status
}
