// Package buildinfo tells which build of the program is running.
package buildinfo

import "runtime/debug"

// version is set by the linker: -X autotag/pkg/buildinfo.version=VERSION.
var version string

// Version returns the version that the linker was told or, without one, what
// the Go tool stamped into the binary: a module version or, for a build from a
// working copy, the commit (with "+dirty" if there were changes). It is
// "unknown" where neither stamped anything.
func Version() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	commit, dirty := "", ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			commit = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "+dirty"
			}
		}
	}
	switch {
	case commit != "":
		return commit + dirty
	case info.Main.Version != "" && info.Main.Version != "(devel)":
		return info.Main.Version
	}
	return "unknown"
}
