package server_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"sigver/server"
)

// FuzzPost sends any first message over Server-Sent Events and over a WebSocket:
// the outcome is the same.
func FuzzPost(f *testing.F) {
	for _, message := range []string{
		`{"open":"k"}`, `{"open":"k","token":"t"}`, `{"key":"k"}`, `{"join":"k"}`, `{"data":1}`, `{"id":1,"data":2}`, `{}`, ``,
		`[`, "{\"open\":\"\xff\"}", `{"open":"\ud800"}`, "{\"open\":\"\n\"}", ` {"open" : "k" } `, `{"open":5}`, `@`,
	} {
		f.Add([]byte(message))
	}
	f.Add(bytes.Repeat([]byte("["), 64<<10))
	c := config(f)
	c.NoDemo = true
	s := start(f, c)
	f.Fuzz(func(t *testing.T, message []byte) {
		if len(message) > 64<<10 {
			return // is 413, after which net/http waits half a second
		}
		over := overWebSocket(t, s, message)
		nobody(t, s)
		stream := overStream(t, s, message)
		nobody(t, s)
		require.Equal(t, over, stream)
		require.NoError(t, s.Check())
	})
}

func nobody(t testing.TB, s *server.Server) {
	t.Helper()
	require.Eventually(t, func() bool { return s.Connections() == 0 && s.Stats().Keys == 0 }, patience, 50*time.Microsecond)
}

// overWebSocket returns the answer to message, or "close" and its code.
func overWebSocket(t *testing.T, s *server.Server, message []byte) string {
	c := dial(t, s)
	defer c.CloseNow()
	ctx := t.Context()
	require.NoError(t, c.Write(ctx, websocket.MessageText, message))
	_, answer, err := c.Read(ctx)
	if err == nil {
		return string(answer)
	}
	return "close " + strconv.Itoa(int(websocket.CloseStatus(err)))
}

// overStream is the same for Server-Sent Events; also the status of the POST if it is
// not 200.
func overStream(t *testing.T, s *server.Server, message []byte) string {
	socket, err := net.Dial("tcp", s.Addr().String())
	require.NoError(t, err)
	defer socket.Close()
	require.NoError(t, socket.SetDeadline(time.Now().Add(patience)))
	_, err = io.WriteString(socket, "GET / HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n")
	require.NoError(t, err)
	events := bufio.NewReader(socket)
	resp, err := http.ReadResponse(events, nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	body := bufio.NewReader(resp.Body)
	next := func() (name, data string) {
		for {
			line, err := body.ReadString('\n')
			require.NoError(t, err)
			field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
			switch field {
			case "event":
				name = value
			case "data":
				data = value
			case "":
				return name, data
			}
		}
	}
	name, token := next()
	require.Equal(t, "auth", name)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	answer, err := client.Post("http://"+s.Addr().String()+"/", "text/plain", io.MultiReader(strings.NewReader(token+"@"), bytes.NewReader(message)))
	require.NoError(t, err)
	said, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	require.NoError(t, answer.Body.Close())
	if answer.StatusCode != http.StatusOK {
		return strconv.Itoa(answer.StatusCode)
	}
	require.Empty(t, said)
	name, data := next()
	if name == "" {
		return data
	}
	var closed struct{ Code int }
	require.Equal(t, "close", name)
	require.NoError(t, json.Unmarshal([]byte(data), &closed))
	return "close " + strconv.Itoa(closed.Code)
}
