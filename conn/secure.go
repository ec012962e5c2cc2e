package conn

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"time"

	"sigver/poller"
)

const (
	sealAtOnce = 32 << 10 // plain bytes that are encrypted before the socket has to take them
	readsATurn = 16       // TLS records that are read before other connections have their turn
	maxAnswers = 64 << 10 // encrypted bytes that may wait, which are sealAtOnce and TLS's own answers
)

// secure is the TLS of one connection (RFC 8446). It belongs to whoever has the
// connection: its loop, or the goroutine that it was lent to.
type secure struct {
	tls  *tls.Conn
	wire wire
}

// wire is what a tls.Conn takes for the network. For a goroutine it is just the
// socket. For a loop it never waits: Read says that there is nothing yet in the
// one way that tls.Conn does not remember as a failure, and Write takes
// everything, because tls.Conn would remember anything else.
type wire struct {
	net.Conn          // lent to a goroutine; nil while it is a loop's
	early    [][]byte // what the loop had read of it before that; each is read by itself
	fd       int      // the loop's
	out      *output  // encrypted and not written; nil when there is nothing
}

// newSecure returns the server's side of a TLS connection.
func newSecure(config *tls.Config) *secure {
	s := &secure{wire: wire{fd: -1}}
	s.tls = tls.Server(&s.wire, config)
	return s
}

func (w *wire) Read(p []byte) (int, error) {
	if len(w.early) > 0 {
		n := copy(p, w.early[0])
		if w.early[0] = w.early[0][n:]; len(w.early[0]) == 0 {
			w.early = w.early[1:]
		}
		return n, nil
	}
	if w.Conn != nil {
		return w.Conn.Read(p)
	}
	n, err := poller.Read(w.fd, p)
	switch {
	case errors.Is(err, poller.ErrAgain):
		return 0, notYet{}
	case err == nil && n == 0 && len(p) > 0:
		return 0, io.EOF
	}
	return n, err
}

func (w *wire) Write(p []byte) (int, error) {
	if w.Conn == nil {
		if w.out == nil {
			w.out = outputs.Get().(*output)
		}
		return w.out.Write(p)
	}
	if w.out != nil {
		// The loop had not got rid of these; they come first.
		_, err := w.Conn.Write(w.out.bytes[w.out.sent:])
		w.release()
		if err != nil {
			return 0, err
		}
	}
	return w.Conn.Write(p)
}

// SetDeadline and its kin do nothing while a loop has the connection. tls.Conn
// sets one when it closes.
func (w *wire) SetDeadline(t time.Time) error {
	if w.Conn == nil {
		return nil
	}
	return w.Conn.SetDeadline(t)
}

// SetReadDeadline is SetDeadline for reading.
func (w *wire) SetReadDeadline(t time.Time) error {
	if w.Conn == nil {
		return nil
	}
	return w.Conn.SetReadDeadline(t)
}

// SetWriteDeadline is SetDeadline for writing.
func (w *wire) SetWriteDeadline(t time.Time) error {
	if w.Conn == nil {
		return nil
	}
	return w.Conn.SetWriteDeadline(t)
}

// unsent is how many encrypted bytes wait for the socket.
func (w *wire) unsent() int {
	if w.out == nil {
		return 0
	}
	return len(w.out.bytes) - w.out.sent
}

// flush gives the socket what it takes of the encrypted bytes.
func (w *wire) flush() error {
	if w.out == nil {
		return nil
	}
	n, err := poller.Write(w.fd, w.out.bytes[w.out.sent:])
	if err != nil && !errors.Is(err, poller.ErrAgain) {
		return err
	}
	w.out.sent += n
	if w.out.sent == len(w.out.bytes) {
		w.release()
	}
	return nil
}

func (w *wire) release() {
	recycle(w.out)
	w.out = nil
}

// lend gives the connection, of which early was read, to a goroutine as socket.
func (w *wire) lend(socket net.Conn, early [][]byte) {
	w.Conn, w.early, w.fd = socket, early, -1
}

// takeBack makes the connection a loop's again.
func (w *wire) takeBack() (fd int, err error) {
	socket := w.Conn
	w.Conn, w.early = nil, nil
	w.fd, err = poller.FromNet(socket)
	return w.fd, err
}

// read is poller.Read of what was decrypted.
func (s *secure) read(p []byte) (int, error) {
	n, err := s.tls.Read(p)
	switch {
	case n > 0:
		return n, nil
	case errors.Is(err, notYet{}):
		return 0, poller.ErrAgain
	case errors.Is(err, io.EOF):
		return 0, nil
	}
	return 0, err
}

// write encrypts from and gives it to the socket until that takes no more. done
// says that nothing is left over.
func (s *secure) write(from *output) (done bool, err error) {
	for {
		if err := s.wire.flush(); err != nil || s.wire.out != nil {
			return false, err
		}
		if from == nil || from.sent == len(from.bytes) {
			return true, nil
		}
		n, err := s.tls.Write(from.bytes[from.sent:min(len(from.bytes), from.sent+sealAtOnce)])
		if err != nil {
			return false, err
		}
		from.sent += n
	}
}

// finish says that nothing follows (close_notify, RFC 8446 §6.1), if the socket
// has room for that.
func (s *secure) finish() {
	_ = s.tls.CloseWrite()
	_ = s.wire.flush()
}

// notYet is the error of a read that would wait. Being a timeout and temporary,
// it does not end a tls.Conn.
type notYet struct{}

func (notYet) Error() string   { return os.ErrDeadlineExceeded.Error() }
func (notYet) Timeout() bool   { return true }
func (notYet) Temporary() bool { return true }

var _ net.Error = notYet{}
