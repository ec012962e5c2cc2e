package main

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"github.com/spf13/pflag"
)

// crew is the pairs of one driver.
type crew struct {
	url      string
	seed     uint64
	patience time.Duration // for each answer of the server

	mu       sync.Mutex // guards all below
	changed  *sync.Cond // of mu: broadcast when paused, resting or faults change
	paused   bool
	leaving  bool
	resting  int // pairs that pause, each with one key and one Joining if whole
	whole    int // of them, those that have both
	sessions int
	faults   []string
	cut      bool      // off from the server
	lastSeen time.Time // when this process was running, for sure
	troubled time.Time // when it was last cut off, or noticed that it had been stopped
}

// drive is a driver process.
func drive(url string) int {
	pairs := 0
	c := &crew{url: url, lastSeen: time.Now()}
	c.changed = sync.NewCond(&c.mu)
	f := pflag.NewFlagSet("driver", pflag.ExitOnError)
	f.IntVar(&pairs, "pairs", 10, "")
	f.Uint64Var(&c.seed, "seed", 0, "")
	f.DurationVar(&c.patience, "patience", 15*time.Second, "")
	_ = f.Parse(os.Args[1:])
	go c.watch()
	var wg sync.WaitGroup
	for i := range pairs {
		chance := rand.New(rand.NewPCG(c.seed, uint64(i)))
		wg.Go(func() { c.pairs(i, chance) })
	}
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		var o order
		if err := in.Decode(&o); err != nil {
			if err == io.EOF {
				return 0 // whoever gave orders is gone
			}
			return 1
		}
		v := c.obey(o, pairs)
		if o.Leave {
			wg.Wait()
		}
		if err := out.Encode(v); err != nil || o.Leave {
			return 0
		}
	}
}

// toRest is the patience that a pair may take to rest: one answer may fail it and be
// excused, and the session after that has to come to its middle.
const toRest = 3

func (c *crew) obey(o order, pairs int) view {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.paused = o.Pause
	c.leaving = o.Leave
	if o.Cut || c.cut {
		c.troubled = time.Now()
	}
	c.cut = o.Cut
	c.changed.Broadcast()
	late := false
	timer := time.AfterFunc(toRest*c.patience, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		late = true
		c.changed.Broadcast()
	})
	defer timer.Stop()
	// A pair that found a fault may never rest, and need not be waited for.
	for o.Pause && c.resting < pairs && len(c.faults) == 0 && !late {
		c.changed.Wait()
	}
	if o.Pause && c.resting < pairs && len(c.faults) == 0 {
		c.faults = append(c.faults, fmt.Sprintf("%d of %d pairs do not rest after %s", pairs-c.resting, pairs, toRest*c.patience))
	}
	return view{Keys: c.whole, Joinings: c.whole, Sessions: c.sessions, Faults: c.faults}
}

// watch notices when the process was stopped: then the server may have given its
// clients up, which is no fault.
func (c *crew) watch() {
	for range time.Tick(100 * time.Millisecond) {
		c.mu.Lock()
		now := time.Now()
		if now.Sub(c.lastSeen) > time.Second {
			c.troubled = now
		}
		c.lastSeen = now
		c.mu.Unlock()
	}
}

// excused reports whether the process was stopped or cut off since begun.
func (c *crew) excused(begun time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.cut || c.troubled.After(begun) || time.Since(c.lastSeen) > time.Second
}

// pairs makes one session after the other, until it is told to leave.
func (c *crew) pairs(number int, chance *rand.Rand) {
	for n := 0; ; n++ {
		c.mu.Lock()
		leaving := c.leaving
		c.mu.Unlock()
		if leaving {
			return
		}
		begun := time.Now()
		key := fmt.Sprintf("soak-%d-%d-%d-%d", os.Getpid(), c.seed, number, n)
		err := c.session(key, chance)
		if err != nil && !c.excused(begun) {
			c.mu.Lock()
			c.faults = append(c.faults, fmt.Sprintf("%s: %v", key, err))
			c.changed.Broadcast()
			c.mu.Unlock()
		}
		c.mu.Lock()
		c.sessions++
		c.mu.Unlock()
		time.Sleep(time.Duration(chance.IntN(50)) * time.Millisecond)
	}
}

// rest is where a pair is while the driver pauses. It goes on to talk a little:
// who is silent is given up by the server. If that fails, which rest returns, the pair
// parts: one of the two may have been lost while the process was stopped, and the
// server rightly has the other one until then.
func (c *crew) rest(talk func() error, part func()) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.paused {
		return nil
	}
	try := func() {
		if err = talk(); err != nil {
			part()
		}
	}
	c.mu.Unlock()
	try()
	c.mu.Lock()
	c.resting++
	if err == nil {
		c.whole++
	}
	c.changed.Broadcast()
	for c.paused {
		c.mu.Unlock()
		time.Sleep(300 * time.Millisecond)
		wasWhole := err == nil
		if wasWhole {
			try()
		}
		c.mu.Lock()
		if wasWhole && err != nil {
			c.whole--
		}
	}
	c.resting--
	if err == nil {
		c.whole--
	}
	return err
}
