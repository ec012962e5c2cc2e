//go:build linux

package main

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/dustin/go-humanize"

	"sigver/bench/report"
	"sigver/bench/wire"
)

// busy is the share of a core above which a driver may have been what was
// measured.
const busy = 0.9

func comma(n int) string { return humanize.Comma(int64(n)) }

// conclude puts the figures of the drivers together.
func (m *measurement) conclude() error {
	r := m.result
	if m.began.IsZero() { // it has not come to the load
		m.warmed()
		m.judge()
		return nil
	}
	var latency *hdrhistogram.Histogram
	var errs []error
	for _, d := range m.fleet.drivers {
		if d.idle {
			continue
		}
		if d.outcome == nil { // dead; what it said last is all there is
			r.Operations += d.tick.Operations
			continue
		}
		m.enter(d.outcome)
		if len(d.outcome.Latency) == 0 {
			continue
		}
		h, err := hdrhistogram.Decode(d.outcome.Latency)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("latency of a driver: %w", err))
		case latency == nil:
			latency = h
		default:
			latency.Merge(h)
		}
	}
	m.lost()
	m.undone()
	if latency != nil {
		r.Latency = distribution(m.latency, latency)
	}
	m.rates()
	m.judge()
	return errors.Join(errs...)
}

// enter adds the outcome of one driver.
func (m *measurement) enter(d *wire.Outcome) {
	r := m.result
	r.Operations += d.Tick.Operations
	m.errors(d)
	if d.Stopped && m.ctx.Err() == nil {
		m.note("A driver gave up after %s errors.", humanize.Comma(d.Tick.Errors))
	}
	// Samples can miss the moment when most are connected.
	peak := 0
	for _, other := range m.fleet.drivers {
		if other.outcome != nil && !other.idle {
			peak += other.outcome.Peak
		}
	}
	r.Connections = max(r.Connections, peak)
}

// errors adds those of one driver.
func (m *measurement) errors(d *wire.Outcome) {
	for kind, n := range d.Errors {
		m.fault(kind, n)
	}
	for _, example := range d.Examples {
		m.note("For example, %s.", example)
	}
}

// lost counts the messages that arrived nowhere. A message may arrive at a driver
// that did not send it, so nobody else can. When the drivers were stopped, there
// was no time for the last ones to arrive.
func (m *measurement) lost() {
	sent, whole := m.sum(func(o *wire.Outcome) int64 { return o.Sent })
	arrived, _ := m.sum(func(o *wire.Outcome) int64 { return o.Arrived })
	if n := sent - arrived; whole && n > 0 {
		m.fault("lost", n)
		m.note("%s of %s messages were sent and never arrived.", humanize.Comma(n), humanize.Comma(sent))
	}
}

// sum adds up a figure of all drivers. It is not whole if one has no outcome, or was
// stopped before its end.
func (m *measurement) sum(figure func(*wire.Outcome) int64) (total int64, whole bool) {
	for _, d := range m.fleet.drivers {
		switch {
		case d.idle:
		case d.outcome == nil || d.outcome.Stopped:
			return 0, false
		default:
			total += figure(d.outcome)
		}
	}
	return total, true
}

// undone counts what was asked for and neither came about nor failed. A relay has
// as much to do as there is time.
func (m *measurement) undone() {
	if m.kind == wire.Relay || m.kind == wire.HotKey {
		return
	}
	over, whole := m.sum(func(o *wire.Outcome) int64 { return o.Tick.Operations + o.Failed })
	if n := int64(m.pairs) - over; whole && n > 0 {
		m.fault("not done", n)
		m.note("Of %s %ss, %s were never begun or have no end.", comma(m.pairs), m.operation, humanize.Comma(n))
	}
}

// rates divides. CPU is that of the span between the two marks. Operations are of
// that span too where there is a number of them to be done, all of it between the
// marks. Those of a relay are of the spans in which its drivers counted, which begin
// a little before the first mark and end a little after the second one: their rate
// is that of the drivers' own seconds, and CPU per operation is CPU per second
// divided by that rate.
func (m *measurement) rates() {
	r := m.result
	if m.from.at.IsZero() || !m.to.at.After(m.from.at) {
		return
	}
	span := m.to.at.Sub(m.from.at).Seconds()
	r.Seconds, r.Rate = span, float64(r.Operations)/span
	if rate := m.relayRate(); rate > 0 {
		r.Seconds, r.Rate = float64(r.Operations)/rate, rate
	}
	used := m.to.server.Sub(m.from.server)
	if m.server.pids != nil {
		r.ServerCPU = used.Total.Seconds() / span
	}
	var drivers time.Duration
	for i, end := range m.to.drivers {
		spent := end - m.from.drivers[i]
		drivers += spent
		r.DriverCPU = max(r.DriverCPU, spent.Seconds()/span)
	}
	if r.Operations == 0 {
		return
	}
	per := func(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) / span / r.Rate }
	r.UserMicros, r.SystemMicros = per(used.User()), per(used.System())
	m.crowded(drivers.Seconds() / span)
	if m.server.pids != nil {
		m.disturbed((m.to.machine - m.from.machine - used.Total - drivers).Seconds() / span)
	}
}

// relayRate returns what the drivers of a relay have counted in a second, or 0 if
// it is none.
func (m *measurement) relayRate() (rate float64) {
	if m.kind != wire.Relay && m.kind != wire.HotKey {
		return 0
	}
	for _, d := range m.fleet.drivers {
		if counted := d.counted(); !d.idle && counted.Seconds > 0 {
			rate += float64(counted.Operations) / counted.Seconds
		}
	}
	return rate
}

// crowded sees whether the drivers had room to do their work. A rate that was set
// makes no difference: a driver without time sees messages late. While a server is
// filled with idle Openers it is said of rate and latency only, since what counts
// there is the memory.
func (m *measurement) crowded(drivers float64) {
	r := m.result
	cores := float64(len(m.o.driverCores))
	tight := r.DriverCPU > busy || cores > 0 && drivers > busy*cores
	var said string
	switch {
	case !tight || m.server.pids != nil && r.ServerCPU > busy*m.capacity():
		return
	case m.server.pids == nil:
		said = fmt.Sprintf("The drivers were busy (%.0f %% of a core each at most), so the client may have been the bottleneck; give it more --drivers.", 100*r.DriverCPU)
	case m.sharedCores() && r.ServerCPU+drivers > busy*float64(runtime.NumCPU()):
		m.note("Server and drivers share the cores and used them up: rate and latency are of both. CPU per %s is the server's.", m.operation)
		return
	default:
		said = fmt.Sprintf("The client was the bottleneck: a driver used %.0f %% of a core, all of them %.2f cores, the server %.2f of the %.0f that it can use. Rate and latency are the client's; CPU per %s is still the server's.",
			100*r.DriverCPU, drivers, r.ServerCPU, m.capacity(), m.operation)
	}
	if m.kind == wire.Idle {
		r.ClientBound = append(r.ClientBound, said)
		return
	}
	r.Invalid = append(r.Invalid, said)
}

// capacity is how many cores the server can use: as many as it has loops, and no
// more than there are for it.
func (m *measurement) capacity() float64 {
	cores := len(m.o.serverCores)
	if cores == 0 {
		cores = runtime.NumCPU()
	}
	if m.server.loops > 0 {
		cores = min(cores, m.server.loops)
	}
	return float64(cores)
}

// sharedCores says whether drivers may run where the server does.
func (m *measurement) sharedCores() bool {
	if len(m.o.serverCores) == 0 || len(m.o.driverCores) == 0 {
		return true
	}
	return slices.ContainsFunc(m.o.driverCores, func(core int) bool { return slices.Contains(m.o.serverCores, core) })
}

// disturbed sees whether others used the machine meanwhile: so many cores.
func (m *measurement) disturbed(others float64) {
	const much, tooMuch = 0.2, 0.5
	switch {
	case m.result.Seconds < 1: // too short to tell, the kernel counts in ticks
	case others > tooMuch:
		m.result.Invalid = append(m.result.Invalid, fmt.Sprintf("Others used %.1f cores of this machine meanwhile.", others))
	case others > much:
		m.note("Others used %.1f cores of this machine meanwhile.", others)
	}
}

// judge says what is wrong with the run as a whole.
func (m *measurement) judge() {
	r := m.result
	if missing := m.demand - r.Connections; missing > 0 && m.ctx.Err() == nil {
		m.fault("not connected", int64(missing))
		m.note("%s connections were held instead of %s.", comma(r.Connections), comma(m.demand))
	}
	if r.Operations == 0 {
		r.Invalid = append(r.Invalid, "Nothing was done.")
	}
	if m.rate > 0 && r.Rate < 0.95*m.rate && m.ctx.Err() == nil {
		m.note("Of %.0f sessions a second that were begun, %.0f were finished: the server or the client did not keep up.", m.rate, r.Rate)
	}
}

// remark adds to each scenario what the figures say about the drivers. It is done
// last, since medians have figures of their own.
func remark(r *report.Result) {
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		if s.Rate == 0 || s.DriverCPU == 0 {
			continue
		}
		driver := "the driver"
		if n := s.Params["drivers"]; n != "1" {
			driver = "the busiest of " + n + " drivers"
		}
		text := fmt.Sprintf("CPU per %s: %s %.2f µs", s.Operation, driver, s.DriverCPU/s.Rate*1e6)
		if r.Server.Local {
			text += fmt.Sprintf(", the server %.2f µs", s.CPUMicros())
		}
		s.Notes = append(s.Notes, text+".")
	}
}

// distribution converts a histogram.
func distribution(what string, h *hdrhistogram.Histogram) report.Latency {
	const micros = float64(wire.LatencyUnit) / float64(time.Microsecond)
	at := func(percent float64) float64 { return float64(h.ValueAtQuantile(percent)) * micros }
	l := report.Latency{
		What:  what,
		Count: h.TotalCount(),
		Mean:  h.Mean() * micros,
		P50:   at(50),
		P90:   at(90),
		P99:   at(99),
		P999:  at(99.9),
		Max:   float64(h.Max()) * micros,
	}
	for _, b := range h.CumulativeDistribution() {
		l.Points = append(l.Points, report.Point{Share: b.Quantile / 100, Micros: float64(b.ValueAt) * micros})
	}
	return l
}
