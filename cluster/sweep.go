package cluster

import (
	"context"
	"slices"
	"time"

	"github.com/redis/rueidis"
)

const (
	sweepEvery = 15 * time.Second
	sweepLease = time.Minute
	sweepSome  = 500                    // keys that are looked at in one go
	sweepRest  = 100 * time.Millisecond // between
)

// sweep removes the entries of dead nodes, slowly, by one node at a time. Nobody
// waits for it: such an entry does not count.
func (c *Cluster) sweep() {
	for {
		select {
		case <-c.ctx.Done():
			return
		case <-time.After(sweepEvery):
		}
		if dead := c.nodes.corpses(); len(dead) > 0 && c.mySweep() {
			if c.sweepAfter(dead) {
				c.forget(dead)
			}
		}
	}
}

// mySweep reports whether no other node sweeps.
func (c *Cluster) mySweep() bool {
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	return c.client.Do(ctx, c.client.B().Set().Key(sweepName).Value(nodeName(c.node)).Nx().Px(sweepLease).Build()).Error() == nil
}

// sweepAfter goes through all entries once. It is false if the engine did not
// answer.
func (c *Cluster) sweepAfter(dead []uint64) bool {
	for _, engine := range c.client.Nodes() { // one, but for a Redis Cluster
		for cursor := uint64(0); ; {
			var ok bool
			if cursor, ok = c.sweepPart(engine, cursor, dead); !ok {
				return false
			}
			if cursor == 0 {
				break
			}
			select {
			case <-c.ctx.Done():
				return false
			case <-time.After(sweepRest):
			}
		}
	}
	return true
}

func (c *Cluster) sweepPart(engine rueidis.Client, cursor uint64, dead []uint64) (next uint64, ok bool) {
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	part, err := engine.Do(ctx, engine.B().Scan().Cursor(cursor).Match(keyPrefix+"*").Count(sweepSome).Build()).AsScanEntry()
	if err != nil {
		return 0, false
	}
	gets := make(rueidis.Commands, len(part.Elements))
	for i, key := range part.Elements {
		gets[i] = c.client.B().Get().Key(key).Build()
	}
	entries := make([]string, len(gets))
	var owners []uint64
	for i, answer := range c.client.DoMulti(ctx, gets...) {
		entries[i], _ = answer.ToString()
		if owner, ok := refOf(entries[i]); ok && slices.Contains(dead, owner.Node) {
			owners = append(owners, owner.Node)
		}
	}
	// A node that was dead can be back. An entry that was read before its node had no
	// lease is not one that the node has claimed again since.
	gone := c.nodes.without(owners)
	var runs []scripted
	for i, entry := range entries {
		if owner, ok := refOf(entry); ok && gone[owner.Node] {
			runs = append(runs, scripted{freeScript, part.Elements[i : i+1], []string{entry}})
		}
	}
	if len(runs) > 0 {
		answers, _ := runAll(ctx, c.client, runs)
		for _, answer := range answers {
			if answer.Error() != nil {
				return 0, false
			}
		}
	}
	// A long sweep stays this node's.
	c.client.Do(ctx, c.client.B().Pexpire().Key(sweepName).Milliseconds(sweepLease.Milliseconds()).Build())
	return part.Cursor, true
}

// forget takes nodes without entries off the list, unless they are back.
func (c *Cluster) forget(nodes []uint64) {
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	b := c.client.B()
	for node := range c.nodes.without(nodes) {
		c.client.Do(ctx, b.Srem().Key(nodesName).Member(nodeName(node)).Build())
	}
	c.client.Do(ctx, b.Del().Key(sweepName).Build())
}
