package app

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"autotag/pkg/livechat/livechattest"
	"autotag/services/simulator/internal/scenario"
)

// switches are all points that LiveChat leaves open: what the platform is like,
// and how it sends its webhooks.
type switches struct {
	livechattest.Switches
	scenario.Delivery
}

// Switch is one point that LiveChat leaves open.
type Switch struct {
	Name    string   // in SIMULATOR_SWITCHES
	Values  []string // the default first
	Meaning string
	// Free: the values are examples of numbers or times, there are others.
	Free bool
}

// Switches lists all switches, in the order of their subjects.
func Switches() []Switch {
	var list []Switch
	for _, f := range switchFields() {
		s := Switch{Name: snakeCase(f.Name), Values: strings.Split(f.Tag.Get("values"), "|"), Meaning: f.Tag.Get("desc")}
		s.Free = f.Type.Kind() != reflect.String && f.Type.Kind() != reflect.Bool
		list = append(list, s)
	}
	return list
}

func switchFields() []reflect.StructField {
	return slices.DeleteFunc(reflect.VisibleFields(reflect.TypeFor[switches]()), func(f reflect.StructField) bool { return f.Anonymous })
}

// parseSwitches reads "retag=validation,resend_initial_events=true". The last
// word on a switch counts.
func parseSwitches(text string) (switches, error) {
	var s switches
	fields := map[string]reflect.StructField{}
	for _, f := range switchFields() {
		fields[snakeCase(f.Name)] = f
	}
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		name, value, _ := strings.Cut(item, "=")
		field, known := fields[name]
		if !known {
			return s, fmt.Errorf("unknown switch %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
		}
		if err := set(reflect.ValueOf(&s).Elem().FieldByIndex(field.Index), field, value); err != nil {
			return s, fmt.Errorf("switch %s: %w", name, err)
		}
	}
	return s, nil
}

func set(v reflect.Value, field reflect.StructField, value string) error {
	switch v.Interface().(type) {
	case bool:
		b, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("%q is not true or false", value)
		}
		v.SetBool(b)
	case time.Duration:
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 {
			return fmt.Errorf("%q is not a time such as 2m", value)
		}
		v.SetInt(int64(d))
	case int:
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is not a number", value)
		}
		v.SetInt(int64(n))
	case float64:
		f, err := strconv.ParseFloat(value, 64)
		if err != nil || !(f >= 0) {
			return fmt.Errorf("%q is not a number", value)
		}
		v.SetFloat(f)
	default: // a text
		values := strings.Split(field.Tag.Get("values"), "|")
		if !slices.Contains(values, value) {
			return fmt.Errorf("%q is none of %s", value, strings.Join(values, ", "))
		}
		v.SetString(value)
	}
	return nil
}

// snakeCase gives event_ids for EventIDs.
func snakeCase(name string) string {
	var b strings.Builder
	before := 'A'
	for _, r := range name {
		upper := r >= 'A' && r <= 'Z'
		if upper && before >= 'a' && before <= 'z' {
			b.WriteByte('_')
		}
		before = r
		if upper {
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
