package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A transcript is what clients and server say to each other, a line each:
//
//	A> {"open":"k"}             client A sends this; at its first line it connects
//	A< {"isKeyOk":true}         client A receives this, to the byte
//	A< {"id":$B,"data":1}       $B stands for a number: any at first, the same from then on
//	A close 1000                client A closes with this code and gets it back
//	A drop                      client A's connection breaks
//	A closed 4010 KEY_EXISTS    the server closes A, the reason contains the rest
//
// Blank lines and lines that begin with # are for the reader. An SSE client, which
// has no close of its own, breaks its connection instead.
func TestTranscripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	// A server for each way: what a transcript has opened there is still being
	// closed when the next way begins.
	servers := map[string]*instance{}
	for way := range ways {
		switch {
		case strings.HasPrefix(way, "tls"):
			servers[way] = startTLS(t)
		case strings.HasPrefix(way, "nodes"):
			servers[way] = startNodes(t)
		default:
			servers[way] = start(t)
		}
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			for way, connect := range ways {
				text := text
				if strings.HasPrefix(way, "nodes") {
					// What is not the same when the clients are at different nodes.
					if there, err := os.ReadFile(filepath.Join("testdata/nodes", filepath.Base(file))); err == nil {
						text = there
					}
				}
				t.Run(way, func(t *testing.T) { play(t, servers[way], connect, string(text)) })
			}
		})
	}
}

// speaker is a client that a transcript can speak of.
type speaker interface {
	send(text string)
	receive() string
	wantClose(code int, reason string)
	closeWith(code int)
	drop()
}

// ways are how the clients of a transcript are connected, by their letters.
var ways = map[string]func(t *testing.T, s *instance, name string) speaker{
	"ws":        webSocket,
	"sse":       eventSource,
	"mixed":     mixed,
	"tls-ws":    webSocket,
	"tls-sse":   eventSource,
	"tls-mixed": mixed,

	// A, the Opener, is at one node, and all others at another.
	"nodes-ws":    atNodes(webSocket),
	"nodes-sse":   atNodes(eventSource),
	"nodes-mixed": atNodes(mixed),
}

func webSocket(t *testing.T, s *instance, _ string) speaker   { return dial(t, s) }
func eventSource(t *testing.T, s *instance, _ string) speaker { return openStream(t, s) }

func atNodes(connect func(*testing.T, *instance, string) speaker) func(*testing.T, *instance, string) speaker {
	return func(t *testing.T, s *instance, name string) speaker {
		here, there := s, s.other
		if name != "A" {
			here, there = there, here
		}
		// It connects here; what a stream posts goes there and here by turns.
		return connect(t, &instance{t: t, url: here.url, addr: here.addr, other: there}, name)
	}
}

func mixed(t *testing.T, s *instance, name string) speaker {
	if name[0]%2 == 0 {
		return openStream(t, s)
	}
	return dial(t, s)
}

func play(t *testing.T, s *instance, connect func(*testing.T, *instance, string) speaker, text string) {
	clients := map[string]speaker{}
	ids := map[string]string{}
	number := 0
	for line := range strings.Lines(text) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, rest := line[:1], strings.TrimSpace(line[1:])
		c := clients[name]
		if c == nil {
			c = connect(t, s, name)
			clients[name] = c
		}
		t.Logf("%d: %s", number, line)
		switch {
		case strings.HasPrefix(rest, ">"):
			c.send(withIDs(strings.TrimSpace(rest[1:]), ids))
		case strings.HasPrefix(rest, "<"):
			wantLine(t, strings.TrimSpace(rest[1:]), c.receive(), ids)
		case strings.HasPrefix(rest, "closed "):
			code, reason, _ := strings.Cut(strings.TrimPrefix(rest, "closed "), " ")
			c.wantClose(atoi(t, code), reason)
		case strings.HasPrefix(rest, "close "):
			c.closeWith(atoi(t, strings.TrimPrefix(rest, "close ")))
		case rest == "drop":
			c.drop()
		default:
			require.Fail(t, "unknown line", line)
		}
	}
}

var placeholder = regexp.MustCompile(`\$[A-Z]`)

func withIDs(text string, ids map[string]string) string {
	return placeholder.ReplaceAllStringFunc(text, func(name string) string { return ids[name] })
}

// wantLine compares a received message with the transcript, where a placeholder
// that has no value yet takes the number in its place.
func wantLine(t *testing.T, want, got string, ids map[string]string) {
	t.Helper()
	if name := placeholder.FindString(want); name != "" && ids[name] == "" {
		before, after, _ := strings.Cut(want, name)
		pattern := "^" + regexp.QuoteMeta(before) + "([1-9][0-9]*)" + regexp.QuoteMeta(after) + "$"
		found := regexp.MustCompile(pattern).FindStringSubmatch(got)
		require.NotNil(t, found, "want %s, got %s", want, got)
		ids[name] = found[1]
		id := atoi(t, found[1])
		require.Less(t, id, 1<<31)
		return
	}
	require.Equal(t, withIDs(want, ids), got)
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	require.NoError(t, err)
	return n
}
