package cmd

import (
	"fmt"

	"github.com/spf13/cobra"

	"autotag/pkg/buildinfo"
)

func (s *session) version() *cobra.Command {
	return &cobra.Command{
		Use:               "version",
		Short:             "Print the version",
		Args:              args(0, 0),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(*cobra.Command, []string) error {
			version := buildinfo.Version()
			if s.wantsJSON() {
				return s.json(map[string]string{"version": version})
			}
			fmt.Fprintln(s.stdout, "tagctl", version)
			return nil
		},
	}
}
