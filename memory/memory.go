// Package memory gives memory back to the system when the program is quiet.
//
// The collector runs when the heap has grown by its percentage, so a server that
// has just been filled, or emptied, and then has nothing to do would keep the
// garbage of that until something else happens. On a small machine it is wanted
// elsewhere.
package memory

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	lookEvery = time.Second
	// Quiet means that the heap has changed by less than a part in steady since
	// the last look; worthwhile, that it has grown by more than a part in worth
	// since memory was given back.
	steady = 50
	worth  = 20
	// Between two times are at least leastPause, and costShare times as long as
	// the first has taken, but no more than mostPause: on a busy machine it takes long
	// for what it costs.
	leastPause = 3 * time.Second
	mostPause  = 10 * time.Second
	costShare  = 200
)

// GiveBack looks at the heap now and then, until ctx is done, and gives back
// what is not needed.
func GiveBack(ctx context.Context) {
	k := newKeeper()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-ticker.C:
			k.look(now)
		}
	}
}

// keeper remembers what was seen. It belongs to one goroutine.
type keeper struct {
	samples []metrics.Sample
	last    uint64    // bytes held at the last look
	kept    uint64    // bytes held after memory was given back
	pause   time.Time // before this it is not done again
}

func newKeeper() *keeper {
	return &keeper{samples: []metrics.Sample{
		{Name: "/memory/classes/heap/objects:bytes"}, // garbage included
		{Name: "/memory/classes/heap/unused:bytes"},
		{Name: "/memory/classes/heap/free:bytes"},
	}}
}

// look gives memory back if this is the time for it, and says whether it did.
func (k *keeper) look(now time.Time) bool {
	held := k.held()
	changed := max(held, k.last) - min(held, k.last)
	k.last = held
	if changed > held/steady || held <= k.kept+k.kept/worth || now.Before(k.pause) {
		return false
	}
	started := time.Now()
	debug.FreeOSMemory()
	k.pause = now.Add(pauseAfter(time.Since(started)))
	k.kept = k.held()
	k.last = k.kept
	return true
}

func pauseAfter(cost time.Duration) time.Duration {
	return min(max(leastPause, costShare*cost), mostPause)
}

// held is how much of the system's memory the heap takes, in bytes.
func (k *keeper) held() uint64 {
	metrics.Read(k.samples)
	var sum uint64
	for _, s := range k.samples {
		sum += s.Value.Uint64()
	}
	return sum
}
