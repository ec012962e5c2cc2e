// Package cluster is the engine of a cluster of servers: a registry of keys and a
// way between nodes, in Redis or Valkey. It knows nothing of connections and
// messages, and the router nothing of Redis.
//
// Whoever calls it never waits: what is asked for goes into a queue of one of a few
// workers, which send all that has gathered in one go. Keys and slots choose the
// worker, so that what concerns one of them stays in order.
//
// An entry of a key does not expire. It counts while the lease of its node does,
// which a node renews every renewal; so upkeep grows with nodes and not with keys.
package cluster

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"

	"sigver/router"
)

const (
	leaseTime = 10 * time.Second // of a node, in the engine
	// sureTime is how long after it asked for a lease a node counts on it: less,
	// since clocks drift.
	sureTime = 9 * time.Second
	renewal  = 3 * time.Second
	retry    = 500 * time.Millisecond // of a renewal that has failed
	patience = 2 * time.Second        // for an answer of the engine

	workers = 4 // of each node
	lanes   = 4 // channels to each node
)

// Router is what a cluster connects.
type Router interface {
	Receive(node uint64, frames []byte) error
	Undelivered(node uint64, frames []byte, state router.NodeState)
	NodeGone(node uint64)
	Alone()
	Recheck()
	Reclaim(right router.Right) bool
}

// Cluster is one node's part. Its methods can be called from any goroutine.
type Cluster struct {
	// Immutable.
	node    uint64
	client  rueidis.Client
	inbox   rueidis.Client // connections of its own: answers do not wait behind frames
	hasher  hasher
	seed    maphash.Seed
	log     *slog.Logger
	router  Router
	workers [workers]*worker
	// What is sent to the node that loses a key, without and with its token.
	lost, takenOver string
	sharded         bool // a Redis Cluster: who has a channel cannot be counted, and shards forget on their own

	tenure    atomic.Uint32
	sureUntil atomic.Int64 // nanoseconds of uptime
	fence     atomic.Int64 // nanoseconds of uptime: until then nobody new gets a key
	up        atomic.Bool  // the last renewal has succeeded
	ears      ears
	heard     chan struct{} // closed once all lanes are heard
	nodes     liveness
	memory    atomic.Pointer[string] // of the engine, as last seen; nil at first
	proof     string                 // of the secret
	hurry     chan time.Duration     // buffered: renew after that
	wish      wish

	ctx  context.Context
	stop context.CancelFunc
	wg   sync.WaitGroup
}

// Open connects to the engine, which has to be there, and joins the nodes that
// share it. Run makes it work.
func Open(config Config) (*Cluster, error) {
	option, err := config.option()
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		hasher: newHasher(config.Secret),
		seed:   maphash.MakeSeed(),
		log:    config.Log,
		hurry:  make(chan time.Duration, 1),
		wish:   wish{wake: make(chan struct{}, 1)},
		heard:  make(chan struct{}),
	}
	var name [8]byte
	_, _ = rand.Read(name[:]) // never fails
	c.node = binary.BigEndian.Uint64(name[:]) | 1
	c.lost = nodeBytes(c.node) + string(router.LostFrame(false))
	c.takenOver = nodeBytes(c.node) + string(router.LostFrame(true))
	c.ctx, c.stop = context.WithCancel(context.Background())
	if c.client, err = rueidis.NewClient(option); err != nil {
		return nil, fmt.Errorf("--cluster: the engine cannot be reached: %w", err)
	}
	if c.inbox, err = rueidis.NewClient(option); err != nil {
		c.client.Close()
		return nil, fmt.Errorf("--cluster: the engine cannot be reached: %w", err)
	}
	c.tenure.Store(1)
	c.proof = string(c.hasher.hash("proof", nil))
	c.sharded = c.client.Mode() == rueidis.ClientModeCluster
	c.nodes.cluster = c
	for i := range c.workers {
		c.workers[i] = newWorker(c)
	}
	if err := c.agree(); err != nil {
		c.client.Close()
		c.inbox.Close()
		return nil, fmt.Errorf("--cluster: %w", err)
	}
	return c, nil
}

// agree finds out whether this node has the secret of the others, and whether the
// engine does what is needed.
func (c *Cluster) agree() error {
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	b := c.client.B()
	answers := c.client.DoMulti(ctx,
		b.Set().Key(secretName).Value(c.proof).Nx().Build(),
		b.Get().Key(secretName).Build())
	theirs, err := answers[1].ToString()
	if err != nil {
		return fmt.Errorf("the engine refuses: %w", err)
	}
	if theirs != c.proof {
		return errors.New("the other nodes have another --cluster-secret")
	}
	return nil
}

// Run serves r until Close. It returns when this node has its lease and can be
// reached by others.
func (c *Cluster) Run(r Router) error {
	c.router = r
	if err := c.renew(); err != nil {
		return fmt.Errorf("--cluster: %w", err)
	}
	for lane := range lanes {
		c.wg.Go(func() { c.listen(lane) })
	}
	select {
	case <-c.heard:
	case <-time.After(patience):
		return errors.New("--cluster: the engine takes no subscriptions")
	}
	for _, w := range c.workers {
		c.wg.Go(w.run)
	}
	c.wg.Go(c.keep)
	c.wg.Go(c.reclaim)
	c.wg.Go(c.sweep)
	return nil
}

// Close gives up the lease, so that what this node has is free at once. What was
// asked for before is done first, if that does not take long.
func (c *Cluster) Close() {
	deadline := time.Now().Add(patience)
	for _, w := range c.workers {
		w.drain(deadline)
	}
	c.stop()
	for _, w := range c.workers {
		w.close() // somebody in wg may wait for an answer
	}
	c.wg.Wait()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	b := c.client.B()
	c.client.DoMulti(ctx,
		b.Del().Key(leasePrefix+nodeName(c.node)).Build(),
		b.Del().Key(sweepName).Build())
	c.client.Close()
	c.inbox.Close()
}

// Node is this node's name.
func (c *Cluster) Node() uint64 { return c.node }

// Name is Node as the log of others has it.
func (c *Cluster) Name() string { return nodeName(c.node) }

// Tenure implements router.Engine.
func (c *Cluster) Tenure() (number uint32, sure bool) {
	// In this order: who has a lease again, or hears again, is in another tenure.
	// Who hears nothing while the engine is there may have been told that a key is
	// lost. Where the engine does not answer, what is here goes on: it is taken to be
	// gone for others too, and then nobody can take a key.
	sure = c.leased() && (c.ears.all.Load() || !c.up.Load())
	return c.tenure.Load(), sure
}

// leased is whether no other node can have seen this one without its lease.
func (c *Cluster) leased() bool { return int64(uptime()) < c.sureUntil.Load() }

// fenced is whether keys may be missing in the engine whose nodes do not know that.
func (c *Cluster) fenced() bool { return int64(uptime()) < c.fence.Load() }

// State implements router.Engine.
func (c *Cluster) State() (up bool, nodes int) { return c.reachable(), c.nodes.count() }

// reachable is whether there is a way to the other nodes, and back.
func (c *Cluster) reachable() bool { return c.up.Load() && c.ears.all.Load() }

// Claim implements router.Engine.
func (c *Cluster) Claim(claim router.Claim, done func(before router.Ref, err error)) {
	key := c.hasher.key(claim.Key)
	op := operation{
		kind: opClaim, key: key, entry: c.hasher.entry(&claim), right: claim.Right,
		claimed: done,
	}
	if op.late(c) || !c.worker(key).ask(op) {
		if claim.Right != router.ByToken {
			c.again(claim.Right)
		}
		done(router.Ref{}, router.ErrNotAsked)
	}
}

// Release implements router.Engine.
func (c *Cluster) Release(key []byte, ref router.Ref) {
	name := c.hasher.key(key)
	c.worker(name).ask(operation{kind: opFree, key: name, entry: string(appendRef(nil, ref))})
}

// LookUp implements router.Engine.
func (c *Cluster) LookUp(key []byte, done func(owner router.Ref, err error)) {
	name := c.hasher.key(key)
	if !c.worker(name).ask(operation{kind: opLook, key: name, looked: done}) {
		done(router.Ref{}, router.ErrNotAsked)
	}
}

// Send implements router.Engine.
func (c *Cluster) Send(to router.Ref, frame []byte, must bool) bool {
	lane := int(to.Slot % lanes)
	return c.workers[(to.Node+uint64(lane))%workers].post(mailbox{to.Node, lane}, frame, must)
}

// worker is whose key it is.
func (c *Cluster) worker(key string) *worker {
	return c.workers[maphash.String(c.seed, key)%workers]
}
