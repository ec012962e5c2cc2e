package router

import (
	"errors"
	"sync/atomic"
	"time"
)

// ErrNobody means that there is no such node, or nobody there to answer.
var ErrNobody = errors.New("router: no such node")

// question is what waits for the answer of another node.
type question struct {
	answered atomic.Bool
	timer    *time.Timer // set before the question is sent
	done     func(answer []byte, err error)
}

// Ask sends text to another node, and done gets what that node's Answer says to it,
// which is the callee's, or ErrNobody or ErrDown. It is called once, on any
// goroutine.
func (r *Router) Ask(node uint64, text []byte, done func(answer []byte, err error)) {
	if r.engine == nil {
		done(nil, ErrNobody)
		return
	}
	r.ask(frameAsk, Ref{Node: node}, text, done)
}

func (r *Router) ask(kind frameKind, to Ref, text []byte, done func(answer []byte, err error)) {
	q := &question{done: done}
	var from Ref
	r.places.put(func(slot, gen uint32) any {
		from = Ref{r.engine.Node(), slot, gen}
		q.timer = time.AfterFunc(joinTimeout, func() { r.answered(q, from.Slot, nil, ErrDown) })
		return q
	})
	if !r.send(to, frame{kind: kind, fromSlot: from.Slot, fromGen: from.Gen, payload: text}, false) {
		r.answered(q, from.Slot, nil, ErrDown)
	}
}

// Answer makes answer reply to what other nodes Ask. It must not wait, and may
// keep text; reply can be called on any goroutine. Call it before Cluster.
func (r *Router) Answer(answer func(text []byte, reply func([]byte))) { r.answer = answer }

// answered ends a question.
func (r *Router) answered(q *question, slot uint32, answer []byte, err error) {
	if q.answered.Swap(true) {
		return
	}
	q.timer.Stop()
	r.places.drop(slot)
	q.done(answer, err)
}
