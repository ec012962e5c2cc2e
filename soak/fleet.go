package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"

	"sigver/soak/cable"
)

// view is what drivers have open while they pause.
type view struct {
	Keys, Joinings int
	Sessions       int      // since they started
	Faults         []string // of them
}

func (v view) String() string {
	return fmt.Sprintf("%d keys, %d Joinings, %d sessions", v.Keys, v.Joinings, v.Sessions)
}

// fleet is the drivers: processes of their own, so that they can be stopped and
// killed as a machine would be. One of them is at the far end of a cable, if there
// is one.
type fleet struct {
	url      string
	pairs    int
	seed     uint64
	patience time.Duration // of drivers, for each answer of the server
	hold     time.Duration // the longest that one is stopped or cut off
	cable    *cable.Cable  // nil without
	started  uint64
	all      []*driver
	done     int // sessions of those that left in good order
	troubles troubles
}

// troubles counts what was done to drivers.
type troubles struct{ stopped, killed, cut, lost int }

func (t *troubles) String() string {
	return fmt.Sprintf("%d times stopped, %d killed, %d cut off, %d lost", t.stopped, t.killed, t.cut, t.lost)
}

type driver struct {
	cmd *exec.Cmd
	far bool // at the other end of the cable
	in  *json.Encoder
	out *json.Decoder
}

// order is what a driver is told. Each is answered with a view.
type order struct {
	Pause, Leave bool
	Cut          bool // off from the server
}

// lay gives the fleet its cable.
func (f *fleet) lay() (err error) {
	f.cable, err = cable.Lay()
	return err
}

// add starts a driver, at the far end of the cable if none is there.
func (f *fleet) add() error {
	f.started++
	args := []string{"--pairs", fmt.Sprint(f.pairs), "--seed", fmt.Sprint(f.seed + f.started), "--patience", f.patience.String()}
	d := &driver{cmd: exec.Command(os.Args[0], args...)}
	url := f.url
	if f.cable != nil && !slices.ContainsFunc(f.all, func(d *driver) bool { return d.far }) {
		d.far = true
		d.cmd = f.cable.Command(os.Args[0], args...)
		url = "ws://" + net.JoinHostPort(f.cable.Local, url[strings.LastIndexByte(url, ':')+1:])
	}
	d.cmd.Env = append(os.Environ(), driverEnv+"="+url)
	d.cmd.Stderr = os.Stderr
	in, err := d.cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := d.cmd.StdoutPipe()
	if err != nil {
		return err
	}
	d.in, d.out = json.NewEncoder(in), json.NewDecoder(bufio.NewReader(out))
	f.all = append(f.all, d)
	return d.cmd.Start()
}

// disturb lets time pass, and now and then stops a driver for a while, kills it and
// starts another, or does that to its network.
func (f *fleet) disturb(ctx context.Context, chance *rand.Rand, long time.Duration) error {
	end := time.Now().Add(long)
	for time.Now().Before(end) && ctx.Err() == nil {
		wait(ctx, min(time.Duration(1+chance.IntN(4))*time.Second, time.Until(end)))
		d := f.all[chance.IntN(len(f.all))]
		// Longer than the server waits for a sign of life, or shorter.
		while := least + time.Duration(chance.Int64N(int64(f.hold-least)))
		var err error
		switch chance.IntN(6) {
		case 0:
			f.troubles.stopped++
			_ = d.cmd.Process.Signal(syscall.SIGSTOP)
			wait(ctx, while)
			_ = d.cmd.Process.Signal(syscall.SIGCONT)
		case 1:
			f.troubles.killed++
			f.end(d)
			err = f.add()
		case 2:
			err = f.cut(ctx, while)
		case 3:
			err = f.lose()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// least is the shortest that a driver is stopped or cut off.
const least = 500 * time.Millisecond

// wait is over early when ctx is.
func wait(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// cut pulls the cable for a while.
func (f *fleet) cut(ctx context.Context, while time.Duration) error {
	d := f.farOne()
	if d == nil {
		return nil
	}
	f.troubles.cut++
	if _, err := f.askOne(d, order{Cut: true}); err != nil {
		return err
	}
	if err := f.cable.Pull(); err != nil {
		return err
	}
	wait(ctx, while)
	if err := f.cable.Plug(); err != nil {
		return err
	}
	_, err := f.askOne(d, order{})
	return err
}

// lose takes the cable away with the driver at its end, which never says goodbye,
// and lays another.
func (f *fleet) lose() error {
	d := f.farOne()
	if d == nil {
		return nil
	}
	f.troubles.lost++
	if err := f.cable.Pull(); err != nil {
		return err
	}
	f.end(d)
	f.cable.Remove()
	if err := f.lay(); err != nil {
		return err
	}
	return f.add()
}

func (f *fleet) farOne() *driver {
	if i := slices.IndexFunc(f.all, func(d *driver) bool { return d.far }); i >= 0 {
		return f.all[i]
	}
	return nil
}

// end kills d.
func (f *fleet) end(d *driver) {
	_ = d.cmd.Process.Kill()
	_ = d.cmd.Wait()
	f.all = slices.DeleteFunc(f.all, func(other *driver) bool { return other == d })
}

// check finds drivers that ended by themselves.
func (f *fleet) check() error {
	for _, d := range f.all {
		if err := d.cmd.Process.Signal(syscall.Signal(0)); err != nil {
			return fmt.Errorf("a driver has ended: %w", err)
		}
	}
	return nil
}

func (d *driver) tell(o order) error { return d.in.Encode(o) }

// answer is that of d, which is killed if none comes in time. Pairs that do not rest
// are told of before that, unless the driver hangs itself.
func (f *fleet) answer(d *driver) (v view, err error) {
	within := (toRest + 1) * f.patience
	timer := time.AfterFunc(within, func() { _ = d.cmd.Process.Kill() })
	err = d.out.Decode(&v)
	if !timer.Stop() {
		return v, fmt.Errorf("driver %s did not answer within %s and was killed", d, within)
	}
	if err != nil {
		err = fmt.Errorf("driver %s ended without an answer: %w", d, err)
	}
	return v, err
}

func (d *driver) String() string {
	if d.far {
		return fmt.Sprintf("%d at the end of the cable", d.cmd.Process.Pid)
	}
	return fmt.Sprint(d.cmd.Process.Pid)
}

func (f *fleet) askOne(d *driver, o order) (view, error) {
	if err := d.tell(o); err != nil {
		return view{}, err
	}
	return f.answer(d)
}

// ask tells all drivers something at once and adds up what they answer.
func (f *fleet) ask(o order) (sum view, err error) {
	for _, d := range f.all {
		if err := d.tell(o); err != nil {
			return sum, err
		}
	}
	for _, d := range f.all {
		v, err := f.answer(d)
		if err != nil {
			return sum, err
		}
		sum.Keys += v.Keys
		sum.Joinings += v.Joinings
		sum.Sessions += v.Sessions
		sum.Faults = append(sum.Faults, v.Faults...)
	}
	if len(sum.Faults) > 0 {
		return sum, fmt.Errorf("%d faults, the first:\n%s", len(sum.Faults), strings.Join(sum.Faults[:min(len(sum.Faults), 10)], "\n"))
	}
	return sum, nil
}

func (f *fleet) pause() (view, error) { return f.ask(order{Pause: true}) }

func (f *fleet) resume() error {
	_, err := f.ask(order{})
	return err
}

// leave ends all drivers in good order.
func (f *fleet) leave() error {
	v, err := f.ask(order{Leave: true})
	f.done = v.Sessions
	if err != nil {
		return err // kill waits for them
	}
	for _, d := range f.all {
		timer := time.AfterFunc(f.patience, func() { _ = d.cmd.Process.Kill() })
		if e := d.cmd.Wait(); err == nil && e != nil {
			err = fmt.Errorf("driver %s after it left: %w", d, e)
		}
		timer.Stop()
	}
	f.all = nil
	return err
}

// kill ends all drivers and takes the cable away.
func (f *fleet) kill() {
	for len(f.all) > 0 {
		f.end(f.all[0])
	}
	if f.cable != nil {
		f.cable.Remove()
	}
}
