package cluster

import (
	"context"
	"sync"
	"time"

	"github.com/redis/rueidis"

	"sigver/router"
)

const (
	maxAsked = 1 << 15  // claims and look-ups that may wait at one worker
	maxFrees = 1 << 18  // and releases; an entry that stays is found out when its key is opened
	maxMail  = 16 << 20 // bytes of frames that may wait at one worker
	atOnce   = 2000     // operations that are sent in one go
)

type opKind uint8

const (
	opClaim opKind = iota
	opFree
	opLook
)

// operation is something that the engine is asked for.
type operation struct {
	kind    opKind
	key     string
	entry   string // to claim, or what the entry to free begins with
	dead    string // an entry in the way of a claim, of a dead node
	right   router.Right
	claimed func(before router.Ref, err error)
	looked  func(owner router.Ref, err error)
}

// mailbox is a channel of a node.
type mailbox struct {
	node uint64
	lane int
}

// worker sends what has gathered, waits for the answers, and so on.
type worker struct {
	cluster *Cluster
	wake    chan struct{} // buffered: there is something to do

	mu    sync.Mutex
	asked []operation        // guarded by mu
	mail  map[mailbox][]byte // guarded by mu
	bytes int                // of mail; guarded by mu
	busy  bool               // guarded by mu
}

func newWorker(c *Cluster) *worker {
	return &worker{cluster: c, wake: make(chan struct{}, 1), mail: make(map[mailbox][]byte)}
}

// ask queues op. It is false if it may be refused and the engine is not there or
// too much waits.
func (w *worker) ask(op operation, mayRefuse bool) bool {
	if mayRefuse && !w.cluster.reachable() {
		return false
	}
	w.mu.Lock()
	if mayRefuse && len(w.asked) >= maxAsked || op.kind == opFree && len(w.asked) >= maxFrees {
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

// send does a round's work in one exchange with the engine, but that claims of keys
// of dead nodes take another.
func (w *worker) send(asked []operation, mail map[mailbox][]byte) {
	c := w.cluster
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()

	var runs []scripted
	var others rueidis.Commands
	var looked []*operation
	var ran []*operation
	for i := range asked {
		op := &asked[i]
		switch op.kind {
		case opClaim:
			runs, ran = append(runs, op.claim(op.dead)), append(ran, op)
		case opFree:
			runs, ran = append(runs, scripted{freeScript, op.key, []string{op.entry}}), append(ran, op)
		case opLook:
			others, looked = append(others, c.client.B().Get().Key(op.key).Build()), append(looked, op)
		}
	}
	boxes := make([]mailbox, 0, len(mail))
	for box, frames := range mail {
		boxes = append(boxes, box)
		others = append(others, c.client.B().Publish().Channel(channel(box.node, box.lane)).Message(rueidis.BinaryString(frames)).Build())
	}
	answers, rest := runAll(ctx, c.client, runs, others...)

	failed := false
	var again []*operation
	for i, op := range ran {
		if answers[i].Error() != nil {
			failed = true
		}
		if op.kind == opFree {
			if answers[i].Error() != nil {
				w.ask(*op, false) // until it is done
			}
			continue
		}
		if !op.answer(c, answers[i], true) {
			again = append(again, op)
		}
	}
	for i, op := range looked {
		op.found(c, rest[i])
	}
	for i, box := range boxes {
		there, err := rest[len(looked)+i].AsInt64()
		absent := err == nil && there == 0 && !c.sharded
		if err != nil {
			failed = true
		}
		if err != nil || absent {
			c.router.Undelivered(box.node, mail[box][nodeLen:], absent)
		}
	}
	w.evict(ctx, again)
	if failed {
		c.noticed()
		w.pause()
	}
}

// evict claims keys again whose owner is dead.
func (w *worker) evict(ctx context.Context, claims []*operation) {
	if len(claims) == 0 {
		return
	}
	runs := make([]scripted, len(claims))
	for i, op := range claims {
		runs[i] = op.claim(op.dead)
	}
	answers, _ := runAll(ctx, w.cluster.client, runs)
	for i, op := range claims {
		op.answer(w.cluster, answers[i], false)
	}
}

// pause keeps a worker from asking again and again while the engine is not there.
func (w *worker) pause() {
	select {
	case <-w.cluster.ctx.Done():
	case <-time.After(100 * time.Millisecond):
	}
}

// claim is the run of the script, where dead is the entry that may be replaced, or
// "".
func (op *operation) claim(dead string) scripted {
	right := map[router.Right]string{router.ByToken: "token", router.Yielding: "yield", router.ByTime: "time"}[op.right]
	return scripted{claimScript, op.key, []string{op.entry, dead, right}}
}

// answer tells who asked for a claim. It is false if the owner is dead and the
// claim should be made again, which is looked into the first time.
func (op *operation) answer(c *Cluster, result rueidis.RedisResult, first bool) bool {
	parts, err := result.ToArray()
	if err != nil || len(parts) != 2 {
		op.claimed(router.Ref{}, router.ErrDown)
		return true
	}
	won, _ := parts[0].AsInt64()
	entry, _ := parts[1].ToString()
	before, _ := refOf(entry)
	switch {
	case won == 1:
		if entry == op.dead {
			before = router.Ref{} // a dead node finds out by itself if it is not
		}
		op.claimed(before, nil)
	case first && before.Node != 0 && !c.nodes.alive(before.Node):
		op.dead = entry
		return false
	default:
		op.claimed(before, router.ErrTaken)
	}
	return true
}

// found tells who asked for the owner of a key.
func (op *operation) found(c *Cluster, result rueidis.RedisResult) {
	entry, err := result.ToString()
	owner, ok := refOf(entry)
	switch {
	case rueidis.IsRedisNil(err), err == nil && !ok:
		op.looked(router.Ref{}, router.ErrUnknown)
	case err != nil:
		op.looked(router.Ref{}, router.ErrDown)
	case owner.Node != c.node && !c.nodes.alive(owner.Node):
		op.looked(router.Ref{}, router.ErrUnknown)
	default:
		op.looked(owner, nil)
	}
}
