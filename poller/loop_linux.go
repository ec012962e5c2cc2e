package poller

import (
	"errors"
	"os"
	"time"

	"github.com/mailru/easygo/netpoll"
	"golang.org/x/sys/unix"
)

// Readiness is the set of events that a callback is told of.
type Readiness = netpoll.EpollEvent

// The readiness that callbacks look at. Failed arrives unasked.
const (
	Readable Readiness = netpoll.EPOLLIN
	Writable Readiness = netpoll.EPOLLOUT
	Failed   Readiness = netpoll.EPOLLERR | netpoll.EPOLLHUP
)

// Loop is one epoll set and the goroutine that serves it. Its methods may be
// called from any goroutine, callbacks of the loop included, but for Close.
type Loop struct {
	epoll  *netpoll.Epoll
	wake   int // eventfd, ours; its event is the end of a batch
	timers []int
	batch  batch
}

// Open starts a loop. onDead is called on the loop's goroutine if the kernel
// refuses to wait any more; the loop serves nothing after that.
func Open(onDead func(error)) (*Loop, error) {
	epoll, err := netpoll.EpollCreate(&netpoll.EpollConfig{OnWaitError: func(err error) {
		onDead(os.NewSyscallError("epoll_wait", err))
	}})
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC)
	if err != nil {
		return nil, errors.Join(os.NewSyscallError("eventfd", err), epoll.Close())
	}
	l := &Loop{epoll: epoll, wake: wake}
	// Edge-triggered, so that the counter never has to be read: each write is
	// one event.
	err = l.add(wake, netpoll.EPOLLIN|netpoll.EPOLLET, func(Readiness) { l.endBatch() })
	if err != nil {
		return nil, errors.Join(err, epoll.Close(), CloseFD(wake))
	}
	return l, nil
}

// Add watches fd for reading. ready runs on the loop each time that fd can be
// read, or written if that was asked for, or has failed. The caller keeps fd
// and calls Remove before closing it.
func (l *Loop) Add(fd int, ready func(Readiness)) error {
	return l.add(fd, Readable, ready)
}

func (l *Loop) add(fd int, events Readiness, ready func(Readiness)) error {
	err := l.epoll.Add(fd, events, ready)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, netpoll.ErrClosed):
		return ErrClosed
	case errors.Is(err, netpoll.ErrRegistered):
		return err
	}
	// easygo keeps the callback when epoll_ctl fails; Del takes it out first
	// and then fails in the kernel too, which says nothing new.
	_ = l.epoll.Del(fd)
	return os.NewSyscallError("epoll_ctl add", err)
}

// Watch sets the events that fd, added before, is watched for: Readable,
// Writable, both, or 0 for failures only.
func (l *Loop) Watch(fd int, events Readiness) error {
	return os.NewSyscallError("epoll_ctl mod", l.epoll.Mod(fd, events))
}

// Remove stops the events of fd. Call it before fd is closed: a number that the
// kernel has given to the next client must not be taken out of the set.
func (l *Loop) Remove(fd int) error {
	return os.NewSyscallError("epoll_ctl del", l.epoll.Del(fd))
}

// Every runs fn on the loop each interval, until the loop is closed. Late ticks
// are not made up for. It is for setting up: call it before the loop is busy.
func (l *Loop) Every(interval time.Duration, fn func()) error {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return os.NewSyscallError("timerfd_create", err)
	}
	spec := unix.NsecToTimespec(interval.Nanoseconds())
	err = unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: spec, Value: spec}, nil)
	if err != nil {
		return errors.Join(os.NewSyscallError("timerfd_settime", err), CloseFD(fd))
	}
	var expirations [8]byte
	err = l.Add(fd, func(Readiness) {
		// The kernel arms a periodic timer again when it is read.
		if _, err := unix.Read(fd, expirations[:]); err == nil {
			fn()
		}
	})
	if err != nil {
		return errors.Join(err, CloseFD(fd))
	}
	l.timers = append(l.timers, fd)
	return nil
}

// Close ends the loop's goroutine and returns when it has ended. Descriptors
// that were added stay open, with their owners. It must not be called from the
// loop itself, which would wait for its own end.
func (l *Loop) Close() error {
	errs := []error{l.epoll.Close()}
	for _, fd := range append(l.timers, l.wake) {
		errs = append(errs, CloseFD(fd))
	}
	return errors.Join(errs...)
}
