package cluster

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"sigver/router"
)

// keep renews the lease, and puts things right after what it finds.
func (c *Cluster) keep() {
	wait := renewal
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(wait):
		case <-c.hurry:
			time.Sleep(retry)
		}
		wait = renewal
		if err := c.renew(); err != nil {
			wait = retry
		}
	}
}

// renew asks for the lease once more.
func (c *Cluster) renew() error {
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	asked := time.Since(c.begun)
	b := c.client.B()
	answers := c.client.DoMulti(ctx,
		b.Set().Key(leasePrefix+nodeName(c.node)).Value("1").Px(leaseTime).Build(),
		b.Sadd().Key(nodesName).Member(nodeName(c.node)).Build(),
		b.Set().Key(memoryName).Value(rand.Text()).Nx().Build(),
		b.Get().Key(memoryName).Build(),
		b.Smembers().Key(nodesName).Build())
	memory, err := answers[3].ToString()
	for _, i := range []int{0, 1, 4} {
		if err == nil {
			err = answers[i].Error()
		}
	}
	if err != nil {
		if c.up.Swap(false) {
			c.log.Warn("the cluster's engine does not answer", "error", err)
		}
		return fmt.Errorf("the engine does not answer: %w", err)
	}
	names, _ := answers[4].AsStrSlice()

	first := c.memory == ""
	forgotten := !first && memory != c.memory
	lapsed := !first && int64(asked) >= c.sureUntil.Load()
	back := !first && !c.up.Load()
	c.memory = memory
	if forgotten || lapsed {
		// Before it is sure again: what it had may be another's.
		c.tenure.Add(1)
	}
	c.sureUntil.Store(int64(asked + sureTime))
	if !c.up.Swap(true) && !first {
		c.log.Info("the cluster's engine answers again", "forgotten", forgotten, "lease_lapsed", lapsed)
	}
	if lapsed {
		c.router.Alone()
	}
	switch {
	case forgotten, back && !lapsed:
		// Nobody else was wrong to claim a key that was not there.
		c.again(router.ByTime)
	case lapsed:
		c.again(router.Yielding)
	}
	for _, gone := range c.nodes.see(names) {
		c.log.Info("a node of the cluster is gone", "node", nodeName(gone))
		c.router.NodeGone(gone)
	}
	return nil
}

// noticed is for a worker that found the engine not there: clients are refused
// until the lease is renewed.
func (c *Cluster) noticed() {
	if c.ctx.Err() != nil {
		return
	}
	if c.up.Swap(false) {
		c.log.Warn("the cluster's engine does not answer")
	}
	select {
	case c.hurry <- struct{}{}:
	default:
	}
}
