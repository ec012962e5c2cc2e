package server

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// quietTime is how long a limitedLog is silent after a line.
const quietTime = 10 * time.Second

// limitedLog is for a line that clients can cause: it is written at most once in
// quietTime, with the number of times that it was not.
type limitedLog struct {
	last       atomic.Int64 // UnixNano of the last line
	suppressed atomic.Int64
}

// note logs a warning, or counts it. Any goroutine.
func (l *limitedLog) note(log *slog.Logger, text string, args ...any) {
	now, last := time.Now().UnixNano(), l.last.Load()
	if now-last < int64(quietTime) || !l.last.CompareAndSwap(last, now) {
		l.suppressed.Add(1)
		return
	}
	log.Warn(text, append(args, "not_logged", l.suppressed.Swap(0))...)
}
