package conn_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/stretchr/testify/require"
)

// FuzzFrames sends any bytes after a handshake, in one piece, byte by byte, and
// cut at a place that the fuzzer picks.
func FuzzFrames(f *testing.F) {
	for _, session := range sessions {
		f.Add([]byte(strings.TrimPrefix(session, request)), uint16(7))
	}
	f.Add([]byte("\x81\xfe\x00\x7d\x00\x00\x00\x00"), uint16(1))
	f.Add([]byte("\x81\xff\x00\x00\x00\x00\x00\x00\x00\x05aaaabbbbb"), uint16(3))
	limits := generous
	limits.Message = 4 << 10
	l := newLoop(f, limits)
	f.Fuzz(func(t *testing.T, stream []byte, place uint16) {
		if len(stream) > 8<<10 {
			return
		}
		l.t = t
		defer func() { l.t = f }()
		l.do(func() {
			session := request + string(stream)
			whole := l.play(session)
			cut := len(request) + int(place)%(len(stream)+1)
			require.Equal(t, whole, l.play(session, cut))
			everywhere := make([]int, len(stream))
			for i := range everywhere {
				everywhere[i] = len(request) + i
			}
			require.Equal(t, whole, l.play(session, everywhere...))
			for _, message := range whole.messages {
				require.LessOrEqual(t, len(message), limits.Message)
				require.True(t, utf8.ValidString(message))
			}
			reference := referenceMessages(stream)
			require.GreaterOrEqual(t, len(reference), len(whole.messages))
			for i, message := range whole.messages {
				require.Equal(t, reference[i], message)
			}
			if len(whole.left) == 0 {
				require.Len(t, whole.messages, len(reference), "nothing was wrong, so nothing may be missing")
			}
		})
	})
}

// referenceMessages is what gobwas's own reader makes of the stream. It accepts
// more than it should (lengths that are not in their shortest form, binary, any
// size), so it may go on where the connection has ended.
func referenceMessages(stream []byte) (messages []string) {
	r := wsutil.Reader{
		Source:         bytes.NewReader(stream),
		State:          ws.StateServerSide,
		CheckUTF8:      true,
		OnIntermediate: func(_ ws.Header, r io.Reader) error { _, err := io.Copy(io.Discard, r); return err },
	}
	for {
		h, err := r.NextFrame()
		if err != nil || h.OpCode == ws.OpClose {
			return messages
		}
		if h.OpCode.IsControl() {
			if r.Discard() != nil {
				return messages
			}
			continue
		}
		message, err := io.ReadAll(&r)
		if err != nil {
			return messages
		}
		messages = append(messages, string(message))
	}
}

// FuzzHandshake sends any header, whole and cut: an accepted one is a sound
// WebSocket handshake to net/http too.
func FuzzHandshake(f *testing.F) {
	f.Add([]byte(request), uint16(3))
	f.Add([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), uint16(20))
	f.Add([]byte(strings.Replace(request, "Upgrade: websocket", "upgrade:WebSocket , h2c", 1)), uint16(200))
	f.Add([]byte(strings.Replace(request, ": h", ":", 1)), uint16(0))
	l := newLoop(f, generous)
	f.Fuzz(func(t *testing.T, header []byte, place uint16) {
		if len(header) > 10<<10 {
			return
		}
		l.t = t
		defer func() { l.t = f }()
		l.do(func() {
			whole := l.play(string(header))
			cut := int(place) % (len(header) + 1)
			require.Equal(t, whole, l.play(string(header), cut))
			switch {
			case whole.visit != "":
				require.False(t, bytes.HasPrefix(header, []byte("\r\n")))
				require.Equal(t, string(header)+"<nil>", whole.visit)
			case whole.output == "":
				require.NotContains(t, string(header), "\r\n\r\n")
			case strings.HasPrefix(whole.output, "HTTP/1.1 101 "):
				_, fields, _ := bytes.Cut(header, []byte("\r\n"))
				if says(fields, "Content-Length") || says(fields, "Transfer-Encoding") {
					return // which net/http looks at, and here mean nothing
				}
				// The target is not looked at here, so it may be any.
				req, err := http.ReadRequest(bufio.NewReader(io.MultiReader(
					strings.NewReader("GET / HTTP/1.1\r\n"), bytes.NewReader(fields))))
				require.NoError(t, err)
				require.True(t, bytes.HasPrefix(header, []byte("GET ")))
				require.Equal(t, "websocket", strings.ToLower(req.Header.Get("Upgrade")))
				require.Contains(t, strings.ToLower(req.Header.Get("Connection")), "upgrade")
				require.Equal(t, "13", req.Header.Get("Sec-WebSocket-Version"))
				require.Len(t, req.Header["Sec-Websocket-Key"], 1)
			default:
				resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(whole.output)), nil)
				require.NoError(t, err)
				require.NoError(t, resp.Body.Close())
				require.GreaterOrEqual(t, resp.StatusCode, 400)
			}
		})
	})
}

func says(fields []byte, name string) bool {
	return bytes.Contains(bytes.ToLower(fields), bytes.ToLower([]byte(name)))
}
