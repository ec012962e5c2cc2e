//go:build linux

// Command bench drives a signaling server with hundreds of thousands of clients
// and tells what came of it: as a table, as bench/results/NAME.json and as
// bench/results/NAME.html.
//
//	go run ./bench                          builds sigver and measures it
//	go run ./bench --target ws://host:port  measures a server that runs
//	go run ./bench --peers                  measures sigver beside other servers
//	go run ./bench --compare-loops 1,2      measures sigver with one loop and two
//	go run ./bench --nodes 12               measures a cluster of that many
//	go run ./bench --compare OLD NEW        compares two JSON files
//
// The load comes from driver processes, which are this program too (package
// driver). This package is the coordinator: it starts servers and drivers, tells
// the drivers what to do (package wire), reads what the server uses (package
// proc) and puts it all together (package report).
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"

	"sigver/bench/driver"
	"sigver/bench/report"
	"sigver/poller"
)

// driverVariable is set in the environment of driver processes.
const driverVariable = "SIGVER_BENCH_DRIVER"

// Exit statuses.
const (
	exitFaults = 1 // the server made errors or ended badly, or the run could not be made
	exitUsage  = 2
)

func main() {
	if os.Getenv(driverVariable) != "" {
		driverMain()
		return
	}
	os.Exit(run())
}

// driverMain is the whole of a driver process.
func driverMain() {
	// Ctrl-C in a terminal is for the coordinator, which stops its drivers.
	signal.Ignore(syscall.SIGINT)
	if err := driver.Main(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench driver:", err)
		os.Exit(1)
	}
}

func run() int {
	opts, err := parse(os.Args[1:])
	switch {
	case errors.Is(err, pflag.ErrHelp):
		fmt.Print(opts.usage())
		return 0
	case err != nil:
		fmt.Fprintf(os.Stderr, "bench: %v\ngo run ./bench --help lists the flags.\n", err)
		return exitUsage
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// From the first signal on the next one has its usual effect: the end, now.
	context.AfterFunc(ctx, stop)

	sound, err := opts.do(ctx)
	if err != nil {
		fmt.Fprintf(os.Stderr, "bench: %v\n", err)
	}
	if err != nil || !sound {
		return exitFaults
	}
	return 0
}

// do does what was asked for, and says whether no server made an error.
func (o *options) do(ctx context.Context) (sound bool, err error) {
	if o.compare {
		return true, o.comparison(o.files[0], o.files[1])
	}
	if _, err := poller.RaiseFileLimit(); err != nil {
		return false, err
	}
	if len(o.peers) > 0 {
		return o.benchPeers(ctx)
	}
	if len(o.compareLoops) > 0 {
		return o.benchLoops(ctx)
	}
	if o.nodes > 0 {
		return o.benchCluster(ctx)
	}
	return o.bench(ctx)
}

func (o *options) comparison(oldFile, newFile string) error {
	before, err := report.ReadJSON(oldFile)
	if err != nil {
		return err
	}
	after, err := report.ReadJSON(newFile)
	if err != nil {
		return err
	}
	return report.Compare(o.out, before, after)
}

// bench measures one server.
func (o *options) bench(ctx context.Context) (sound bool, err error) {
	var s *subject
	if o.target != "" {
		s, err = o.remote()
	} else {
		var clean func()
		if s, clean, err = o.sigver(ctx); err == nil {
			defer clean()
		}
	}
	if err != nil {
		return false, err
	}
	result, err := o.measureAll(ctx, s, o.name, o.specs())
	if result == nil || len(result.Scenarios) == 0 {
		return false, err
	}
	remark(result)
	fmt.Fprintln(o.out)
	return soundness(result), errors.Join(err, report.WriteTable(o.out, result), o.save(o.name, result))
}

// save writes the files of a result and says where they are.
func (o *options) save(name string, r *report.Result) error {
	path := o.path(name)
	if err := errors.Join(report.WriteJSON(path+".json", r), report.WriteHTML(path+".html", r)); err != nil {
		return err
	}
	fmt.Fprintf(o.out, "\n%s.json\n%s.html\n", path, path)
	return nil
}

// soundness says whether no scenario saw an error.
func soundness(r *report.Result) bool {
	for _, s := range r.Scenarios {
		for _, n := range s.Errors {
			if n > 0 {
				return false
			}
		}
	}
	return true
}
