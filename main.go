// Command sigver is a signaling server for WebRTC: it relays offers, answers and
// ICE candidates between peers that know a common key. README.md shows how to
// run it, docs/PROTOCOL.md what it speaks.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"sigver/admin"
	"sigver/certificate"
	"sigver/cluster"
	"sigver/memory"
	"sigver/options"
	"sigver/poller"
	"sigver/server"
)

// version is set when the program is built (Makefile).
var version = "dev"

// gcPercent trades CPU, of which collecting takes next to nothing here, for
// memory: relaying allocates nothing, so the heap grows with connections only.
// The environment variable GOGC overrides it.
const gcPercent = 25

// spare is how many more threads may run Go code than there are loops. While one
// more may, the runtime lets a loop that waits in the kernel keep its place; else
// it takes it away every 20 µs and wakes a thread to look for work. The environment
// variable GOMAXPROCS overrides it.
const spare = 1

// Exit statuses.
const (
	exitFailed = 1
	exitUsage  = 2
)

func main() {
	os.Exit(run())
}

func run() int {
	opts, err := options.Parse(os.Args[1:], os.LookupEnv)
	switch {
	case errors.Is(err, options.ErrHelp):
		fmt.Print(opts.Usage())
		return 0
	case errors.Is(err, options.ErrVersion):
		fmt.Println("sigver", version)
		return 0
	case err != nil:
		return complain(exitUsage, err)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	if least := opts.Config.Loops + spare; os.Getenv("GOMAXPROCS") == "" && runtime.GOMAXPROCS(0) < least {
		runtime.GOMAXPROCS(least)
	}
	log := opts.Logger(os.Stderr)

	config := opts.Config
	config.Log = log
	reload := func() { log.Info("no certificate to read again") }
	if opts.Certificate.Key != "" {
		store, err := certificate.Load(opts.Certificate)
		if err != nil {
			return complain(exitUsage, err)
		}
		warn(log, store)
		config.TLS = store.Config()
		reload = func() { reloadCertificate(log, store) }
	}
	if config.FileLimit, err = poller.RaiseFileLimit(); err != nil {
		return complain(exitFailed, err)
	}
	if err := config.Check(); err != nil {
		return complain(exitUsage, err)
	}
	if opts.Check {
		fmt.Print(opts.Settings())
		return 0
	}
	if err := poller.LetOthersFinish(); err != nil {
		log.Debug("the scheduling policy stays what it was", "error", err)
	}
	// Without a certificate too: a hang-up is no reason to end.
	hangUp := make(chan os.Signal, 1)
	signal.Notify(hangUp, syscall.SIGHUP)
	go func() {
		for range hangUp {
			reload()
		}
	}()
	// Before the clients' address: none must come to a server that then cannot start.
	var operators net.Listener
	if opts.Admin != "" {
		if operators, err = admin.Listen(opts.Admin, config.SharePort); err != nil {
			return complain(exitFailed, err)
		}
		defer operators.Close()
	}
	var nodes *cluster.Cluster
	if opts.Cluster.URL != "" {
		opts.Cluster.Log = log
		if nodes, err = cluster.Open(opts.Cluster); err != nil {
			return complain(exitFailed, err)
		}
		defer nodes.Close()
		config.Engine = nodes
	}
	srv, err := server.New(config)
	if errors.Is(err, server.ErrImpossible) {
		return complain(exitUsage, err)
	}
	if err != nil {
		return complain(exitFailed, err)
	}

	if nodes != nil {
		if err := nodes.Run(srv.Router()); err != nil {
			return complain(exitFailed, err)
		}
		log.Info("a node of a cluster", "node", nodes.Name())
	}
	if operators != nil {
		operator := admin.New(operators, srv, admin.Program{Version: version, MaxMemory: opts.MaxMemory}, log)
		// It answers to the end, also while clients are being sent away.
		whole, end := context.WithCancel(context.Background())
		defer end()
		go func() {
			if err := operator.Serve(whole); err != nil {
				log.Error("the operator's side ended", "error", err)
			}
		}()
		log.Info("operator's side", "address", operator.Addr())
	}

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	// From the first signal on the next one has its usual effect: the end, now.
	context.AfterFunc(ctx, stop)
	go memory.GiveBack(ctx)
	if opts.MaxMemory > 0 {
		go memory.Guard(ctx, opts.MaxMemory, func(short memory.Shortage) { srv.Tight(short.Why, short.Severe) })
	}
	if err := srv.Run(ctx); err != nil {
		log.Error("cannot go on", "error", err)
		return exitFailed
	}
	return 0
}

// reloadCertificate reads it again. Connections stay.
func reloadCertificate(log *slog.Logger, store *certificate.Store) {
	if err := store.Reload(); err != nil {
		log.Error("the certificate stays what it was", "error", err)
		return
	}
	log.Info("certificate reloaded", "expires", store.Expires())
	warn(log, store)
}

func warn(log *slog.Logger, store *certificate.Store) {
	if warning := store.Warning(time.Now()); warning != "" {
		log.Warn(warning)
	}
}

func complain(status int, err error) int {
	fmt.Fprintf(os.Stderr, "sigver: %v\n", err)
	if status == exitUsage {
		fmt.Fprintln(os.Stderr, "sigver --help lists the flags.")
	}
	return status
}
