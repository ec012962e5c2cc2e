//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"sigver/bench/proc"
	"sigver/bench/report"
)

// subject is a server that is measured: how to describe it, and how to get it.
type subject struct {
	about report.Server

	// launch starts a fresh one. If it is nil, the server runs already.
	launch func(context.Context) (*proc.Server, error)
	nodes  int       // how many are started, of a cluster; 0: one
	loops  int       // threads of each that do the work; 0: one for each core
	beside processes // that work for it, and are not counted
	pid    int       // of the running one, 0 if unknown
}

// instance is one that runs, or the nodes of one.
type instance struct {
	urls   []string
	pids   processes
	loops  int // of all nodes; 0: one for each core
	beside processes
	died   <-chan struct{} // of the first node; nil: it is not ours
	end    func() error    // ends it, and says if that was no good end
	last   func() error    // why it died, an errDied
}

var errDied = errors.New("the server died")

// processes are those of a server whose figures can be read; none if they cannot.
type processes []int

func (all processes) cpu() (sum proc.CPU, err error) {
	for _, pid := range all {
		one, failed := proc.ReadCPU(pid)
		sum, err = sum.Add(one), errors.Join(err, failed)
	}
	return sum, err
}

func (all processes) resident() (sum int64, err error) {
	for _, pid := range all {
		one, failed := proc.Resident(pid)
		sum, err = sum+one, errors.Join(err, failed)
	}
	return sum, err
}

func (all processes) sockets() (sum int, err error) {
	for _, pid := range all {
		one, failed := proc.Sockets(pid)
		sum, err = sum+one, errors.Join(err, failed)
	}
	return sum, err
}

func (s *subject) start(ctx context.Context) (*instance, error) {
	if s.launch == nil {
		there := &instance{urls: []string{s.about.Target}, loops: s.loops, end: func() error { return nil }}
		if s.pid != 0 {
			there.pids = processes{s.pid}
		}
		return there, nil
	}
	all := &instance{beside: s.beside}
	var running []*proc.Server
	all.end = func() error {
		errs := make([]error, len(running))
		var leaving sync.WaitGroup
		for i, p := range running {
			leaving.Go(func() {
				if err := p.Stop(); err != nil {
					errs[i] = fmt.Errorf("the server did not end as it should: %w%s", err, p.LastWords())
				}
			})
		}
		leaving.Wait()
		return errors.Join(errs...)
	}
	for range max(1, s.nodes) {
		p, err := s.launch(ctx)
		if err != nil {
			return nil, errors.Join(err, all.end())
		}
		running = append(running, p)
		all.urls = append(all.urls, p.URL)
		all.pids = append(all.pids, p.PID)
		all.loops += s.loops
	}
	first := running[0]
	s.about.Target = first.URL
	all.died = first.Done()
	all.last = func() error { return fmt.Errorf("%w: %w%s", errDied, first.Err(), first.LastWords()) }
	return all, nil
}

// sigver is the server of this tree, or the one that was given, with further
// arguments. clean removes what was built.
func (o *options) sigver(ctx context.Context, further ...string) (s *subject, clean func(), err error) {
	path, version, clean, err := o.binary(ctx)
	if err != nil {
		return nil, nil, err
	}
	return o.sigverAt(path, version, further...), clean, nil
}

// binary builds the server of this tree, unless one was given.
func (o *options) binary(ctx context.Context) (path, version string, clean func(), err error) {
	if o.server != "" {
		return o.server, versionOf(ctx, o.server), func() {}, nil
	}
	folder, err := os.MkdirTemp("", "sigver-bench-")
	if err != nil {
		return "", "", nil, err
	}
	clean = func() { _ = os.RemoveAll(folder) }
	path = filepath.Join(folder, "sigver")
	if err := build(ctx, moduleRoot(), path, ".", "CGO_ENABLED=0"); err != nil {
		clean()
		return "", "", nil, err
	}
	return path, commit(), clean, nil
}

func (o *options) sigverAt(path, version string, further ...string) *subject {
	// The load is no attack and no sleeper.
	args := []string{"--rate", "0", "--heartbeat", "0", "--max-joinings", "0", "--idle-timeout", "10m", "--log-level", "info"}
	if o.loops > 0 {
		args = append(args, "--loops", fmt.Sprint(o.loops))
	}
	args = append(append(args, o.serverArgs...), further...)
	about := report.Server{Name: "sigver", Version: version, Language: "Go", Args: args, Local: true}
	s := o.program(about, path, append([]string{"--host", "127.0.0.1", "--port", "0"}, args...)...)
	s.loops = loopsOf(args)
	return s
}

// versionOf returns what a sigver says of itself, or nothing if it does not.
func versionOf(ctx context.Context, path string) string {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, path, "--version").Output()
	line, _, _ := strings.Cut(string(out), "\n")
	if err != nil {
		return ""
	}
	return strings.TrimPrefix(strings.TrimSpace(line), "sigver ")
}

// loopsOf returns what the arguments of a sigver say of its loops, or 0.
func loopsOf(args []string) int {
	f := pflag.NewFlagSet("sigver", pflag.ContinueOnError)
	f.ParseErrorsAllowlist.UnknownFlags = true
	f.SetOutput(io.Discard)
	f.Usage = func() {}
	loops := f.Int("loops", 0, "")
	_ = f.Parse(args) // what is wrong with them, the server says itself
	return *loops
}

// program is a server that is started by its path.
func (o *options) program(about report.Server, path string, args ...string) *subject {
	about.Pinned = o.serverCores.String()
	return &subject{
		about: about,
		launch: func(ctx context.Context) (*proc.Server, error) {
			cmd := exec.Command(path, args...)
			// A benchmark of the defaults: nothing of this shell's settings.
			for _, v := range os.Environ() {
				if !strings.HasPrefix(v, "SIGVER_") && !strings.HasPrefix(v, "GOGC=") && !strings.HasPrefix(v, "GOMAXPROCS=") {
					cmd.Env = append(cmd.Env, v)
				}
			}
			return proc.Serve(ctx, cmd, o.serverCores)
		},
	}
}

// remote is the server of --target.
func (o *options) remote() (*subject, error) {
	u, err := url.Parse(o.target)
	if err != nil {
		return nil, fmt.Errorf("--target: %w", err)
	}
	if u.Scheme != "ws" && u.Scheme != "wss" || u.Hostname() == "" {
		return nil, fmt.Errorf("--target %s: not a ws:// or wss:// URL", o.target)
	}
	if o.pid != 0 {
		if _, err := proc.ReadCPU(o.pid); err != nil {
			return nil, fmt.Errorf("--pid %d: %w", o.pid, err)
		}
	}
	return &subject{
		about: report.Server{Name: u.Host, Target: o.target, Local: o.pid != 0},
		pid:   o.pid,
		loops: o.loops,
	}, nil
}

// loopback says whether the URL is certainly of this machine.
func loopback(target string) bool {
	u, err := url.Parse(target)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// build builds the package of a folder into the file path.
func build(ctx context.Context, folder, path, pkg string, env ...string) error {
	ldflags := "-s -w"
	if pkg == "." {
		ldflags += " -X main.version=" + commit()
	}
	// No -buildvcs: it fails in a clone that belongs to somebody else.
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", ldflags, "-o", path, pkg)
	cmd.Dir = folder
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("go build %s in %s: %w\n%s", pkg, folder, err, out)
	}
	return nil
}

// moduleRoot returns the folder of the module that this program is run in, or
// the present folder.
var moduleRoot = sync.OnceValue(func() string {
	out, err := exec.Command("go", "env", "GOMOD").Output()
	if file := strings.TrimSpace(string(out)); err == nil && filepath.Base(file) == "go.mod" {
		return filepath.Dir(file)
	}
	return "."
})

// commit returns that of the tree, with -dirty if it was changed, or nothing.
var commit = sync.OnceValue(func() string {
	cmd := exec.Command("git", "describe", "--always", "--dirty", "--exclude=*")
	cmd.Dir = moduleRoot()
	out, _ := cmd.Output()
	return strings.TrimSpace(string(out))
})
