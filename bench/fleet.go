//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"time"

	"sigver/bench/proc"
	"sigver/bench/wire"
)

// fleet is the driver processes of one scenario. It is used by one goroutine.
type fleet struct {
	drivers []*member
	reports chan memberReport
	over    chan struct{} // closed when nobody listens to reports any more
}

// member is one driver process and what it has said last.
type member struct {
	*proc.Process

	in      io.WriteCloser
	out     *wire.Writer
	files   int           // it may have open
	tick    wire.Tick     // the last
	rate    float64       // operations per second between the last two
	reports int64         // phases that it has reached, and plans that are done
	phase   string        // the last that it reached
	halted  wire.Tick     // what it said when a relay was over; zero: it has not been
	outcome *wire.Outcome // nil: not done
	idle    bool          // it has no plan
}

// memberReport is a line of a driver, or the end of its output.
type memberReport struct {
	from   *member
	report wire.Report
	err    error
}

// startFleet starts drivers and waits until they are there, which must not take
// longer than patience.
func startFleet(ctx context.Context, size int, cores proc.Cores, patience time.Duration) (*fleet, error) {
	f := &fleet{reports: make(chan memberReport), over: make(chan struct{})}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	for range size {
		m, output, err := startMember(self, cores)
		if err != nil {
			f.end()
			return nil, err
		}
		f.drivers = append(f.drivers, m)
		go f.listen(m, output)
	}
	late := time.After(patience)
	for waiting := size; waiting > 0; {
		select {
		case r := <-f.reports:
			if r.err != nil || r.report.Limits == nil {
				f.end()
				return nil, fmt.Errorf("a driver did not start: %w", r.err)
			}
			r.from.files = r.report.Limits.OpenFiles
			waiting--
		case <-late:
			f.end()
			return nil, fmt.Errorf("%d of %d drivers did not start within %s", waiting, size, patience)
		case <-ctx.Done():
			f.end()
			return nil, ctx.Err()
		}
	}
	return f, nil
}

// startMember returns a driver and its output.
func startMember(self string, cores proc.Cores) (*member, io.ReadCloser, error) {
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), driverVariable+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, nil, err
	}
	// Not StdoutPipe, which Wait closes while there may still be something in it.
	output, stdout, err := os.Pipe()
	if err != nil {
		return nil, nil, err
	}
	cmd.Stdout = stdout
	p, err := proc.Start(cmd, cores)
	_ = stdout.Close() // the driver has its own
	if err != nil {
		_ = output.Close()
		return nil, nil, err
	}
	return &member{Process: p, in: in, out: wire.NewWriter(in), idle: true}, output, nil
}

// listen passes on what a driver says, until it says nothing any more.
func (f *fleet) listen(m *member, output io.ReadCloser) {
	defer output.Close()
	lines := wire.NewReader[wire.Report](output)
	for {
		report, err := lines.Read()
		select {
		case f.reports <- memberReport{m, report, err}:
		case <-f.over:
			return
		}
		if err != nil {
			return
		}
	}
}

// end ends the drivers.
func (f *fleet) end() {
	close(f.over)
	for _, m := range f.drivers {
		_ = m.in.Close() // which it takes as a wish
	}
	for _, m := range f.drivers {
		select {
		case <-m.Done():
		case <-time.After(2 * time.Second):
			_ = m.Stop() // its outcome is there, or why there is none
		}
	}
}

// run gives each driver its plan.
func (f *fleet) run(plans []wire.Plan) error {
	for i := range plans {
		m := f.drivers[i]
		m.tick, m.halted, m.rate, m.phase, m.outcome, m.idle = wire.Tick{}, wire.Tick{}, 0, "", nil, false
		if err := m.out.Write(wire.Command{Run: &plans[i]}); err != nil {
			return err
		}
	}
	for _, m := range f.drivers[len(plans):] {
		m.idle = true
	}
	return nil
}

// tell sends a command to the drivers that are at work.
func (f *fleet) tell(command wire.Command) error {
	for _, m := range f.drivers {
		if m.idle || m.outcome != nil {
			continue
		}
		if err := m.out.Write(command); err != nil {
			return err
		}
	}
	return nil
}

// heed notes a report.
func (r *memberReport) heed() error {
	m := r.from
	switch {
	case errors.Is(r.err, io.EOF):
		return errors.New("a driver has died")
	case r.err != nil:
		return fmt.Errorf("a driver speaks strangely: %w", r.err)
	case r.report.Fatal != "":
		return fmt.Errorf("a driver cannot go on: %s", r.report.Fatal)
	case r.report.Tick != nil:
		m.entered(*r.report.Tick)
	case r.report.Reached != nil:
		m.reports++
		if m.phase = r.report.Reached.Name; m.phase == wire.Halted {
			m.halted = r.report.Reached.Tick
		}
	case r.report.Done != nil:
		m.reports++
		m.outcome = r.report.Done
		m.tick = m.outcome.Tick
		m.rate = 0
	}
	return nil
}

// entered notes a tick, and the rate since the one before.
func (m *member) entered(t wire.Tick) {
	if span := t.Seconds - m.tick.Seconds; span > 0 {
		m.rate = max(0, t.Progress-m.tick.Progress) / span
	}
	m.tick = t
}

// counted returns the operations of a relay and the seconds in which they were
// counted: until it was over, or the driver had to stop.
func (m *member) counted() wire.Tick {
	if m.halted.Seconds > 0 {
		return m.halted
	}
	return m.tick
}

// all says whether every driver at work has reached the phase or is done.
func (f *fleet) all(phase string) bool {
	for _, m := range f.drivers {
		if !m.idle && m.outcome == nil && m.phase != phase {
			return false
		}
	}
	return true
}

// done says whether every driver is.
func (f *fleet) done() bool { return f.all("done") }

// now adds up what the drivers said last.
func (f *fleet) now() (t wire.Tick, rate float64) {
	for _, m := range f.drivers {
		if m.idle {
			continue
		}
		t.Operations += m.tick.Operations
		t.Progress += m.tick.Progress
		t.Moves += m.tick.Moves
		t.Connections += m.tick.Connections
		t.Errors += m.tick.Errors
		rate += m.rate
	}
	return t, rate
}

// moves rises while anything happens.
func (f *fleet) moves() (n int64) {
	for _, m := range f.drivers {
		n += m.tick.Moves + m.reports
	}
	return n
}

// whereabouts says how far the drivers are that have something to do.
func (f *fleet) whereabouts() string {
	var all []string
	for i, m := range f.drivers {
		if !m.idle && m.outcome == nil {
			all = append(all, fmt.Sprintf("driver %d has %d connections and was last %s", i, m.tick.Connections, cmp.Or(m.phase, "at the beginning")))
		}
	}
	return strings.Join(all, "; ")
}

// cpu returns the CPU time of each driver.
func (f *fleet) cpu() []time.Duration {
	var all []time.Duration
	for _, m := range f.drivers {
		// Fails if the driver is dead, which is told elsewhere.
		used, _ := proc.ReadCPU(m.PID)
		all = append(all, used.Total)
	}
	return all
}
