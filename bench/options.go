//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"sigver/bench/proc"
)

// options is what the command line says.
type options struct {
	flags *pflag.FlagSet
	args  []string // all of them, for the report

	scenarios   []string
	pairs       int
	connections int
	inFlight    int
	rate        float64
	trickle     bool
	relayPairs  int
	size        int
	depth       int
	hot         int
	duration    time.Duration
	warmUp      time.Duration
	quiet       time.Duration

	target   string
	pid      int
	insecure bool

	server     string
	serverArgs []string
	loops      int
	pinServer  string
	pinDrivers string
	drivers    int

	peers  []string
	rounds int
	nodes  int

	compareLoops []int

	compare bool
	files   []string

	name    string
	results string
	timeout time.Duration
	settle  time.Duration

	patience time.Duration // nothing at all may happen for so long

	serverCores proc.Cores
	driverCores proc.Cores

	leftOut []string // why a peer is not among the servers

	out      io.Writer // for results
	messages io.Writer // for people who wait
}

// quick is the number of pairs below which a run is one for a look or a check,
// and everything else about it is made small too.
const quick = 20000

func parse(args []string) (*options, error) {
	o := &options{args: args, out: os.Stdout, messages: os.Stderr}
	o.define()
	if err := o.flags.Parse(args); err != nil {
		return o, err
	}
	o.files = o.flags.Args()
	return o, errors.Join(o.check(), o.fillIn())
}

func (o *options) define() {
	f := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	f.SortFlags = false
	f.SetOutput(io.Discard) // errors are returned, and printed once
	f.Usage = func() {}

	f.StringSliceVar(&o.scenarios, "scenarios", []string{"idle", "relay", "sessions", "churn", "hotkey"}, "what to measure, in this order; sessions-open too")
	f.IntVar(&o.pairs, "pairs", 200_000, "whole signaling sessions; the other scenarios follow it down")
	f.IntVar(&o.connections, "connections", 0, "clients at once at most; 0: what the open-file limits allow, 1000 if the server is elsewhere")
	f.IntVar(&o.inFlight, "in-flight", 64, "clients or sessions on their way at a time, rather than waiting")
	f.Float64Var(&o.rate, "rate", 0, "sessions-open: begin so many sessions a second, whatever the server does")
	f.BoolVar(&o.trickle, "trickle", false, "write each message of a session by itself, not all of a turn at once")
	f.IntVar(&o.relayPairs, "relay-pairs", 0, "relay: pairs; with --size and --depth, in place of the two usual relays")
	f.IntVar(&o.size, "size", 0, "relay, hotkey: bytes of a message's data (200)")
	f.IntVar(&o.depth, "depth", 0, "relay, hotkey: messages in flight of one pair (1)")
	f.IntVar(&o.hot, "hot", 0, "hotkey: Joinings of the one Opener (3000)")
	f.DurationVar(&o.duration, "duration", 0, "relay, hotkey: how long to measure (10s; few pairs: 2s)")
	f.DurationVar(&o.warmUp, "warm-up", 0, "relay, hotkey: how long to wait before (2s; few pairs: 500ms)")
	f.DurationVar(&o.quiet, "quiet", 0, "idle: how long all are silent (4s; few pairs: 2s)")

	f.StringVar(&o.target, "target", "", "ws:// or wss:// URL of a server that runs, to measure that")
	f.IntVar(&o.pid, "pid", 0, "process number of the target, if it is on this machine")
	f.BoolVar(&o.insecure, "insecure", false, "do not check the target's certificate")

	f.StringVar(&o.server, "server", "", "sigver binary to measure; built from this tree if empty")
	f.StringSliceVar(&o.serverArgs, "server-args", nil, "further flags for sigver")
	f.IntVar(&o.loops, "loops", 0, "event loops of sigver; 0: one for each of its cores; with --target and --pid, how many that has")
	f.StringVar(&o.pinServer, "pin-server", "", "cores for the server, as 0 or 0-1; the drivers get the others")
	f.StringVar(&o.pinDrivers, "pin-drivers", "", "cores for the drivers")
	f.IntVar(&o.drivers, "drivers", 0, "driver processes; 0: one for every two cores, four at most")

	f.StringSliceVar(&o.peers, "peers", nil, "measure other servers too, in turn: all, or some of "+strings.Join(peerNames, ","))
	f.Lookup("peers").NoOptDefVal = "all"
	f.IntVar(&o.rounds, "rounds", 5, "peers, nodes, compare-loops: rounds, of which the medians are shown")
	f.IntSliceVar(&o.compareLoops, "compare-loops", nil, "measure sigver with these numbers of event loops, in turn: 1,2")
	f.IntVar(&o.nodes, "nodes", 0, "measure a cluster of so many nodes, which needs redis-server; --rounds of one node beside a server alone first")
	f.BoolVar(&o.compare, "compare", false, "compare two JSON files: --compare OLD NEW")

	f.StringVar(&o.name, "name", "", "name of the files with the results; date and time if empty")
	f.StringVar(&o.results, "results", "", "folder for them; bench/results of the module if empty")
	f.DurationVar(&o.timeout, "timeout", 10*time.Second, "for any one step of a client")
	f.DurationVar(&o.settle, "settle", 2*time.Second, "silence after which what has not arrived is lost")
	o.flags = f
}

// check names what cannot be.
func (o *options) check() error {
	var errs []error
	wrong := func(when bool, format string, args ...any) {
		if when {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	wrong(o.compare && len(o.files) != 2, "--compare wants two files, OLD and NEW")
	wrong(!o.compare && len(o.files) > 0, "unexpected argument %q", strings.Join(o.files, " "))
	wrong(o.pairs < 1 || o.pairs > 1<<24, "--pairs %d: 1 to %d", o.pairs, 1<<24)
	wrong(o.connections < 0 || o.connections == 1, "--connections %d: 0, or 2 and more", o.connections)
	wrong(o.inFlight < 1, "--in-flight %d: at least 1", o.inFlight)
	wrong(o.rate < 0, "--rate %g: not below 0", o.rate)
	wrong(o.size != 0 && (o.size < 50 || o.size > 60_000), "--size %d: 50 to 60000", o.size)
	wrong(o.depth < 0 || o.depth > 1024, "--depth %d: 1 to 1024", o.depth)
	wrong(o.drivers < 0 || o.drivers > 100, "--drivers %d: 1 to 100", o.drivers)
	wrong(o.relayPairs < 0 || o.hot < 0 || o.loops < 0, "numbers below 0 make no sense")
	wrong(o.duration < 0 || o.warmUp < 0 || o.quiet < 0 || o.timeout <= 0 || o.settle <= 0, "times below 0 make no sense")
	wrong(o.nodes < 0 || o.nodes > 100, "--nodes %d: 1 to 100", o.nodes)
	wrong(o.nodes > 0 && (o.target != "" || len(o.peers) > 0), "--nodes excludes --target and --peers")
	wrong(len(o.compareLoops) == 1 || slices.ContainsFunc(o.compareLoops, func(n int) bool { return n < 1 }), "--compare-loops wants two numbers or more, such as 1,2")
	wrong(len(o.compareLoops) > 0 && (o.target != "" || len(o.peers) > 0 || o.nodes > 0 || o.loops > 0), "--compare-loops excludes --target, --peers, --nodes and --loops")
	wrong(o.rounds < 1, "--rounds %d: at least 1", o.rounds)
	wrong(o.target != "" && len(o.peers) > 0, "--target and --peers exclude each other")
	wrong(o.pid != 0 && o.target == "", "--pid is for --target")
	for _, name := range o.scenarios {
		wrong(!slices.Contains(scenarioNames, name), "--scenarios %s: there are %s", name, strings.Join(scenarioNames, ", "))
	}
	if slices.Equal(o.peers, []string{"all"}) {
		o.peers = peerNames
	}
	for _, name := range o.peers {
		wrong(!slices.Contains(peerNames, name), "--peers %s: there are %s", name, strings.Join(peerNames, ", "))
	}
	return errors.Join(errs...)
}

// fillIn gives a value to what was left to the program.
func (o *options) fillIn() error {
	usual := func(d *time.Duration, long, short time.Duration) {
		switch {
		case *d > 0:
		case o.pairs < quick:
			*d = short
		default:
			*d = long
		}
	}
	usual(&o.duration, 10*time.Second, 2*time.Second)
	usual(&o.warmUp, 2*time.Second, 500*time.Millisecond)
	usual(&o.quiet, 4*time.Second, 2*time.Second)
	if o.drivers == 0 {
		o.drivers = min(max(1, runtime.NumCPU()/2), 4)
	}
	if o.name == "" {
		o.name = time.Now().Format("2006-01-02-150405")
	}
	if o.rate > 0 && !slices.Contains(o.scenarios, sessionsOpen) {
		o.scenarios = append(o.scenarios, sessionsOpen)
	}
	if o.rate == 0 && slices.Contains(o.scenarios, sessionsOpen) {
		return fmt.Errorf("%s needs --rate", sessionsOpen)
	}
	o.patience = 30*time.Second + 2*o.timeout + o.settle
	var err1, err2 error
	o.serverCores, err1 = proc.ParseCores(o.pinServer)
	o.driverCores, err2 = proc.ParseCores(o.pinDrivers)
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if len(o.serverCores) > 0 && len(o.driverCores) == 0 {
		o.driverCores, err1 = o.serverCores.Others()
	}
	return err1
}

// path returns where the files of that name go, without their extension.
func (o *options) path(name string) string {
	folder := o.results
	if folder == "" {
		folder = filepath.Join(moduleRoot(), "bench", "results")
	}
	path := filepath.Join(folder, name)
	if here, err := os.Getwd(); err == nil {
		if short, err := filepath.Rel(here, path); err == nil && !strings.HasPrefix(short, "..") {
			return short
		}
	}
	return path
}

// command is how to do the same again.
func (o *options) command() string {
	return strings.Join(append([]string{"go run ./bench"}, o.args...), " ")
}

func (o *options) usage() string {
	return `bench measures a signaling server under load.

Usage:
  go run ./bench [flags]

Flags:
` + o.flags.FlagUsages() + `
Examples:
  go run ./bench --pairs 2000                       # a quick look
  go run ./bench --scenarios sessions,sessions-open --rate 2000
  go run ./bench --target wss://signal.example.org --scenarios sessions --pairs 500
  go run ./bench --peers=gws,gorilla --rounds 3 --pin-server 0
  go run ./bench --compare-loops 1,2 --scenarios relay,sessions --pairs 15000
  go run ./bench --nodes 12 --pairs 190000 --connections 190000
  go run ./bench --compare bench/results/a.json bench/results/b.json

The exit status is 1 if a message was lost, doubled, reordered, misdelivered or
corrupted, a client met any other error, or the server did not end as it should.
`
}
