package cluster

import (
	"context"
	"crypto/rand"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/rueidis"

	"sigver/router"
)

const (
	recheck         = 30 * time.Second // of the pairs with other nodes
	shardedMemories = 256
)

// keep renews the lease, and puts things right after what it finds.
func (c *Cluster) keep() {
	wait := renewal
	checked := time.Now()
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(wait):
		case in := <-c.hurry:
			time.Sleep(in)
		}
		wait = renewal
		if err := c.renew(); err != nil {
			wait = retry
		}
		// A frame can be lost without a trace where a connection is half open.
		if time.Since(checked) > recheck {
			checked = time.Now()
			c.router.Recheck()
		}
	}
}

// renew asks for the lease once more.
func (c *Cluster) renew() error {
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	asked := uptime()
	b := c.client.B()
	answers := c.client.DoMulti(ctx,
		b.Set().Key(leasePrefix+nodeName(c.node)).Value("1").Get().Px(leaseTime).Build(),
		b.Sadd().Key(nodesName).Member(nodeName(c.node)).Build(),
		b.Set().Key(secretName).Value(c.proof).Nx().Build(),
		b.Smembers().Key(nodesName).Build())
	var err error
	for _, answer := range answers {
		if err == nil && !rueidis.IsRedisNil(answer.Error()) {
			err = answer.Error()
		}
	}
	var memory string
	var fence int64
	if err == nil {
		memory, fence, err = c.remember(ctx)
	}
	before := c.memory.Load()
	forgotten := err == nil && before != nil && *before != memory
	if forgotten {
		err = c.raiseFence(ctx)
	}
	if err != nil {
		if c.up.Swap(false) {
			c.log.Warn("the cluster's engine does not answer", "error", err)
		}
		return fmt.Errorf("the engine does not answer: %w", err)
	}
	names, _ := answers[3].AsStrSlice()
	if fence > 0 && !forgotten {
		c.fence.Store(int64(uptime()) + fence*int64(time.Millisecond))
	}
	c.memory.Store(&memory) // after the fence: who claims with it looks whether there is one
	// Others may have seen that there was no lease, if there is none, or was none until
	// an earlier renewal arrived of which nothing was heard: that is a matter of time.
	// An engine that has forgotten says nothing of the kind.
	absent := rueidis.IsRedisNil(answers[0].Error()) || !c.leased()
	lapsed := before != nil && absent && !forgotten
	back := before != nil && !c.up.Load()
	if forgotten || lapsed {
		// Before it is sure again: what it had may be another's.
		c.tenure.Add(1)
	}
	if lapsed {
		c.router.Alone()
	}
	switch { // before the engine is in reach: of two wishes the more careful one counts
	case forgotten, back && !lapsed:
		// Nobody else was wrong to claim a key that was not there.
		c.again(router.ByTime)
	case lapsed:
		c.again(router.Yielding)
	}
	c.sureUntil.Store(int64(asked + sureTime))
	if !c.up.Swap(true) && before != nil {
		c.log.Info("the cluster's engine answers again", "forgotten", forgotten, "lease_lapsed", lapsed)
	}
	c.wish.kick()
	// A shard of a Redis Cluster that forgets can have had the list of nodes.
	allGone, unlisted := c.nodes.see(names, c.fenced())
	for _, node := range unlisted {
		c.client.Do(ctx, b.Sadd().Key(nodesName).Member(nodeName(node)).Build()) // to be swept
	}
	for _, gone := range allGone {
		c.log.Info("a node of the cluster is gone", "node", nodeName(gone))
		c.router.NodeGone(gone)
	}
	return nil
}

// remember returns what changes when the engine, or a part of it, has forgotten, and
// for how many milliseconds the fence is still there, if it is.
func (c *Cluster) remember(ctx context.Context) (memory string, fence int64, err error) {
	names := []string{memoryName}
	if c.sharded {
		// So many that each shard has one, nearly for certain.
		names = names[:0]
		for i := range shardedMemories {
			names = append(names, memoryName+":"+strconv.Itoa(i))
		}
	}
	memories, err := c.getAll(ctx, names)
	if rueidis.IsRedisNil(err) {
		// The fence before the memory, so that whoever has this memory is told of it.
		// A node that starts cannot know whether anybody was there before it.
		if c.memory.Load() != nil {
			if err := c.raiseFence(ctx); err != nil {
				return "", 0, err
			}
		}
		sets := make(rueidis.Commands, len(names))
		for i, name := range names {
			sets[i] = c.client.B().Set().Key(name).Value(rand.Text()).Nx().Build()
		}
		c.client.DoMulti(ctx, sets...)
		memories, err = c.getAll(ctx, names)
	}
	if err != nil {
		return "", 0, err
	}
	fence, err = c.client.Do(ctx, c.client.B().Pttl().Key(fenceName).Build()).AsInt64() // negative if it is not there
	return strings.Join(memories, " "), fence, err
}

// raiseFence keeps all nodes from giving keys to anybody new: others may count on
// leases of before the engine forgot, and until those are over, a key that is not
// there can be somebody's.
func (c *Cluster) raiseFence(ctx context.Context) error {
	c.fence.Store(int64(uptime() + sureTime))
	return c.client.Do(ctx, c.client.B().Set().Key(fenceName).Value("1").Px(sureTime).Build()).Error()
}

func (c *Cluster) getAll(ctx context.Context, names []string) ([]string, error) {
	gets := make(rueidis.Commands, len(names))
	for i, name := range names {
		gets[i] = c.client.B().Get().Key(name).Build()
	}
	values := make([]string, len(names))
	for i, answer := range c.client.DoMulti(ctx, gets...) {
		var err error
		if values[i], err = answer.ToString(); err != nil {
			return nil, err
		}
	}
	return values, nil
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
	c.soon(retry)
}

// soon has the lease renewed before its time.
func (c *Cluster) soon(in time.Duration) {
	select {
	case c.hurry <- in:
	default:
	}
}
