package app

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"autotag/services/simulator/internal/scenario"
)

// The table of the README lists every switch with its values and its meaning,
// as the program knows them.
func TestReadmeListsEverySwitch(t *testing.T) {
	t.Parallel()
	var want strings.Builder
	for _, s := range Switches() {
		values := make([]string, len(s.Values))
		for i, v := range s.Values {
			values[i] = "`" + v + "`"
		}
		list := strings.Join(values, ", ")
		if s.Free {
			list = values[0] + "; such as " + strings.Join(values[1:], ", ")
		}
		fmt.Fprintf(&want, "| `%s` | %s | %s |\n", s.Name, list, s.Meaning)
	}
	const head = "| switch | values, the default first | meaning |\n| - | - | - |\n"
	_, table, found := strings.Cut(string(read(t, "../README.md")), head)
	table, _, _ = strings.Cut(table, "\n\n")
	if !found || table+"\n" != want.String() {
		t.Errorf("the table of switches in services/simulator/README.md must be\n%s%s", head, &want)
	}
}

func TestEveryValueOfEverySwitchIsTaken(t *testing.T) {
	t.Parallel()
	for _, s := range Switches() {
		for i, v := range s.Values {
			got, err := parseSwitches(s.Name + "=" + v)
			if err != nil {
				t.Error(err)
			}
			if i > 0 && got == (switches{}) {
				t.Errorf("%s=%s changes nothing", s.Name, v)
			}
		}
	}
}

func TestParseSwitches(t *testing.T) {
	t.Parallel()
	got, err := parseSwitches(" retag=validation, rate=2.5 ,tag_delay=2m,order=end first,copies=3,adopt=true,adopt=false,event_ids=uuid,")
	var want switches
	want.Retag, want.Rate, want.TagDelay, want.Order, want.Copies, want.EventIDs = "validation", 2.5, 2*time.Minute, scenario.EndFirst, 3, "uuid"
	if err != nil || got != want {
		t.Errorf("%v, %+v", err, got)
	}
	for text, says := range map[string]string{
		"retags=ok":       `unknown switch "retags"; there are accept2xx, adopt,`,
		"retag=maybe":     `switch retag: "maybe" is none of ok, validation, already_exists`,
		"retag":           `switch retag: "" is none of`,
		"adopt=perhaps":   `switch adopt: "perhaps" is not true or false`,
		"tag_delay=soon":  `switch tag_delay: "soon" is not a time such as 2m`,
		"tag_delay=-1s":   `switch tag_delay: "-1s" is not a time`,
		"copies=many":     `switch copies: "many" is not a number`,
		"rate=-1":         `switch rate: "-1" is not a number`,
		"rate=NaN":        `switch rate: "NaN" is not a number`,
		"delivery=x":      "unknown switch",
		"webhooks=3.6":    `switch webhooks: "3.6" is none of v3.6`,
		"retag=ok,burst=": `switch burst: "" is not a number`,
	} {
		if _, err := parseSwitches(text); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestSnakeCase(t *testing.T) {
	t.Parallel()
	var got []string
	for _, name := range []string{"Retag", "EventIDs", "RetryAfterDate", "Accept2xx", "GroupZeroFitsAll"} {
		got = append(got, snakeCase(name))
	}
	if want := []string{"retag", "event_ids", "retry_after_date", "accept2xx", "group_zero_fits_all"}; !slices.Equal(got, want) {
		t.Errorf("%v", got)
	}
}
