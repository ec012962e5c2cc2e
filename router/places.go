package router

import (
	"sync"

	"sigver/protocol"
)

// places is what other nodes can name: the records of open keys, those that are
// about to be, and the ends here of pairs whose other end is at another node.
type places struct {
	mu   sync.RWMutex
	all  []place  // guarded by mu; 0 is nobody's
	free []uint32 // guarded by mu: slots that are
}

// never is the tenure of a record whose key the engine has not granted yet.
const never = 0

// place is one slot.
type place struct {
	gen     uint32 // counts the uses of the slot
	tenure  uint32 // a record's: in which tenure of the node the key was claimed, or never
	claimed int64  // a record's: when, Unix time in milliseconds
	what    any    // *claim, *opener, *farJoining, *farOpener, *question; nil if free
}

// put finds a slot for what make returns, which is called under the lock.
func (p *places) put(make func(slot, gen uint32) any) {
	var slot uint32
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.free); n > 0 {
		slot = p.free[n-1]
		p.free = p.free[:n-1]
	} else {
		if len(p.all) == 0 {
			p.all = append(p.all, place{})
		}
		slot = uint32(len(p.all))
		p.all = append(p.all, place{})
	}
	at := &p.all[slot]
	at.gen++
	at.what = make(slot, at.gen)
}

// drop frees slot, and returns which use of it ends.
func (p *places) drop(slot uint32) (gen uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := &p.all[slot]
	gen = at.gen
	*at = place{gen: gen}
	p.free = append(p.free, slot)
	return gen
}

// at returns what is in a slot, whatever use of it that is.
func (p *places) at(slot uint32) any {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.all[slot].what
}

// find returns what slot and gen name, or nil.
func (p *places) find(slot, gen uint32) any {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if int(slot) >= len(p.all) || p.all[slot].gen != gen {
		return nil
	}
	return p.all[slot].what
}

// own puts the record o where the claim in slot was, unless that has lost the key,
// which is why.
func (p *places) own(slot uint32, o *opener, tenure uint32, claimed int64) (why protocol.CloseCode) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := &p.all[slot]
	if why = at.what.(*claim).lost; why == 0 {
		at.what, at.tenure, at.claimed = o, tenure, claimed
	}
	return why
}

// lose notes that what slot and gen name has lost its key, if it is a claim. If it
// is a record, that is returned.
func (p *places) lose(slot, gen uint32, why protocol.CloseCode) *opener {
	p.mu.Lock()
	defer p.mu.Unlock()
	if int(slot) >= len(p.all) || p.all[slot].gen != gen {
		return nil
	}
	switch what := p.all[slot].what.(type) {
	case *claim:
		what.lost = why
	case *opener:
		return what
	}
	return nil
}

// tenureOf is in which tenure the key of the record in slot was claimed.
func (p *places) tenureOf(slot uint32) uint32 {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.all[slot].tenure
}

// some returns what is in up to n slots from slot on that are not free, and where
// to go on, or 0 at the end.
func (p *places) some(slot uint32, n int) (found []placed, next uint32) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	for ; int(slot) < len(p.all); slot++ {
		if len(found) == n {
			return found, slot
		}
		if at := &p.all[slot]; at.what != nil {
			found = append(found, placed{slot, *at})
		}
	}
	return found, 0
}

// each is what some returns, of all.
func (p *places) each(f func(placed)) {
	const atOnce = 1000 // under the lock
	for next := uint32(1); next != 0; {
		var found []placed
		found, next = p.some(next, atOnce)
		for _, at := range found {
			f(at)
		}
	}
}

type placed struct {
	slot uint32
	place
}

// renew notes that the key of a record was claimed again, if it is still there.
func (p *places) renew(slot, gen, tenure uint32) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := &p.all[slot]; at.gen == gen {
		at.tenure = tenure
	}
}
