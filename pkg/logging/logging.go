// Package logging builds the programs' logger and holds the names of the fields
// that more than one of them logs. Ids may be logged; secrets and what people
// wrote may not.
package logging

import (
	"fmt"
	"io"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// Field names.
const (
	Action       = "action"
	Organization = "organization_id"
	Chat         = "chat_id"
	Thread       = "thread_id"
	Event        = "event_id"
	Rule         = "rule"
	Tag          = "tag"
	Attempt      = "attempt"
	Reason       = "reason"
	Step         = "step"
	Took         = "took"
	Addr         = "addr"
)

// Config are the settings of the logger.
type Config struct {
	Level  zapcore.Level `env:"LOG_LEVEL" envDefault:"info" desc:"debug, info, warn or error"`
	Format Format        `env:"LOG_FORMAT" envDefault:"json" desc:"json or console"`
}

// Format is the form of a log line.
type Format string

// The forms.
const (
	JSON    Format = "json"    // one object a line
	Console Format = "console" // for people
)

// UnmarshalText takes the name of a form.
func (f *Format) UnmarshalText(text []byte) error {
	switch v := Format(text); v {
	case JSON, Console:
		*f = v
		return nil
	}
	return fmt.Errorf("must be json or console, not %q", text)
}

// New returns a logger that writes to w. Of equal messages the first 100 in a
// second are written and then every hundredth, so that a flood of hostile
// requests cannot become a flood of lines.
func New(c Config, w io.Writer) *zap.Logger {
	enc := zap.NewProductionEncoderConfig()
	enc.TimeKey = "time"
	enc.EncodeTime = zapcore.RFC3339NanoTimeEncoder
	enc.EncodeDuration = zapcore.StringDurationEncoder
	encoder := zapcore.NewJSONEncoder(enc)
	if c.Format == Console {
		enc.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
		enc.EncodeLevel = zapcore.CapitalLevelEncoder
		encoder = zapcore.NewConsoleEncoder(enc)
	}
	core := zapcore.NewCore(encoder, zapcore.Lock(zapcore.AddSync(w)), c.Level)
	if c.Level > zapcore.DebugLevel {
		core = zapcore.NewSamplerWithOptions(core, time.Second, 100, 100)
	}
	return zap.New(core)
}
