package poller_test

import (
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/poller"
)

// closedMeanwhile is a connection that somebody closes while its descriptor is
// duplicated.
type closedMeanwhile struct{ *net.UnixConn }

func (c closedMeanwhile) SyscallConn() (syscall.RawConn, error) {
	raw, err := c.UnixConn.SyscallConn()
	return closedAfterwards{raw, c}, err
}

type closedAfterwards struct {
	syscall.RawConn
	conn closedMeanwhile
}

func (r closedAfterwards) Control(f func(uintptr)) error {
	err := r.RawConn.Control(f)
	_ = r.conn.UnixConn.Close()
	return err
}

// Whoever closes a connection while it is taken back has closed it.
func TestTakingBackWhatIsClosedMeanwhileLeavesNothing(t *testing.T) {
	before := openFiles(t)
	a, b := pair(t)
	socket, err := poller.ToNet(a)
	require.NoError(t, err)
	fd, err := poller.FromNet(closedMeanwhile{socket.(*net.UnixConn)})
	require.ErrorIs(t, err, net.ErrClosed)
	require.Equal(t, -1, fd)
	require.NoError(t, poller.CloseFD(b))
	require.Equal(t, before, openFiles(t))
}

func TestTakingBack(t *testing.T) {
	a, b := pair(t)
	defer poller.CloseFD(b)
	socket, err := poller.ToNet(a)
	require.NoError(t, err)
	fd, err := poller.FromNet(socket)
	require.NoError(t, err)
	_, err = poller.Read(fd, make([]byte, 1))
	require.ErrorIs(t, err, poller.ErrAgain)
	require.NoError(t, poller.CloseFD(fd))
}
