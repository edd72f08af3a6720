// Package log makes the logger that penstockd passes to everything: console format on a terminal, JSON otherwise.
package log

import (
	"fmt"
	"os"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
)

// New makes a logger that writes to f from a level on ("debug", "info", "warn", "error").
func New(f *os.File, level string) (*zap.Logger, error) {
	l, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, fmt.Errorf("log level %q: want debug, info, warn or error", level)
	}
	enc := zap.NewProductionEncoderConfig()
	enc.EncodeTime = zapcore.ISO8601TimeEncoder
	e := zapcore.NewJSONEncoder(enc)
	if st, err := f.Stat(); err == nil && st.Mode()&os.ModeCharDevice != 0 {
		enc.EncodeLevel = zapcore.CapitalColorLevelEncoder
		e = zapcore.NewConsoleEncoder(enc)
	}
	return zap.New(zapcore.NewCore(e, zapcore.Lock(f), l)), nil
}
