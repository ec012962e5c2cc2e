package server

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func TestAClientFitsItsSizeClass(t *testing.T) {
	require.LessOrEqual(t, unsafe.Sizeof(client{}), uintptr(112), "the allocator's next class is 128 bytes")
}
