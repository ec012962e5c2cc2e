package router

import (
	"sync"
	"sync/atomic"
	"unsafe"
)

// cacheLine is what the processors we run on move between cores, in bytes.
const cacheLine = 64

// shard is one part of the key table.
type shard struct {
	// joinings counts the Joinings of all Openers in this shard. It is changed
	// under the opener.mu that the Joinings belong to and read without a lock.
	joinings atomic.Int64

	mu      sync.Mutex
	openers table // guarded by mu; may hold dead records for a moment
}

// paddedShard keeps the locks of neighbouring shards out of each other's cache
// line.
type paddedShard struct {
	shard
	_ [(cacheLine - unsafe.Sizeof(shard{})%cacheLine) % cacheLine]byte
}

// find returns the record of key or nil. The record may be dead by now.
func (s *shard) find(hash uint64, key []byte) *opener {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.openers.find(hash, key)
}

// claim returns the record of key. If there is none it makes one, held by
// holder, and returns it with its mutex locked: whoever finds the new record has
// to wait until the caller, who alone knows that it is new, has answered its
// Opener and unlocks it. The record of another may be dead by now.
func (s *shard) claim(hash uint64, key, token []byte, holder *Session) (o *opener, isNew bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.openers.find(hash, key); o != nil {
		return o, false
	}
	o = newOpener(key, token, holder)
	o.mu.Lock()
	s.openers.add(hash, o)
	return o, true
}

// remove takes the dead record o out of the table. It does nothing if somebody
// else has done so, even if the key has a new record.
func (s *shard) remove(hash uint64, o *opener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.openers.remove(hash, o)
}

// size returns the number of keys.
func (s *shard) size() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.openers.count
}
