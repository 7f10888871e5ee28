package main

import (
	"errors"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tagctl": main})
}

// TestScripts runs the archives of testdata/script: commands, their exit
// statuses and what they print. With UPDATE=1 in the environment the expected
// output is written anew.
func TestScripts(t *testing.T) {
	t.Parallel()
	p := params()
	p.Dir = "testdata/script"
	testscript.Run(t, p)
}

// params are what all scripts run with.
func params() testscript.Params {
	return testscript.Params{
		UpdateScripts:       os.Getenv("UPDATE") != "",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Cmds:                map[string]func(*testscript.TestScript, bool, []string){"status": status},
		Setup: func(e *testscript.Env) error {
			// A program with the race detector waits a second before it ends.
			e.Setenv("GORACE", "atexit_sleep_ms=0")
			return nil
		},
	}
}

// status runs a command that must end with an exit status: status 1 tagctl ...
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status STATUS program [args...]")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}
