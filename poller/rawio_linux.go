package poller

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The calls below go to the kernel without telling the Go scheduler
// (RawSyscall). That is right for sockets that cannot block, and saves a sixth
// of the CPU of a relayed message. On a blocking descriptor it would stop a
// whole processor of the runtime: do not use them there.
//
// Sockets are asked by recv and send. read and write do the same by way of the file
// that a socket is too, for a fortieth more CPU per relay.

// Read reads once from a non-blocking socket. It returns ErrAgain when there is
// nothing yet and 0, nil at the end of the stream. n is never negative.
func Read(fd int, p []byte) (n int, err error) {
	return transfer(unix.SYS_RECVFROM, "recv", fd, p, 0)
}

// Write writes once to a non-blocking socket, possibly less than all of p. It
// returns ErrAgain when nothing was taken. n is never negative.
func Write(fd int, p []byte) (n int, err error) {
	return transfer(unix.SYS_SENDTO, "send", fd, p, unix.MSG_NOSIGNAL)
}

func transfer(call uintptr, name string, fd int, p []byte, flags uintptr) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		n, _, errno := unix.RawSyscall6(call, uintptr(fd), uintptr(unsafe.Pointer(&p[0])), uintptr(len(p)), flags, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR:
		case unix.EAGAIN:
			return 0, ErrAgain
		default:
			return 0, os.NewSyscallError(name, errno)
		}
	}
}

// Accept takes one connection from a listening fd. The new descriptor is
// non-blocking and the caller's. It returns ErrAgain when nobody waits and
// ErrNoFiles when there is no descriptor to be had for the one that does.
func Accept(fd int) (int, error) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(fd), 0, 0, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch errno {
		case 0:
			return int(n), nil
		case unix.EINTR, unix.ECONNABORTED:
		case unix.EAGAIN:
			return -1, ErrAgain
		case unix.EMFILE, unix.ENFILE, unix.ENOBUFS, unix.ENOMEM:
			return -1, ErrNoFiles
		default:
			return -1, os.NewSyscallError("accept4", errno)
		}
	}
}

// CloseFD closes fd. Call Loop.Remove first if a loop watches it.
func CloseFD(fd int) error {
	return os.NewSyscallError("close", unix.Close(fd))
}

// ShutdownWrite ends the outgoing half of a connection: the peer reads what was
// written and then the end of the stream.
func ShutdownWrite(fd int) error {
	return os.NewSyscallError("shutdown", unix.Shutdown(fd, unix.SHUT_WR))
}

// yield lets another thread that waits for this core go first (sched_yield).
func yield() {
	_, _, _ = unix.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
}
