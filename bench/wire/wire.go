// Package wire is what the coordinator and its driver processes say to each
// other: JSON values, one a line, over the driver's standard input and output.
//
// A driver greets with a Report that has Limits. It is then given a Plan. It
// reports each phase that it has Reached and waits for Next, it reports a Tick
// every TickEvery all along, and its Outcome at the end. Another Plan may follow.
// Stop makes it report the outcome that it has. The driver ends when its input
// does.
package wire

import (
	"encoding/json"
	"io"
	"sync"
	"time"
)

// TickEvery is how often a driver says how far it is.
const TickEvery = 250 * time.Millisecond

// Scenarios that a driver knows.
const (
	Sessions = "sessions"
	Idle     = "idle"
	Relay    = "relay"
	Churn    = "churn"
	HotKey   = "hotkey"
	Joins    = "joins"
)

// Phases that a driver reports as Reached. At all but Halted it waits for Next.
const (
	Connected = "connected" // idle, relay, hotkey: everybody is where the load begins
	Measuring = "measuring" // relay, hotkey: the warm-up is over, figures count from here
	Halted    = "halted"    // relay, hotkey: nobody sends any more, and figures are whole
	Left      = "left"      // churn: everybody has left
)

// Command is a line to a driver.
type Command struct {
	Run  *Plan `json:"run,omitempty"`
	Next bool  `json:"next,omitempty"`
	Stop bool  `json:"stop,omitempty"`
}

// Plan is what one driver has to do.
type Plan struct {
	Scenario string `json:"scenario"`
	// Targets are ws:// or wss:// URLs: one, or all nodes of a cluster, which take
	// clients in turn. A Joining connects so many nodes further than its Opener.
	Targets  []string `json:"targets"`
	Apart    int      `json:"apart,omitempty"`
	Insecure bool     `json:"insecure,omitempty"` // do not check the certificate

	Driver int    `json:"driver"` // this one's number, below 128
	Nonce  uint32 `json:"nonce"`  // makes the keys of this run its own

	Pairs    int     `json:"pairs"`             // sessions, pairs, Openers, opens or Joinings of this driver
	AtOnce   int     `json:"at_once"`           // how many of them at most at the same time
	InFlight int     `json:"in_flight"`         // how many of them on their way, rather than waiting or done
	Rate     float64 `json:"rate,omitempty"`    // begin so many a second, whatever the server does; 0: closed loop
	Size     int     `json:"size,omitempty"`    // bytes of a message's data
	Depth    int     `json:"depth,omitempty"`   // messages in flight of one pair
	Trickle  bool    `json:"trickle,omitempty"` // a write for every message, rather than for every turn

	Timeout time.Duration `json:"timeout"` // for any one step
	Settle  time.Duration `json:"settle"`  // silence after which what has not arrived is lost
	GiveUp  int64         `json:"give_up"` // errors after which the driver stops
}

// Report is a line from a driver. One field is set.
type Report struct {
	Limits  *Limits  `json:"limits,omitempty"`
	Tick    *Tick    `json:"tick,omitempty"`
	Reached *Phase   `json:"reached,omitempty"`
	Done    *Outcome `json:"done,omitempty"`
	Fatal   string   `json:"fatal,omitempty"` // the driver cannot go on
}

// Limits is what the driver's process may do.
type Limits struct {
	OpenFiles int `json:"open_files"`
}

// Tick is how far a driver is. Operations count from the last Measuring on, and
// so do Seconds.
type Tick struct {
	Operations  int64   `json:"operations"`
	Connections int     `json:"connections"`
	Errors      int64   `json:"errors"`
	Seconds     float64 `json:"seconds"`
	Progress    float64 `json:"progress"` // Operations, and of those on their way the part that is done
	Moves       int64   `json:"moves"`    // messages and connections that came or went: it rises while anything happens
}

// Phase is a point that a driver has reached.
type Phase struct {
	Name string `json:"name"`
	Tick Tick   `json:"tick"`
}

// Outcome is what came of a plan.
type Outcome struct {
	Tick     Tick             `json:"tick"`
	Peak     int              `json:"peak"` // connections at once
	Errors   map[string]int64 `json:"errors,omitempty"`
	Examples []string         `json:"examples,omitempty"` // of errors, in words
	Latency  []byte           `json:"latency,omitempty"`  // HDR histogram, V2 encoding, in LatencyUnit
	Stopped  bool             `json:"stopped,omitempty"`  // by Stop or GiveUp, before the end
	Failed   int64            `json:"failed,omitempty"`   // operations that were begun and came to nothing

	// Messages with data. What was sent and did not arrive, whole or not, here
	// or at another driver, is lost.
	Sent    int64 `json:"sent"`
	Arrived int64 `json:"arrived"`
}

// LatencyUnit is what the integers of a latency histogram count.
const LatencyUnit = 100 * time.Nanosecond

// Writer writes lines. It may be used by several goroutines.
type Writer struct {
	mu  sync.Mutex
	enc *json.Encoder
}

// NewWriter returns a Writer to w.
func NewWriter(w io.Writer) *Writer { return &Writer{enc: json.NewEncoder(w)} }

// Write writes v and the end of the line in one call of the underlying Write.
func (w *Writer) Write(v any) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.enc.Encode(v)
}

// Reader reads lines.
type Reader[T any] struct{ dec *json.Decoder }

// NewReader returns a Reader of r.
func NewReader[T any](r io.Reader) *Reader[T] { return &Reader[T]{json.NewDecoder(r)} }

// Read returns the next value, or io.EOF.
func (r *Reader[T]) Read() (T, error) {
	var v T
	err := r.dec.Decode(&v)
	return v, err
}
