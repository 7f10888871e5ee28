package app

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"autotag/pkg/livechat/livechattest"
)

// parseSwitches reads "retag=validation,resend_initial_events=true": the fields
// of livechattest.Switches in snake case.
func parseSwitches(text string, into *livechattest.Switches) error {
	v := reflect.ValueOf(into).Elem()
	fields := map[string]reflect.Value{}
	for i := range v.NumField() {
		if name := snakeCase(v.Type().Field(i).Name); name != "statuses" {
			fields[name] = v.Field(i)
		}
	}
	for item := range strings.SplitSeq(text, ",") {
		item = strings.TrimSpace(item)
		if item == "" {
			continue
		}
		name, value, _ := strings.Cut(item, "=")
		field, known := fields[name]
		if !known {
			names := []string{}
			for n := range fields {
				names = append(names, n)
			}
			slices.Sort(names)
			return fmt.Errorf("unknown switch %q; there are %s", name, strings.Join(names, ", "))
		}
		if err := set(field, value); err != nil {
			return fmt.Errorf("switch %s: %w", name, err)
		}
	}
	return nil
}

func set(field reflect.Value, value string) error {
	switch field.Interface().(type) {
	case string:
		field.SetString(value)
	case bool:
		b, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("%q is not true or false", value)
		}
		field.SetBool(b)
	case time.Duration:
		d, err := time.ParseDuration(value)
		if err != nil || d < 0 {
			return fmt.Errorf("%q is not a time such as 2m", value)
		}
		field.SetInt(int64(d))
	case int:
		n, err := strconv.Atoi(value)
		if err != nil || n < 0 {
			return fmt.Errorf("%q is not a number", value)
		}
		field.SetInt(int64(n))
	case float64:
		f, err := strconv.ParseFloat(value, 64)
		if err != nil || f < 0 {
			return fmt.Errorf("%q is not a number", value)
		}
		field.SetFloat(f)
	}
	return nil
}

func snakeCase(name string) string {
	var b strings.Builder
	for i, r := range name {
		if r >= 'A' && r <= 'Z' {
			if i > 0 {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}
