// Package poller runs level-triggered readiness loops over Linux epoll. A Loop
// is one goroutine; everything it calls, it calls on that goroutine, one at a
// time. Descriptors are raw, non-blocking and owned by whoever adds them: the
// package never closes one that it did not open. It is the only package that
// makes system calls.
//
// A loop works in batches. One epoll_wait returns the sockets that are ready;
// their callbacks run; whatever they left to be written is written once, at the
// end of the batch (AtBatchEnd). So a socket that gets ten messages in a batch
// costs one write.
//
// An event is a hint. The callbacks of a batch are chosen before the first one
// runs, so a callback can arrive for a descriptor that an earlier one removed,
// or even for the former owner of a reused number. Callbacks check their own
// state first and believe only what read and write tell them.
package poller

import "errors"

// Errors of the raw calls. Everything else is an *os.SyscallError.
var (
	// ErrAgain means that the call would have blocked: wait for readiness.
	ErrAgain = errors.New("poller: would block")
	// ErrNoFiles means that the process or the machine has run out of
	// descriptors or socket memory: accept later.
	ErrNoFiles = errors.New("poller: out of file descriptors")
	// ErrClosed is returned by a Loop that was closed.
	ErrClosed = errors.New("poller: loop is closed")
	// ErrNeedsLinux is returned by everything on other systems.
	ErrNeedsLinux = errors.New("this program needs Linux (epoll)")
)

// Flusher is what waits for the end of a batch.
type Flusher interface {
	// Flush runs on the loop, once for each AtBatchEnd.
	Flush()
}
