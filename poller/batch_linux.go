package poller

import (
	"encoding/binary"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// keptEntries bounds what an idle loop keeps of a busy moment: entries of its
// lists, 16 bytes or fewer each.
const keptEntries = 1024

// batch is what the end of a batch has to do.
type batch struct {
	mu sync.Mutex

	// Guarded by mu.
	flushers []Flusher
	posted   []func()
	waking   bool // the eventfd was written and its event has not been dealt with

	count uint64    // of batches in which something was to be flushed; loop only
	aside time.Time // when the goroutine last let others go first; loop only

	// Loop only: the lists of the last batch, used again for the next.
	spareFlushers []Flusher
	sparePosted   []func()
}

// Batches is how many batches there were that had something to flush. Loop only.
func (l *Loop) Batches() uint64 { return l.batch.count }

// AtBatchEnd lets f.Flush run once on the loop, when the callbacks of the
// present batch have run, or soon if the loop was waiting.
func (l *Loop) AtBatchEnd(f Flusher) {
	b := &l.batch
	b.mu.Lock()
	b.flushers = append(b.flushers, f)
	l.wakeLocked()
}

// Post lets fn run once on the loop, soon and after the batch's callbacks. What
// was posted when the loop is closed may never run.
func (l *Loop) Post(fn func()) {
	b := &l.batch
	b.mu.Lock()
	b.posted = append(b.posted, fn)
	l.wakeLocked()
}

// one is what is added to the eventfd's counter. Nobody reads the counter, and
// at this step it takes 2^64 batches to fill it.
var one = binary.NativeEndian.AppendUint64(nil, 1)

// wakeLocked makes sure that endBatch will run, and unlocks.
//
// The eventfd is written by the first of a batch only. epoll puts it at the end
// of the ready list, so its event comes after the sockets of the batch.
func (l *Loop) wakeLocked() {
	first := !l.batch.waking
	l.batch.waking = true
	l.batch.mu.Unlock()
	if first {
		// Fails only when the loop has been closed, and then nothing is to run.
		_, _ = transfer(unix.SYS_WRITE, "write", l.wake, one, 0)
	}
}

// endBatch runs all that waits, and what that in turn adds, until nothing does.
func (l *Loop) endBatch() {
	b := &l.batch
	for {
		b.mu.Lock()
		flushers, posted := b.flushers, b.posted
		if len(flushers) == 0 && len(posted) == 0 {
			b.waking = false
			b.mu.Unlock()
			l.stepAside()
			// If others wait for this core, they may be about to send more:
			// the next batch is larger for it. If nobody does, nothing happens.
			yield()
			return
		}
		b.flushers, b.posted = b.spareFlushers, b.sparePosted
		b.mu.Unlock()

		if len(flushers) > 0 {
			b.count++
		}
		for _, fn := range posted {
			fn()
		}
		for _, f := range flushers {
			f.Flush()
		}
		b.spareFlushers, b.sparePosted = emptied(flushers), emptied(posted)
	}
}

// turn is how long a loop runs before it lets other goroutines go first.
const turn = 5 * time.Millisecond

// stepAside does that when the turn is over. Go's runtime would do it after 10 ms, with
// a signal, and takes the processor from a loop that is in a system call just then;
// after that its monitor looks every 20 µs whether there is more to take, for
// some milliseconds. It leaves those alone that have stepped aside since it last looked.
func (l *Loop) stepAside() {
	if now := time.Now(); now.Sub(l.batch.aside) > turn {
		l.batch.aside = now
		runtime.Gosched()
	}
}

// emptied returns list with length 0 and no references left in it, or nil if it
// had grown beyond what is worth keeping.
func emptied[T any](list []T) []T {
	if cap(list) > keptEntries {
		return nil
	}
	clear(list)
	return list[:0]
}
