package cluster

import (
	"errors"

	"github.com/redis/rueidis"

	"sigver/router"
)

type opKind uint8

const (
	opClaim opKind = iota
	opFree
	opLook
)

// operation is something that the engine is asked for. It belongs to a worker.
type operation struct {
	kind    opKind
	key     string
	entry   string // to claim, or what the entry to free begins with
	dead    string // an entry in the way of a claim, of a dead node; "" if there is none
	right   router.Right
	claimed func(before router.Ref, err error)
	looked  func(owner router.Ref, err error)

	// What the engine has answered.
	there string // the entry that it found, "" if there was none
	won   bool   // a claim
	err   error
}

var (
	errForgotten = errors.New("the engine has forgotten")
	errFenced    = errors.New("keys may be missing in the engine")
	errClosed    = errors.New("this node stops")
	errNonsense  = errors.New("the engine answers something else than was asked for")
)

// late reports whether a claim must not be sent any more. Ask after the memory that
// it is sent with was looked up.
func (op *operation) late(c *Cluster) bool {
	return op.kind == opClaim && op.right == router.ByToken && c.fenced()
}

// run is how a claim or a release is done. memory is what the engine has to know.
func (op *operation) run(c *Cluster, memory *string) scripted {
	if op.kind == opFree {
		return scripted{freeScript, []string{op.key}, []string{op.entry}}
	}
	right := map[router.Right]string{router.ByToken: "token", router.Yielding: "yield", router.ByTime: "time"}[op.right]
	s := scripted{claimScript, []string{op.key}, []string{op.entry, op.dead, right, "", c.lost, c.takenOver}}
	if !c.sharded { // else it is at another shard
		s.keys = append(s.keys, memoryName)
		s.args[3] = *memory
	}
	return s
}

// read takes the engine's answer.
func (op *operation) read(result rueidis.RedisResult) {
	op.there, op.won, op.err = "", false, result.Error()
	switch {
	case rueidis.IsRedisNil(op.err):
		op.err = nil
	case op.err != nil:
	case op.kind == opLook:
		op.there, op.err = result.ToString()
	case op.kind == opClaim:
		var parts []rueidis.RedisMessage
		if parts, op.err = result.ToArray(); op.err != nil || len(parts) != 2 {
			op.err = errors.Join(op.err, errNonsense)
			return
		}
		verdict, _ := parts[0].AsInt64() // by claimScript
		op.there, _ = parts[1].ToString()
		op.won = verdict == 1
		if verdict == 2 {
			op.err = errForgotten
		}
	}
}

// owner is whose entry was found.
func (op *operation) owner() (owner router.Ref, ok bool) { return refOf(op.there) }

// tell tells who asked, where dead are nodes that are.
func (op *operation) tell(w *worker, dead map[uint64]bool) {
	owner, ok := op.owner()
	switch {
	case op.kind == opFree:
		if op.err != nil {
			w.ask(*op) // until it is done
		}
	case op.kind == opLook:
		switch {
		case op.err == nil && ok && !dead[owner.Node]:
			op.looked(owner, nil)
		case op.err != nil || w.cluster.fenced(): // who has it may not have said so yet
			op.looked(router.Ref{}, router.ErrDown)
		default:
			op.looked(router.Ref{}, router.ErrUnknown)
		}
	case op.err == errFenced, op.err == errClosed:
		op.claimed(router.Ref{}, router.ErrNotAsked)
	case op.err != nil:
		op.claimed(router.Ref{}, router.ErrDown)
	case op.won:
		op.claimed(owner, nil)
	default:
		op.claimed(owner, router.ErrTaken)
	}
}
