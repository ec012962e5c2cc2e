//go:build !linux

package poller

import (
	"net"
	"net/netip"
	"syscall"
	"time"
)

// Readiness is the set of events that a callback is told of.
type Readiness uint32

// The readiness that callbacks look at.
const (
	Readable Readiness = 1 << iota
	Writable
	Failed
)

// Loop exists on Linux only; here every method fails or does nothing.
type Loop struct{}

// Share returns ErrNeedsLinux.
func Share(string, string, syscall.RawConn) error { return ErrNeedsLinux }

// Open returns ErrNeedsLinux.
func Open(func(error)) (*Loop, error) { return nil, ErrNeedsLinux }

// Add returns ErrNeedsLinux.
func (*Loop) Add(int, func(Readiness)) error { return ErrNeedsLinux }

// Watch returns ErrNeedsLinux.
func (*Loop) Watch(int, Readiness) error { return ErrNeedsLinux }

// Remove returns ErrNeedsLinux.
func (*Loop) Remove(int) error { return ErrNeedsLinux }

// Every returns ErrNeedsLinux.
func (*Loop) Every(time.Duration, func()) error { return ErrNeedsLinux }

// AtBatchEnd does nothing.
func (*Loop) AtBatchEnd(Flusher) {}

// Post does nothing.
func (*Loop) Post(func()) {}

// Close returns ErrNeedsLinux.
func (*Loop) Close() error { return ErrNeedsLinux }

// Batches returns 0.
func (l *Loop) Batches() uint64 { return 0 }

// Read returns ErrNeedsLinux.
func Read(int, []byte) (int, error) { return 0, ErrNeedsLinux }

// Write returns ErrNeedsLinux.
func Write(int, []byte) (int, error) { return 0, ErrNeedsLinux }

// Accept returns ErrNeedsLinux.
func Accept(int) (int, error) { return -1, ErrNeedsLinux }

// CloseFD returns ErrNeedsLinux.
func CloseFD(int) error { return ErrNeedsLinux }

// ShutdownWrite returns ErrNeedsLinux.
func ShutdownWrite(int) error { return ErrNeedsLinux }

// Listen returns ErrNeedsLinux.
func Listen(netip.AddrPort, bool) (int, error) { return -1, ErrNeedsLinux }

// GiveUpAfter returns ErrNeedsLinux.
func GiveUpAfter(int, time.Duration) error { return ErrNeedsLinux }

// LocalAddr returns ErrNeedsLinux.
func LocalAddr(int) (netip.AddrPort, error) { return netip.AddrPort{}, ErrNeedsLinux }

// PeerAddr returns ErrNeedsLinux.
func PeerAddr(int) (netip.AddrPort, error) { return netip.AddrPort{}, ErrNeedsLinux }

// RaiseFileLimit returns ErrNeedsLinux.
func RaiseFileLimit() (int, error) { return 0, ErrNeedsLinux }

// LetOthersFinish returns ErrNeedsLinux.
func LetOthersFinish() error { return ErrNeedsLinux }

// ToNet returns ErrNeedsLinux.
func ToNet(int) (net.Conn, error) { return nil, ErrNeedsLinux }

// FromNet returns ErrNeedsLinux.
func FromNet(net.Conn) (int, error) { return -1, ErrNeedsLinux }
