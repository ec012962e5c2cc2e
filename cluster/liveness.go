package cluster

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/rueidis"
)

// fresh is how long it is believed that another node lives.
const fresh = time.Second

// liveness knows which nodes have a lease.
type liveness struct {
	cluster *Cluster // immutable

	mu   sync.Mutex
	seen map[uint64]time.Time // guarded by mu: when a node was last known to live; zero: it has died since
	dead map[uint64]bool      // guarded by mu: those whose pairs were ended, until they are forgotten
}

// deadOf returns which of the other nodes among nodes are dead. It asks the engine
// once for all that were not asked for just now. While there is no answer a node
// counts as alive. nodes is the callee's.
func (l *liveness) deadOf(nodes []uint64) map[uint64]bool {
	l.mu.Lock()
	nodes = slices.DeleteFunc(nodes, func(node uint64) bool {
		return node == l.cluster.node || time.Since(l.seen[node]) < fresh
	})
	l.mu.Unlock()
	return l.without(nodes)
}

// without returns which of nodes have no lease now. While there is no answer a node
// counts as alive. nodes is the callee's.
func (l *liveness) without(nodes []uint64) map[uint64]bool {
	slices.Sort(nodes)
	nodes = slices.Compact(nodes)
	dead := make(map[uint64]bool)
	for _, node := range l.ask(nodes) {
		dead[node] = true
	}
	return dead
}

// ask returns those of nodes that have no lease.
func (l *liveness) ask(nodes []uint64) (dead []uint64) {
	if len(nodes) == 0 {
		return nil
	}
	c := l.cluster
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	commands := make(rueidis.Commands, len(nodes))
	for i, node := range nodes {
		commands[i] = c.client.B().Exists().Key(leasePrefix + nodeName(node)).Build()
	}
	now := time.Now()
	answers := c.client.DoMulti(ctx, commands...)
	l.mu.Lock()
	defer l.mu.Unlock()
	for i, node := range nodes {
		there, err := answers[i].AsInt64()
		switch {
		case err != nil:
		case there == 0:
			dead = append(dead, node)
			if _, known := l.seen[node]; known {
				l.seen[node] = time.Time{}
			}
		default:
			if l.seen == nil {
				l.seen = make(map[uint64]time.Time)
			}
			l.seen[node] = now
			delete(l.dead, node)
		}
	}
	return dead
}

// see asks for all nodes of names, and for those that it has seen, and returns
// those that have died since the last time, and those of them that names has not. An
// engine that forgot a moment ago has not heard of all that live; then only names count.
func (l *liveness) see(names []string, forgot bool) (gone, unlisted []uint64) {
	var nodes []uint64
	listed := make(map[uint64]bool)
	for _, name := range names {
		if node, err := parseNode(name); err == nil {
			nodes = append(nodes, node)
			listed[node] = true
		}
	}
	if !forgot {
		l.mu.Lock()
		for node := range l.seen {
			if !listed[node] {
				nodes = append(nodes, node)
			}
		}
		l.mu.Unlock()
	}
	dead := l.ask(nodes)
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.dead
	l.dead = make(map[uint64]bool)
	for _, node := range dead {
		if node == l.cluster.node {
			continue
		}
		delete(l.seen, node)
		l.dead[node] = true
		if !before[node] {
			gone = append(gone, node)
		}
		if !listed[node] {
			unlisted = append(unlisted, node)
		}
	}
	return gone, unlisted
}

// count is how many nodes are known to live.
func (l *liveness) count() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, at := range l.seen {
		if time.Since(at) < leaseTime {
			n++
		}
	}
	return n
}

// corpses returns the nodes that have died and not been swept.
func (l *liveness) corpses() (nodes []uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for node := range l.dead {
		nodes = append(nodes, node)
	}
	return nodes
}
