package cluster

import (
	"time"

	"sigver/router"
)

// MaxAsked is maxAsked.
const MaxAsked = maxAsked

// OpenIdle is Open for a node that is taken to be in reach, but whose workers do
// nothing before work is called. It has no lease.
func OpenIdle(config Config) (c *Cluster, work func(), err error) {
	if c, err = Open(config); err != nil {
		return nil, nil, err
	}
	c.up.Store(true)
	c.ears.all.Store(true)
	return c, func() {
		for _, w := range c.workers {
			c.wg.Go(w.run)
		}
	}, nil
}

// Sweep removes the entries of nodes that were found dead, and then the nodes.
func (c *Cluster) Sweep(dead ...uint64) bool {
	if !c.sweepAfter(dead) {
		return false
	}
	c.forget(dead)
	return true
}

// Renew asks for the lease, which else Run does.
func (c *Cluster) Renew() error { return c.renew() }

// Away takes the engine to be away.
func (c *Cluster) Away() { c.up.Store(false) }

// Waiting is how many operations wait.
func (c *Cluster) Waiting() (n int) {
	for _, w := range c.workers {
		w.mu.Lock()
		n += len(w.asked)
		w.mu.Unlock()
	}
	return n
}

// Wish is with which right all keys are to be claimed again, if they are.
func (c *Cluster) Wish() (right router.Right, made bool) { return c.wish.take() }

// Uptime is the clock of leases.
func Uptime() time.Duration { return uptime() }
