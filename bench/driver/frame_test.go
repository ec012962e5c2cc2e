//go:build linux

package driver

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

// Every length that changes the form of a header is read back by gobwas/ws.
func TestFramesAreReadByAnotherLibrary(t *testing.T) {
	key := [4]byte{1, 2, 3, 4}
	for _, n := range []int{0, 1, 124, 125, 126, 127, 128, 65534, maxPayload} {
		payload := strings.Repeat("x", n)
		out := []byte("before")
		start := len(out)
		out = beginFrame(out)
		out = append(out, payload...)
		out = endFrame(out, start, opText, key)

		r := bytes.NewReader(out[start:])
		header, err := ws.ReadHeader(r)
		require.NoError(t, err)
		require.True(t, header.Fin)
		require.Equal(t, ws.OpText, header.OpCode)
		require.Equal(t, key, header.Mask)
		require.EqualValues(t, n, header.Length)
		got := make([]byte, n)
		_, err = r.Read(got)
		require.True(t, err == nil || n == 0)
		ws.Cipher(got, header.Mask, 0)
		require.Equal(t, payload, string(got))
		require.Zero(t, r.Len())
		require.Equal(t, "before", string(out[:start]))
	}
}

func TestFramesOfAnotherLibraryAreRead(t *testing.T) {
	for _, n := range []int{0, 125, 126, 65535, 65536} {
		payload := bytes.Repeat([]byte("y"), n)
		var b bytes.Buffer
		require.NoError(t, ws.WriteFrame(&b, ws.NewTextFrame(payload)))
		whole := b.Bytes()
		f, used := takeFrame(append(bytes.Clone(whole), "next"...))
		require.Equal(t, len(whole), used)
		require.EqualValues(t, opText, f.opcode)
		require.Equal(t, string(payload), string(f.payload))
		for cut := range min(len(whole), 200) {
			_, used := takeFrame(whole[:cut])
			require.Zero(t, used, "%d of %d bytes", cut, len(whole))
		}
	}
}

func TestWhatNoServerSendsIsRefused(t *testing.T) {
	for name, b := range map[string][]byte{
		"masked":        {0x81, 0x80, 0, 0, 0, 0},
		"fragmented":    {0x01, 0x00},
		"reserved bits": {0xc1, 0x00},
		"endless":       {0x81, 127, 1, 0, 0, 0, 0, 0, 0, 0},
	} {
		_, used := takeFrame(b)
		require.Equal(t, -1, used, name)
	}
}
