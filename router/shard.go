package router

import (
	"maps"
	"sync"
	"sync/atomic"
	"unsafe"
)

const (
	// cacheLine is what the processors we run on move between cores, in bytes.
	cacheLine = 64

	// keptPeak is the largest peak of a shard's map that is not worth giving
	// back; a map never shrinks by itself.
	keptPeak = 64

	// shrinkAt is how far below its peak a larger map falls before it is
	// rebuilt. Three quarters of its entries went since the last time, so the
	// copy of the rest costs each departure a fraction of an insert.
	shrinkAt = 4
)

// shard is one part of the key table.
type shard struct {
	// joinings counts the Joinings of all Openers in this shard. It is changed
	// under the opener.mu that the Joinings belong to and read without a lock.
	joinings atomic.Int64

	mu sync.Mutex

	// Guarded by mu.
	openers map[string]*opener // by opener.key; may hold dead ones for a moment
	peak    int                // most entries since openers was made
}

// paddedShard keeps the locks of neighbouring shards out of each other's cache
// line.
type paddedShard struct {
	shard
	_ [cacheLine - unsafe.Sizeof(shard{})%cacheLine]byte
}

// find returns the record of key or nil. The record may be dead by now.
func (s *shard) find(key []byte) *opener {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.openers[string(key)] // this conversion does not allocate
}

// claim returns the record of key. If there is none it makes one, held by
// holder, and returns it with its mutex locked: whoever finds the new record has
// to wait until the caller, who alone knows that it is new, has answered its
// Opener and unlocks it. The record of another may be dead by now.
func (s *shard) claim(key, token []byte, holder *Session) (o *opener, isNew bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.openers[string(key)]; o != nil {
		return o, false
	}
	o = &opener{
		shard:  s,
		key:    string(key),
		token:  string(token),
		holder: holder,
	}
	o.mu.Lock()
	s.openers[o.key] = o
	s.peak = max(s.peak, len(s.openers))
	return o, true
}

// remove takes the dead record o out of the table. It does nothing if somebody
// else has done so, even if the key has a new record.
func (s *shard) remove(o *opener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.openers[o.key] != o {
		return
	}
	delete(s.openers, o.key)
	if s.peak > keptPeak && len(s.openers) <= s.peak/shrinkAt {
		s.shrinkLocked()
	}
}

// shrinkLocked moves the entries to a map of their number, so that the memory
// of the old one returns.
func (s *shard) shrinkLocked() {
	smaller := make(map[string]*opener, len(s.openers))
	maps.Copy(smaller, s.openers)
	s.openers = smaller
	s.peak = len(smaller)
}

// size returns the number of keys.
func (s *shard) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.openers)
}
