package router

import "hash/maphash"

const (
	minSlots = 8

	// A table is at most 3/4 full, so that looking for a key that is not there
	// ends soon, and at least 1/8, so that memory returns when keys do.
	fullNumerator, fullDenominator = 3, 4
	sparse                         = 8
)

// table is the records of one shard by key: open addressing with linear probing.
// The records know their keys, so a slot is one pointer, 8 bytes where a Go map
// of the same takes 25. Its zero value, with a seed, is an empty table. It is
// guarded by its shard's mutex.
type table struct {
	seed  maphash.Seed
	slots []*opener // a power of two of them, or none; nil where free
	count int
}

// find returns the record of key, whose hash is given, or nil.
func (t *table) find(hash uint64, key []byte) *opener {
	if t.count == 0 {
		return nil
	}
	for i := t.home(hash); t.slots[i] != nil; i = t.next(i) {
		if o := t.slots[i]; o.key == string(key) { // this conversion does not allocate
			return o
		}
	}
	return nil
}

// add puts in o, whose key is not there yet.
func (t *table) add(hash uint64, o *opener) {
	if (t.count+1)*fullDenominator > len(t.slots)*fullNumerator {
		t.resize(max(minSlots, 2*len(t.slots)))
	}
	t.put(hash, o)
	t.count++
}

// remove takes o out. It is false if o is not there, even if its key is.
func (t *table) remove(hash uint64, o *opener) bool {
	if t.count == 0 {
		return false
	}
	free := t.home(hash)
	for t.slots[free] != o {
		if t.slots[free] == nil {
			return false
		}
		free = t.next(free)
	}
	// Whoever was pushed on by o, directly or not, moves up, so that no search
	// ends too early at the slot that becomes free.
	for i := t.next(free); t.slots[i] != nil; i = t.next(i) {
		home := t.home(t.hash(t.slots[i]))
		if t.distance(home, i) >= t.distance(free, i) {
			t.slots[free] = t.slots[i]
			free = i
		}
	}
	t.slots[free] = nil
	t.count--
	if len(t.slots) > minSlots && t.count*sparse < len(t.slots) {
		t.resize(len(t.slots) / 2)
	}
	return true
}

func (t *table) resize(n int) {
	old := t.slots
	t.slots = make([]*opener, n)
	for _, o := range old {
		if o != nil {
			t.put(t.hash(o), o)
		}
	}
}

// put stores o in the first free slot from its home on.
func (t *table) put(hash uint64, o *opener) {
	i := t.home(hash)
	for t.slots[i] != nil {
		i = t.next(i)
	}
	t.slots[i] = o
}

// home is where a search begins. The low bits of the hash have chosen the shard.
func (t *table) home(hash uint64) int { return int(hash>>32) & (len(t.slots) - 1) }

func (t *table) next(i int) int { return (i + 1) & (len(t.slots) - 1) }

// distance is how many steps of next lead from one slot to another.
func (t *table) distance(from, to int) int { return (to - from) & (len(t.slots) - 1) }

func (t *table) hash(o *opener) uint64 { return maphash.String(t.seed, o.key) }
