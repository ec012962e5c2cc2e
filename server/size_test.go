package server

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func TestAClientFitsItsSizeClass(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(client{}), uintptr(96), "the allocator's next class is 112 bytes")
}

func TestAConnIsWhereItIsLookedFor(t *testing.T) {
	c, st := new(client), new(stream)
	require.Zero(t, unsafe.Offsetof(c.Conn))
	require.Zero(t, unsafe.Offsetof(st.client))
	require.Same(t, c, eventsOf(&c.Conn))
}
