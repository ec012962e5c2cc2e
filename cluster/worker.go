package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"sigver/router"
)

const (
	maxAsked = 1 << 15  // operations at one worker beyond which clients are told to try again
	maxWaits = 1 << 18  // and beyond which keys are neither claimed again nor released
	maxMail  = 16 << 20 // bytes of frames that may wait at one worker
	atOnce   = 2000     // operations that are sent in one go
)

// mailbox is a channel of a node.
type mailbox struct {
	node uint64
	lane int
}

// worker sends what has gathered, waits for the answers, and so on.
type worker struct {
	cluster *Cluster
	wake    chan struct{} // buffered: there is something to do

	mu     sync.Mutex
	asked  []operation        // guarded by mu
	mail   map[mailbox][]byte // guarded by mu
	bytes  int                // of mail; guarded by mu
	busy   bool               // guarded by mu
	closed bool               // guarded by mu: nothing is asked for any more
}

func newWorker(c *Cluster) *worker {
	return &worker{cluster: c, wake: make(chan struct{}, 1), mail: make(map[mailbox][]byte)}
}

// ask queues op. It is false if the engine is not there or too much waits. Releases
// wait until the engine is back: nothing else makes up for them but the next who
// opens the key, and finds nobody there.
func (w *worker) ask(op operation) bool {
	most := maxWaits
	if op.kind == opLook || op.kind == opClaim && op.right == router.ByToken {
		most = maxAsked // a client waits for it, and can be told now
	}
	if op.kind != opFree && !w.cluster.reachable() {
		return false
	}
	w.mu.Lock()
	if w.closed || len(w.asked) >= most {
		w.mu.Unlock()
		return false
	}
	w.asked = append(w.asked, op)
	w.mu.Unlock()
	w.kick()
	return true
}

// post queues a frame.
func (w *worker) post(to mailbox, frame []byte, must bool) bool {
	w.mu.Lock()
	if !must && w.bytes+len(frame) > maxMail {
		w.mu.Unlock()
		return false
	}
	b := w.mail[to]
	if b == nil {
		b = append(b, nodeBytes(w.cluster.node)...)
	}
	w.mail[to] = append(b, frame...)
	w.bytes += len(frame)
	w.mu.Unlock()
	w.kick()
	return true
}

func (w *worker) kick() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// drain waits until nothing is left to do.
func (w *worker) drain(deadline time.Time) {
	for time.Now().Before(deadline) {
		w.mu.Lock()
		idle := len(w.asked) == 0 && len(w.mail) == 0 && !w.busy
		w.mu.Unlock()
		if idle {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// close answers what waits, and refuses what is asked for from now on.
func (w *worker) close() {
	w.mu.Lock()
	asked := w.asked
	w.asked, w.closed = nil, true
	w.mu.Unlock()
	for i := range asked {
		asked[i].err = errClosed
		asked[i].tell(w, nil)
	}
}

func (w *worker) run() {
	for {
		select {
		case <-w.cluster.ctx.Done():
			return
		case <-w.wake:
		}
		for w.round() {
			if w.cluster.ctx.Err() != nil {
				return
			}
		}
	}
}

// round deals with what has gathered. It is false if that was nothing.
func (w *worker) round() bool {
	w.mu.Lock()
	asked := w.asked
	if len(asked) > atOnce {
		asked, w.asked = asked[:atOnce:atOnce], asked[atOnce:]
	} else {
		w.asked = nil
	}
	var mail map[mailbox][]byte // this round's alone
	if len(w.mail) > 0 {
		mail = w.mail
		w.mail, w.bytes = make(map[mailbox][]byte), 0
	}
	w.busy = len(asked) > 0 || len(mail) > 0
	busy := w.busy
	w.mu.Unlock()
	if busy {
		w.send(asked, mail)
	}
	return busy
}

// send does a round's work in one exchange with the engine. Finding out which nodes
// are dead, and claiming their keys, takes another one each.
func (w *worker) send(asked []operation, mail map[mailbox][]byte) {
	c := w.cluster
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()

	var runs []scripted
	var looks, letters rueidis.Commands
	var ran, looked []*operation
	memory := c.memory.Load()
	for i := range asked {
		switch op := &asked[i]; {
		case op.kind == opLook:
			looks, looked = append(looks, c.client.B().Get().Key(op.key).Build()), append(looked, op)
		case op.late(c):
			op.err = errFenced
		default:
			runs, ran = append(runs, op.run(c, memory)), append(ran, op)
		}
	}
	boxes := make([]mailbox, 0, len(mail))
	for box, frames := range mail {
		boxes = append(boxes, box)
		letters = append(letters, c.client.B().Publish().Channel(channel(box.node, box.lane)).Message(rueidis.BinaryString(frames)).Build())
	}
	var sent []rueidis.RedisResult
	if c.sharded {
		// A channel is at no shard. On their own all go to the same one, in order.
		sent = c.client.DoMulti(ctx, letters...)
		letters = nil
	}
	answers, rest := runAll(ctx, c.client, runs, append(looks, letters...)...)
	if !c.sharded {
		sent = rest[len(looked):]
	}

	failed := false
	for i, op := range ran {
		op.read(answers[i])
		failed = failed || op.err != nil
	}
	for i, op := range looked {
		op.read(rest[i])
		failed = failed || op.err != nil
	}
	w.settle(asked, memory)
	var absent []mailbox
	var nodes []uint64
	for i, box := range boxes {
		there, err := sent[i].AsInt64()
		failed = failed || err != nil
		switch {
		case err != nil:
			c.router.Undelivered(box.node, mail[box][nodeLen:], router.Unreached)
		case there == 0 && !c.sharded:
			absent = append(absent, box)
			nodes = append(nodes, box.node)
		}
	}
	// A node whose channels are broken for a moment lives.
	gone := c.nodes.without(nodes)
	for _, box := range absent {
		state := router.Absent
		if gone[box.node] {
			state = router.Dead
		}
		c.router.Undelivered(box.node, mail[box][nodeLen:], state)
	}
	if failed {
		c.noticed()
		w.pause()
	}
}

// settle tells who asked what the engine says. A claim that a dead node's entry is
// in the way of is made again first, with the same memory.
func (w *worker) settle(asked []operation, memory *string) {
	c := w.cluster
	var owners []uint64
	for i := range asked {
		if owner, ok := asked[i].owner(); ok && !asked[i].won {
			owners = append(owners, owner.Node)
		}
	}
	dead := c.nodes.deadOf(owners)

	var again []*operation
	for i := range asked {
		op := &asked[i]
		if owner, ok := op.owner(); op.kind == opClaim && ok && !op.won && dead[owner.Node] {
			op.dead = op.there
			again = append(again, op)
			continue
		}
		op.tell(w, dead)
	}
	if len(again) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	runs := make([]scripted, len(again))
	for i, op := range again {
		runs[i] = op.run(c, memory)
	}
	answers, _ := runAll(ctx, c.client, runs)
	for i, op := range again {
		op.read(answers[i])
		op.tell(w, nil)
	}
}

// pause keeps a worker from asking again and again while the engine is not there.
func (w *worker) pause() {
	select {
	case <-w.cluster.ctx.Done():
	case <-time.After(100 * time.Millisecond):
	}
}
