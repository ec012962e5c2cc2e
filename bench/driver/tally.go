//go:build linux

package driver

import (
	"fmt"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"sigver/bench/wire"
)

// Kinds of errors, as they are shown. There is another, lost: the coordinator sees
// it when it adds up what the drivers sent and got.
const (
	faultConnect      = "connect"      // TCP or TLS did not come about
	faultHandshake    = "handshake"    // the server did not answer with 101
	faultTimeout      = "timeout"      // a step took too long
	faultClosed       = "closed"       // the server ended a connection that it had no reason to end
	faultKey          = "key refused"  // isKeyOk was false
	faultProtocol     = "protocol"     // a frame or message that has no place here
	faultDoubled      = "doubled"      // arrived again
	faultReordered    = "reordered"    // arrived after a later one
	faultMisdelivered = "misdelivered" // arrived at somebody else
	faultCorrupted    = "corrupted"    // arrived changed
	faultLeft         = "left behind"  // the server remembers what should be gone
)

// examplesOfAKind is how many errors of each kind are told in words.
const examplesOfAKind = 2

// tally counts what happens.
type tally struct {
	operations int64
	failed     int64   // operations that came to nothing
	parts      float64 // of operations that are on their way
	errors     int64
	kinds      map[string]int64
	examples   []string
	latency    *hdrhistogram.Histogram

	// Messages with data; what came again has not arrived.
	sent    int64
	arrived int64
}

func newTally() tally {
	const longest = int64(10 * time.Minute / wire.LatencyUnit)
	return tally{kinds: make(map[string]int64), latency: hdrhistogram.New(1, longest, 3)}
}

func (t *tally) fault(kind, format string, args ...any) {
	t.errors++
	if t.kinds[kind] < examplesOfAKind {
		t.examples = append(t.examples, kind+": "+fmt.Sprintf(format, args...))
	}
	t.kinds[kind]++
}

// took records a latency in nanoseconds.
func (t *tally) took(nanos int64) {
	// Fails above the range only; then the longest that there is says enough.
	if t.latency.RecordValue(max(1, nanos/int64(wire.LatencyUnit))) != nil {
		_ = t.latency.RecordValue(t.latency.HighestTrackableValue())
	}
}
