// Command soak keeps a server busy for minutes or hours with clients that behave
// and clients that do not, stops and kills some of them or pulls their cable, and
// checks all along that every message arrives as it was sent and that the server,
// when it is quiet, has what its clients have and nothing else.
//
//	go run ./soak --minutes 60
//
// All chances come from --seed, which the report names.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/pflag"
)

// driverEnv makes this program a driver of the server whose URL it holds.
const driverEnv = "SIGVER_SOAK_DRIVER"

type options struct {
	minutes float64
	drivers int
	pairs   int
	seed    uint64
	round   time.Duration
	settle  time.Duration

	patience time.Duration
	hold     time.Duration
}

func main() {
	if url := os.Getenv(driverEnv); url != "" {
		os.Exit(drive(url))
	}
	o := options{seed: rand.Uint64()}
	f := pflag.NewFlagSet("soak", pflag.ExitOnError)
	f.Float64Var(&o.minutes, "minutes", 3, "how long")
	f.IntVar(&o.drivers, "drivers", 3, "processes of clients")
	f.IntVar(&o.pairs, "pairs", 40, "pairs of each at once")
	f.Uint64Var(&o.seed, "seed", o.seed, "of all that happens by chance")
	f.DurationVar(&o.round, "round", 20*time.Second, "time between two quiet moments")
	f.DurationVar(&o.settle, "settle", 30*time.Second, "what the server may take to be as its clients are")
	f.DurationVar(&o.patience, "patience", 15*time.Second, "what one answer may take on a machine that is busy")
	f.DurationVar(&o.hold, "hold", 9500*time.Millisecond, "longest time that a driver is stopped or cut off")
	_ = f.Parse(os.Args[1:]) // exits
	if o.hold <= least {
		fmt.Fprintf(os.Stderr, "soak: --hold must be more than %s\n", least)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &o); err != nil {
		fmt.Fprintf(os.Stderr, "soak: %v (--seed %d)\n", err, o.seed)
		os.Exit(1)
	}
}

// run is the whole soak, of a server that it starts.
func run(ctx context.Context, o *options) error {
	dir, err := os.MkdirTemp("", "sigver-soak")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary, err := build(ctx, dir)
	if err != nil {
		return err
	}
	server, err := startServer(binary, o.patience)
	if err != nil {
		return err
	}
	defer server.kill()
	return soak(ctx, o, server)
}

func soak(ctx context.Context, o *options, server *server) error {
	chance := rand.New(rand.NewPCG(o.seed, 1))
	fleet := &fleet{url: server.url, pairs: o.pairs, seed: o.seed, patience: o.patience, hold: o.hold}
	defer fleet.kill()
	halfOpen := "half-open connections among the faults"
	if err := fleet.lay(); err != nil {
		halfOpen = fmt.Sprintf("WITHOUT half-open connections: %v", err)
	}
	fmt.Printf("soak: %.1f minutes, %d drivers of %d pairs, seed %d, %s\n", o.minutes, o.drivers, o.pairs, o.seed, halfOpen)
	for range o.drivers {
		if err := fleet.add(); err != nil {
			return err
		}
	}
	vandals := newVandals(server.addr, o.seed)
	defer vandals.stop()

	var first reading
	end := time.Now().Add(time.Duration(o.minutes * float64(time.Minute)))
	for round := 1; time.Now().Before(end) && ctx.Err() == nil; round++ {
		vandals.start()
		err := fleet.disturb(ctx, chance, min(o.round, time.Until(end)))
		vandals.stop()
		if err != nil {
			return err
		}
		if err := fleet.check(); err != nil {
			return err
		}
		view, err := fleet.pause()
		if err != nil {
			return err
		}
		now, err := server.settle(view, o.settle)
		if err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		// What is kept for reuse is there after the second round.
		if round <= 2 {
			first = now
		} else if err := now.flat(first); err != nil {
			return fmt.Errorf("round %d: %w", round, err)
		}
		fmt.Printf("round %d: %s; drivers: %s; done to them: %s\n", round, now, view, &fleet.troubles)
		if err := fleet.resume(); err != nil {
			return err
		}
	}
	if ctx.Err() != nil {
		return errors.New("stopped before the end")
	}
	if err := fleet.leave(); err != nil {
		return err
	}
	last, err := server.settle(view{}, o.settle)
	if err != nil {
		return fmt.Errorf("after everybody left: %w", err)
	}
	fmt.Printf("soak: all as it should be, %d sessions; at the end %s\n", fleet.done, last)
	return nil
}
