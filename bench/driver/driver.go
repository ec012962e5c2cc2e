//go:build linux

// Package driver is the client side of the load: a process that holds thousands
// of connections on one event loop and does what a wire.Plan says.
//
// Everything but the reading of commands happens on the loop's goroutine, so
// nothing here is locked. An entry to the loop's code is a turn: the clock is
// read, callbacks run, and what they left to be sent is written. Once the load
// runs, a message costs no allocation.
package driver

import (
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"time"

	"sigver/bench/wire"
	"sigver/poller"
)

const (
	sweepEvery = 50 * time.Millisecond
	paceEvery  = time.Millisecond // grid of intended starts in an open loop
	readSize   = 256 << 10

	// gcPercent: a driver's heap is small, and collecting it is not what is to
	// be measured.
	gcPercent = 400
)

// scenario is one kind of load. Its methods run on the loop.
type scenario interface {
	// start begins; the scenario ends by calling driver.finish.
	start()
	// next goes on from a phase that was reported.
	next()
	// opened: the server has accepted the WebSocket.
	opened(c *conn)
	// got is called for every message. m is valid until it returns.
	got(c *conn, m *message)
	// gone: the connection has ended, as was asked for if clean; if not, that
	// has been counted.
	gone(c *conn, clean bool)
}

// swept is a scenario that wants to be called each sweepEvery.
type swept interface{ swept() }

// paced is a scenario that wants to be called each paceEvery if it has a rate.
type paced interface{ pace() }

// Main runs a driver process: commands from in, reports to out, until in ends.
func Main(in io.Reader, out io.Writer) error {
	debug.SetGCPercent(gcPercent)
	files, err := poller.RaiseFileLimit()
	if err != nil {
		return err
	}
	d := &driver{
		out:   wire.NewWriter(out),
		began: time.Now(),
		read:  make([]byte, readSize),
	}
	d.loop, err = poller.Open(func(err error) { d.fatal(err) })
	if err != nil {
		return err
	}
	defer d.loop.Close()
	if err := d.loop.Every(sweepEvery, d.sweep); err != nil {
		return err
	}
	if err := d.out.Write(wire.Report{Limits: &wire.Limits{OpenFiles: files}}); err != nil {
		return err
	}
	commands := wire.NewReader[wire.Command](in)
	for {
		command, err := commands.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		d.loop.Post(func() { d.obey(&command) })
	}
}

type driver struct {
	loop  *poller.Loop
	out   *wire.Writer
	began time.Time

	// Loop only.
	now     int64 // nanoseconds since began, at the begin of this turn
	read    []byte
	message message  // that is being dealt with
	spare   [][]byte // buffers that no connection uses
	dirty   []*conn  // connections with something to send
	conns   []*conn  // all that have a socket
	peak    int      // most of them at once
	moves   int64    // see wire.Tick
	sweeps  int
	pacing  bool  // the timer of pace exists
	counted int64 // when the counting of operations began

	plan     *wire.Plan
	dialer   *dialer
	tally    tally
	scenario scenario // nil: no plan
}

func (d *driver) clock() int64 { return int64(time.Since(d.began)) }

func (d *driver) beginTurn() { d.now = d.clock() }

// endTurn ends a turn.
func (d *driver) endTurn() {
	// Flushing can end a connection, and what its scenario does then can make
	// others dirty.
	for i := 0; i < len(d.dirty); i++ {
		c := d.dirty[i]
		c.queued = false
		c.flush()
	}
	clear(d.dirty)
	d.dirty = d.dirty[:0]
	if d.scenario != nil && d.tally.errors >= d.plan.GiveUp {
		d.end(true)
	}
}

func (d *driver) obey(command *wire.Command) {
	d.beginTurn()
	defer d.endTurn()
	switch {
	case command.Run != nil:
		d.run(command.Run)
	case d.scenario == nil:
		// Next or Stop for a plan that ended while the command was on its way.
	case command.Next:
		d.scenario.next()
	case command.Stop:
		d.end(true)
	}
}

func (d *driver) run(plan *wire.Plan) {
	var err error
	if d.dialer, err = newDialer(plan); err != nil {
		d.fatal(err)
		return
	}
	d.plan, d.tally, d.peak, d.counted = plan, newTally(), 0, d.now
	switch plan.Scenario {
	case wire.Sessions:
		d.scenario = newSessions(d)
	case wire.Idle:
		d.scenario = newIdle(d)
	case wire.Relay:
		d.scenario = newRelay(d, false)
	case wire.HotKey:
		d.scenario = newRelay(d, true)
	case wire.Churn:
		d.scenario = newChurn(d)
	case wire.Joins:
		d.scenario = &joins{d: d}
	default:
		d.fatal(fmt.Errorf("there is no scenario %q", plan.Scenario))
		return
	}
	if plan.Rate > 0 && !d.pacing {
		// A loop keeps its timers; this one serves later plans too.
		d.pacing = true
		if err := d.loop.Every(paceEvery, d.pace); err != nil {
			d.fatal(err)
			return
		}
	}
	d.scenario.start()
}

func (d *driver) pace() {
	d.beginTurn()
	if p, wants := d.scenario.(paced); wants && d.plan.Rate > 0 {
		p.pace()
	}
	d.endTurn()
}

// reached reports a phase.
func (d *driver) reached(phase string) {
	d.report(wire.Report{Reached: &wire.Phase{Name: phase, Tick: d.tick()}})
}

// count lets operations and latencies be counted from here.
func (d *driver) count() {
	d.counted = d.now
	d.tally.operations, d.tally.parts = 0, 0
	d.tally.latency.Reset()
}

// finish ends the plan as it was meant to end.
func (d *driver) finish() { d.end(false) }

// end reports the outcome and drops what is still connected.
func (d *driver) end(stopped bool) {
	outcome := &wire.Outcome{
		Tick:     d.tick(),
		Peak:     d.peak,
		Errors:   d.tally.kinds,
		Examples: d.tally.examples,
		Stopped:  stopped,
		Failed:   d.tally.failed,
		Sent:     d.tally.sent,
		Arrived:  d.tally.arrived,
	}
	if d.tally.latency.TotalCount() > 0 {
		var err error
		if outcome.Latency, err = d.tally.latency.EncodeV2(); err != nil {
			d.fatal(err)
			return
		}
	}
	d.scenario = nil
	for len(d.conns) > 0 {
		d.conns[len(d.conns)-1].drop()
	}
	d.report(wire.Report{Done: outcome})
}

func (d *driver) tick() wire.Tick {
	return wire.Tick{
		Operations:  d.tally.operations,
		Connections: len(d.conns),
		Errors:      d.tally.errors,
		Seconds:     time.Duration(d.now - d.counted).Seconds(),
		Progress:    float64(d.tally.operations) + d.tally.parts,
		Moves:       d.moves,
	}
}

func (d *driver) report(r wire.Report) {
	// Fails when the coordinator is gone; then the input ends too.
	_ = d.out.Write(r)
}

func (d *driver) fatal(err error) {
	d.scenario = nil
	d.report(wire.Report{Fatal: err.Error()})
}

// sweep finds the connections that have waited too long.
func (d *driver) sweep() {
	d.beginTurn()
	// Backwards, because a removed entry is replaced by the last one. What a
	// timeout leads to can remove others too.
	for i := len(d.conns) - 1; i >= 0; i-- {
		if i >= len(d.conns) {
			continue
		}
		if c := d.conns[i]; c.deadline != 0 && d.now > c.deadline {
			c.fail(faultTimeout, "%s took more than %s", c.awaited, d.plan.Timeout)
		}
	}
	if s, wants := d.scenario.(swept); wants {
		s.swept()
	}
	const sweepsOfTick = int(wire.TickEvery / sweepEvery)
	if d.sweeps++; d.scenario != nil && d.sweeps%sweepsOfTick == 0 {
		tick := d.tick()
		d.report(wire.Report{Tick: &tick})
	}
	d.endTurn()
}

// takeBuffer returns an empty buffer, giveBuffer keeps one for the next.
func (d *driver) takeBuffer() []byte {
	if n := len(d.spare); n > 0 {
		b := d.spare[n-1]
		d.spare = d.spare[:n-1]
		return b
	}
	return make([]byte, 0, 4096)
}

func (d *driver) giveBuffer(b []byte) {
	const kept = 64 << 10
	if cap(b) > 0 && cap(b) <= kept {
		d.spare = append(d.spare, b[:0])
	}
}
