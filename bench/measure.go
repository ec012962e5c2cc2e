//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"sigver/bench/proc"
	"sigver/bench/report"
	"sigver/bench/wire"
)

const (
	sampleEvery  = 250 * time.Millisecond
	stopPatience = 5 * time.Second // for drivers to say what they have, when stopped
	leftPatience = 5 * time.Second // for the server to forget who has left
	longestRest  = time.Second     // for memory to come to rest
)

var errStopped = errors.New("stopped")

func (o *options) newResult(name string) *report.Result {
	return &report.Result{
		Name:    name,
		Started: time.Now(),
		Command: o.command(),
		Commit:  commit(),
		Machine: proc.Machine(),
	}
}

// measureAll runs the scenarios against s, each with fresh processes. It returns
// what there is, with an error if that is not all.
func (o *options) measureAll(ctx context.Context, s *subject, name string, specs []spec) (*report.Result, error) {
	r := o.newResult(name)
	for _, sp := range specs {
		scenario, err := o.measure(ctx, s, sp)
		r.Server = s.about
		if scenario != nil {
			r.Scenarios = append(r.Scenarios, *scenario)
		}
		if err != nil {
			return r, fmt.Errorf("%s, %s: %w", s.about.Name, sp.name, err)
		}
	}
	return r, nil
}

// measurement is one scenario on its way.
type measurement struct {
	spec
	o      *options
	ctx    context.Context
	fleet  *fleet
	server *instance
	show   *progress
	began  time.Time
	result *report.Scenario

	from     mark // where the figures begin
	to       mark // and end
	lastSeen mark // at the last sample
}

// mark is what had been used at a moment.
type mark struct {
	at      time.Time
	server  proc.CPU
	drivers []time.Duration
	machine time.Duration // by everybody
}

// measure runs one scenario.
func (o *options) measure(ctx context.Context, s *subject, sp spec) (result *report.Scenario, err error) {
	server, err := s.start(ctx)
	if err != nil {
		return nil, err
	}
	defer func() {
		ended := server.end()
		if ended == nil || errors.Is(err, errDied) { // which is told already
			return
		}
		if result != nil {
			result.Invalid = append(result.Invalid, "The server did not end as it should.")
		}
		err = errors.Join(err, ended)
	}()
	drivers, err := startFleet(ctx, o.drivers, o.driverCores, o.patience)
	if err != nil {
		return nil, err
	}
	defer drivers.end()

	m := &measurement{
		spec: sp, o: o, ctx: ctx, fleet: drivers, server: server,
		result: &report.Scenario{Name: sp.name, Operation: sp.operation},
	}
	if err := m.fit(); err != nil {
		return nil, err
	}
	m.result.Params = m.params(o)
	m.result.Params["drivers"] = fmt.Sprint(len(m.plans(o, server.urls, o.drivers)))
	m.show = startProgress(o.messages, s.about.Name, &m.spec)
	err = m.drive()
	m.show.end()
	select {
	case <-server.died: // which explains all else
		err = server.last()
	default:
	}
	switch {
	case errors.Is(err, errStopped):
		m.note("Stopped before the end.")
	case err != nil:
		m.result.Invalid = append(m.result.Invalid, "This did not come to its end.")
	}
	if err != nil {
		m.endFigures()
	}
	return m.result, errors.Join(err, m.conclude())
}

// drive leads the drivers through the scenario.
func (m *measurement) drive() error {
	before, err := m.prepare()
	if err != nil {
		return err
	}
	m.began = time.Now()
	m.from = m.mark()
	m.lastSeen = m.from
	if err := m.fleet.run(m.plans(m.o, m.server.urls, m.o.drivers)); err != nil {
		return err
	}
	switch m.kind {
	case wire.Idle:
		err = m.driveIdle()
	case wire.Relay, wire.HotKey:
		err = m.driveRelay()
	case wire.Churn:
		err = m.driveChurn(before)
	default:
		err = m.await(m.fleet.done, 0)
		m.to = m.mark()
	}
	if err != nil {
		return err
	}
	if err := m.checkLeft(before); err != nil {
		return err
	}
	m.result.Resident.After = m.resident()
	return nil
}

// prepare warms a server whose memory is to be compared, so that what it takes
// once, for good, is not counted; and returns how many sockets it has open.
func (m *measurement) prepare() (sockets int, err error) {
	if m.kind == wire.Idle {
		warm := spec{kind: wire.Churn, pairs: 64, inFlight: 16, atOnce: 16}
		plan := warm.plans(m.o, m.server.urls, 1)[:1]
		if err := m.fleet.run(plan); err != nil {
			return 0, err
		}
		left := func() bool { return m.fleet.all(wire.Left) }
		if err := m.await(left, 0); err != nil {
			return 0, err
		}
		if err := m.fleet.tell(wire.Command{Next: true}); err != nil {
			return 0, err
		}
		if err := m.await(m.fleet.done, 0); err != nil {
			return 0, err
		}
		m.warmed()
		if err := m.await(never, m.rest()); err != nil {
			return 0, err
		}
	}
	if m.server.pids == nil {
		return 0, nil
	}
	m.result.Resident.Before = m.resident()
	return m.server.pids.sockets()
}

// warmed keeps what went wrong while the server was warmed: the drivers forget it
// with their next plan.
func (m *measurement) warmed() {
	d := m.fleet.drivers[0]
	if d.outcome != nil && len(d.outcome.Errors) > 0 {
		m.note("Errors of the clients that warmed the server are counted too.")
		m.errors(d.outcome)
	}
	d.outcome, d.idle = nil, true
}

func never() bool { return false }

// rest is how long a server is left alone before its memory is read.
func (m *measurement) rest() time.Duration { return min(longestRest, m.quiet) }

// step waits until all drivers have reached a phase, and sends them on.
func (m *measurement) step(phase string) error {
	if err := m.await(func() bool { return m.fleet.all(phase) }, 0); err != nil {
		return err
	}
	return m.fleet.tell(wire.Command{Next: true})
}

// driveIdle fills the server, looks at it and empties it.
func (m *measurement) driveIdle() error {
	kernel, kernelErr := proc.ReadKernel()
	if err := m.await(func() bool { return m.fleet.all(wire.Connected) }, 0); err != nil {
		return err
	}
	m.to = m.mark()
	r := m.result
	r.FillSeconds = m.to.at.Sub(m.from.at).Seconds()
	if err := m.await(m.fleet.done, m.rest()); err != nil {
		return err
	}
	start := m.mark()
	if err := m.await(m.fleet.done, m.quiet); err != nil {
		return err
	}
	end := m.mark()
	if m.server.pids != nil {
		r.IdleCPU = end.server.Sub(start.server).Total.Seconds() / end.at.Sub(start.at).Seconds()
	}
	now, _ := m.fleet.now()
	if n := float64(now.Connections); n > 0 {
		if m.server.pids != nil {
			r.BytesPerConnection = float64(m.resident()-r.Resident.Before) / n
		}
		m.kernelShare(kernel, kernelErr, n)
	}
	if err := m.fleet.tell(wire.Command{Next: true}); err != nil {
		return err
	}
	err := m.await(m.fleet.done, 0)
	r.EmptySeconds = time.Since(end.at).Seconds()
	return err
}

// kernelShare divides what the kernel's memory has grown by, unless the growth
// has other reasons too.
func (m *measurement) kernelShare(before proc.Kernel, err error, clients float64) {
	if err != nil || !loopback(m.server.urls[0]) {
		return
	}
	now, err := proc.ReadKernel()
	if err != nil {
		return
	}
	if gone := before.TimeWait - now.TimeWait; float64(gone) > clients/20 {
		m.note("The kernel forgot closed connections of earlier runs meanwhile, so what its memory grew by says nothing.")
		return
	}
	m.result.KernelPerConnection = float64(now.Slab-before.Slab+now.Sockets-before.Sockets) / clients
}

// driveRelay lets everybody connect, lets them bounce messages for a while that
// does not count and one that does.
func (m *measurement) driveRelay() error {
	if err := m.step(wire.Connected); err != nil {
		return err
	}
	if err := m.await(m.fleet.done, m.warmUp); err != nil {
		return err
	}
	if err := m.fleet.tell(wire.Command{Next: true}); err != nil {
		return err
	}
	if err := m.await(func() bool { return m.fleet.all(wire.Measuring) }, 0); err != nil {
		return err
	}
	m.from = m.mark()
	err := m.await(m.fleet.done, m.duration)
	m.to = m.mark()
	if err != nil {
		return err
	}
	if err := m.fleet.tell(wire.Command{Next: true}); err != nil {
		return err
	}
	return m.await(m.fleet.done, 0)
}

// driveChurn lets clients come and go, and looks what has stayed.
func (m *measurement) driveChurn(sockets int) error {
	if err := m.await(func() bool { return m.fleet.all(wire.Left) }, 0); err != nil {
		return err
	}
	m.to = m.mark()
	if err := m.checkLeft(sockets); err != nil {
		return err
	}
	if err := m.fleet.tell(wire.Command{Next: true}); err != nil {
		return err
	}
	return m.await(m.fleet.done, 0)
}

// checkLeft gives the server time to close the sockets of clients that have
// left, and counts those that it does not close. Of a server that others may use too
// nothing is known. One that has died has none left, but no good end either.
func (m *measurement) checkLeft(before int) error {
	if m.server.died == nil {
		return nil
	}
	left := 0
	for deadline := time.Now().Add(leftPatience); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		now, err := m.server.pids.sockets()
		if err != nil {
			return err
		}
		if left = now - before; left <= 0 {
			return nil
		}
	}
	m.fault("left behind", int64(left))
	m.note("The server still has %d sockets open %s after everybody left.", left, leftPatience)
	return nil
}

func (m *measurement) fault(kind string, n int64) {
	if m.result.Errors == nil {
		m.result.Errors = make(map[string]int64)
	}
	m.result.Errors[kind] += n
}

func (m *measurement) note(format string, args ...any) {
	m.result.Notes = append(m.result.Notes, fmt.Sprintf(format, args...))
}

// await heeds the drivers and takes samples until done or, if limit is not 0,
// until that has passed. Without a limit it is an error if nothing happens for
// longer than any step of a client may take.
func (m *measurement) await(done func() bool, limit time.Duration) error {
	var out <-chan time.Time
	if limit > 0 {
		out = time.After(limit)
	}
	tick := time.NewTicker(sampleEvery)
	defer tick.Stop()
	moves, moved := m.fleet.moves(), time.Now()
	for !done() {
		select {
		case r := <-m.fleet.reports:
			if err := r.heed(); err != nil {
				return err
			}
		case <-tick.C:
			m.sample()
			if now := m.fleet.moves(); now != moves {
				moves, moved = now, time.Now()
			} else if limit == 0 && time.Since(moved) > m.patience() {
				return fmt.Errorf("nothing has happened for %s: %s", m.patience().Round(time.Second), m.fleet.whereabouts())
			}
		case <-out:
			return nil
		case <-m.server.died:
			return m.server.last()
		case <-m.ctx.Done():
			return m.stop()
		}
	}
	return nil
}

// patience is how long nothing may happen. Each client gives up earlier, if its
// driver is alive, and the next session of an open loop begins earlier.
func (m *measurement) patience() time.Duration {
	if m.rate > 0 {
		return m.o.patience + time.Duration(2*float64(m.o.drivers)/m.rate*float64(time.Second))
	}
	return m.o.patience
}

// stop lets the drivers say what they have.
func (m *measurement) stop() error {
	m.endFigures()
	if err := m.fleet.tell(wire.Command{Stop: true}); err != nil {
		return err
	}
	out := time.After(stopPatience)
	for !m.fleet.done() {
		select {
		case r := <-m.fleet.reports:
			if err := r.heed(); err != nil {
				return err
			}
		case <-out:
			return errStopped
		}
	}
	return errStopped
}

// endFigures ends them here, unless they have ended before.
func (m *measurement) endFigures() {
	if m.to.at.IsZero() {
		m.to = m.mark()
	}
}

func (m *measurement) mark() mark {
	now := mark{at: time.Now(), drivers: m.fleet.cpu()}
	now.machine, _ = proc.BusyCPU() // 0 if it cannot be read
	if beside, err := m.server.beside.cpu(); err == nil {
		now.machine -= beside.Total
	}
	if m.server.pids != nil {
		// Fails if the server is dead, which is told elsewhere.
		now.server, _ = m.server.pids.cpu()
	}
	return now
}

func (m *measurement) resident() int64 {
	if m.server.pids == nil {
		return 0
	}
	n, _ := m.server.pids.resident()
	m.result.Resident.Peak = max(m.result.Resident.Peak, n)
	return n
}

// sample notes how things are.
func (m *measurement) sample() {
	if m.began.IsZero() {
		return // still preparing
	}
	total, rate := m.fleet.now()
	s := report.Sample{
		Second:      time.Since(m.began).Seconds(),
		Rate:        rate,
		Connections: total.Connections,
		Resident:    m.resident(),
	}
	now := m.mark()
	if span := now.at.Sub(m.lastSeen.at); span > 0 {
		s.ServerCPU = now.server.Sub(m.lastSeen.server).Total.Seconds() / span.Seconds()
	}
	m.lastSeen = now
	m.result.Samples = append(m.result.Samples, s)
	m.result.Connections = max(m.result.Connections, total.Connections)
	m.show.update(total, rate)
}
