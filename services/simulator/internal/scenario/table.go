package scenario

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// WriteTable prints the report for people.
func (r Report) WriteTable(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "OK\tEXPECTED\tGOT\tCHAT")
	good := 0
	for _, result := range r.Results {
		ok := "yes"
		if result.OK {
			good++
		} else {
			ok = "NO"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s (%s)\n", ok, tagList(result.Expected), tagList(result.Got), result.Chat, result.Arrived)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, result := range r.Results {
		if result.Why != "" {
			fmt.Fprintf(w, "%s/%s: %s\n", result.Scenario, result.Chat, result.Why)
		}
	}
	_, err := fmt.Fprintf(w, "%d of %d as expected; %d webhooks delivered, %d retries, %d given up; %s\n",
		good, len(r.Results), r.Webhooks, r.Retries, r.GivenUp, r.Took.Round(100*time.Millisecond))
	return err
}

func tagList(tags []string) string {
	if len(tags) == 0 {
		return "(none)"
	}
	return strings.Join(tags, ", ")
}
