// Package peers_test starts every comparison server and speaks with it.
package peers_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
)

var crowd = flag.Int("crowd", 2000, "connections at once to each server")

// demandNode makes a missing node a failure.
const demandNode = "SIGVER_PEERS_NODE"

var goPeers = []string{"gorilla", "coder", "gws", "nbio", "gobwas"}

func TestPeers(t *testing.T) {
	dir := t.TempDir()
	args := []string{"build", "-o", dir + string(filepath.Separator)}
	for _, name := range goPeers {
		args = append(args, "./"+name)
	}
	if out, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, out)
	}
	for _, name := range goPeers {
		t.Run(name, func(t *testing.T) { testPeer(t, filepath.Join(dir, name)) })
	}
	t.Run("node", func(t *testing.T) {
		if err := findNode(); err != nil {
			if os.Getenv(demandNode) == "1" {
				t.Fatalf("%s=1, but %v", demandNode, err)
			}
			t.Skipf("left out: %v", err)
		}
		testPeer(t, "node", "node/server.js")
	})
}

func findNode() error {
	if _, err := exec.LookPath("node"); err != nil {
		return err
	}
	_, err := os.Stat("node/node_modules/ws")
	return err
}

func testPeer(t *testing.T, command ...string) {
	url := start(t, command...)
	t.Run("exchange", func(t *testing.T) { testExchange(t, url) })
	t.Run("Opener goes", func(t *testing.T) { testOpenerGoes(t, url) })
	t.Run("order", func(t *testing.T) { testOrder(t, url) })
	t.Run("size limit", func(t *testing.T) { testSizeLimit(t, url) })
	t.Run("crowd", func(t *testing.T) { testCrowd(t, url) })
}

// start runs a server until the test ends, and returns its URL. The server must
// write one line and exit with 0.
func start(t *testing.T, command ...string) (url string) {
	t.Helper()
	cmd := exec.Command(command[0], append(command[1:], "--addr", "127.0.0.1:0")...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	out := bufio.NewReader(stdout)
	t.Cleanup(func() {
		killer := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		defer killer.Stop()
		cmd.Process.Signal(syscall.SIGTERM)
		if rest, _ := io.ReadAll(out); len(rest) > 0 {
			t.Errorf("wrote more than a line: %s", rest)
		}
		if err := cmd.Wait(); err != nil {
			t.Errorf("exit: %v", err)
		}
	})
	line, err := out.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url, found := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "listening ws://127.0.0.1:")
	if !found {
		t.Fatalf("first line is %q", line)
	}
	return "ws://127.0.0.1:" + url + "/any/path"
}

func testExchange(t *testing.T, url string) {
	opener := dial(t, url)
	opener.say(`{"open":"k"}`)
	opener.hear(`{"isKeyOk":true}`)

	second := dial(t, url)
	second.say(`{"open":"k"}`)
	second.hear(`{"isKeyOk":false}`)
	second.closedWith(4010)

	stranger := dial(t, url)
	stranger.say(`{"join":"nobody's"}`)
	stranger.hear(`{"isKeyOk":false}`)
	stranger.closedWith(4011)

	joining := dial(t, url)
	joining.say(`{"join":"k"}`)
	joining.hear(`{"isKeyOk":true}`)
	joining.say(`{"data":{"offer":"v=0\r\n"}}`)
	id := opener.hearID(`{"offer":"v=0\r\n"}`)
	opener.say(fmt.Sprintf(`{"id":%d,"data":{"answer":[1,"é"]}}`, id))
	joining.hear(`{"data":{"answer":[1,"é"]}}`)

	// Past the lengths at which a frame's header grows.
	for _, size := range []int{100, 118, 120, 125, 126, 1000, 4090, 32760, 60_000} {
		big := `"` + strings.Repeat("x", size) + `"`
		joining.say(`{"data":` + big + `}`)
		opener.hear(fmt.Sprintf(`{"id":%d,"data":%s}`, id, big))
	}

	joining.end()
	opener.hear(fmt.Sprintf(`{"id":%d,"unavailable":"true"}`, id))
	opener.say(fmt.Sprintf(`{"id":%d,"data":1}`, id))
	opener.hear(fmt.Sprintf(`{"id":%d,"unavailable":"true"}`, id))

	hasty := dial(t, url)
	hasty.say(`{"join":"k","data":"at once"}`)
	hasty.hear(`{"isKeyOk":true}`)
	id = opener.hearID(`"at once"`)
	hasty.ws.CloseNow() // without a closing handshake
	opener.hear(fmt.Sprintf(`{"id":%d,"unavailable":"true"}`, id))

	opener.say(`not JSON`)
	opener.closedWith(4000)
}

func testOpenerGoes(t *testing.T, url string) {
	opener := dial(t, url)
	opener.say(`{"key":"k"}`)
	opener.hear(`{"isKeyOk":true}`)
	joining := dial(t, url)
	joining.say(`{"join":"k"}`)
	joining.hear(`{"isKeyOk":true}`)
	opener.end()
	joining.closedWith(4020)

	next := dial(t, url)
	next.say(`{"open":"k"}`)
	next.hear(`{"isKeyOk":true}`)
	next.end()
}

// testOrder relays from several Joinings at once to one Opener.
func testOrder(t *testing.T, url string) {
	const joinings, messages = 8, 250
	opener := dial(t, url)
	opener.say(`{"open":"order"}`)
	opener.hear(`{"isKeyOk":true}`)
	for range joinings {
		joining := dial(t, url)
		joining.say(`{"join":"order"}`)
		joining.hear(`{"isKeyOk":true}`)
		go func() {
			for n := range messages {
				joining.say(fmt.Sprintf(`{"data":%d}`, n))
			}
		}()
	}
	next := map[int]int{}
	for range joinings * messages {
		var got struct{ ID, Data int }
		if err := json.Unmarshal([]byte(opener.read()), &got); err != nil {
			t.Fatal(err)
		}
		if got.Data != next[got.ID] {
			t.Fatalf("data %d of %d comes before %d", got.Data, got.ID, next[got.ID])
		}
		next[got.ID]++
	}
	opener.end()
}

func testSizeLimit(t *testing.T, url string) {
	c := dial(t, url)
	// A server may drop the connection, unread bytes and all, so the write may
	// fail and its 1009 be lost.
	text := `{"open":"big","more":"` + strings.Repeat("x", 70_000) + `"}`
	c.ws.Write(c.ctx, websocket.MessageText, []byte(text))
	if _, text, err := c.ws.Read(c.ctx); err == nil {
		t.Fatalf("answered %s", text)
	}
	if err := c.ctx.Err(); err != nil {
		t.Fatal(err)
	}
}

// testCrowd opens a key on each of many connections, and then asks a few.
func testCrowd(t *testing.T, url string) {
	clients := make([]*client, *crowd)
	var all sync.WaitGroup
	var next atomic.Int64
	for range 32 {
		all.Go(func() {
			for i := next.Add(1) - 1; i < int64(len(clients)); i = next.Add(1) - 1 {
				c, err := tryDial(t, url)
				if err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
				clients[i] = c
				if err := c.ask(fmt.Sprintf(`{"open":"key %d"}`, i)); err != nil {
					t.Errorf("connection %d: %v", i, err)
					return
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		return
	}
	for i := 0; i < len(clients); i += 1 + len(clients)/20 {
		joining := dial(t, url)
		joining.say(fmt.Sprintf(`{"join":"key %d"}`, i))
		joining.hear(`{"isKeyOk":true}`)
		joining.say(`{"data":"hello"}`)
		clients[i].hearID(`"hello"`)
	}
}

// client is one connection. Its methods fail the test.
type client struct {
	t   *testing.T
	ctx context.Context
	ws  *websocket.Conn
}

func dial(t *testing.T, url string) *client {
	t.Helper()
	c, err := tryDial(t, url)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func tryDial(t *testing.T, url string) (*client, error) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	ws, _, err := websocket.Dial(ctx, url, nil)
	if err != nil {
		cancel()
		return nil, err
	}
	ws.SetReadLimit(1 << 20)
	t.Cleanup(func() {
		cancel()
		ws.CloseNow()
	})
	return &client{t, ctx, ws}, nil
}

// ask opens a key.
func (c *client) ask(text string) error {
	if err := c.ws.Write(c.ctx, websocket.MessageText, []byte(text)); err != nil {
		return err
	}
	_, answer, err := c.ws.Read(c.ctx)
	if err == nil && string(answer) != `{"isKeyOk":true}` {
		err = errors.New(string(answer))
	}
	return err
}

func (c *client) say(text string) {
	c.t.Helper()
	if err := c.ws.Write(c.ctx, websocket.MessageText, []byte(text)); err != nil {
		c.t.Errorf("say %.80s: %v", text, err)
	}
}

func (c *client) read() string {
	c.t.Helper()
	kind, text, err := c.ws.Read(c.ctx)
	if err != nil {
		c.t.Fatal(err)
	}
	if kind != websocket.MessageText {
		c.t.Fatalf("heard %v", kind)
	}
	return string(text)
}

func (c *client) hear(want string) {
	c.t.Helper()
	if got := c.read(); got != want {
		c.t.Fatalf("heard %.200s, want %.200s", got, want)
	}
}

// hearID reads a Joining's data and returns the id that came with it.
func (c *client) hearID(data string) int {
	c.t.Helper()
	got := c.read()
	var message struct {
		ID   int
		Data json.RawMessage
	}
	if err := json.Unmarshal([]byte(got), &message); err != nil {
		c.t.Fatal(err)
	}
	if message.ID < 1 || string(message.Data) != data {
		c.t.Fatalf("heard %s, want the data %s", got, data)
	}
	return message.ID
}

// end closes normally and expects the code back.
func (c *client) end() {
	c.t.Helper()
	if err := c.ws.Close(websocket.StatusNormalClosure, ""); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) closedWith(code websocket.StatusCode) {
	c.t.Helper()
	_, text, err := c.ws.Read(c.ctx)
	if err == nil {
		c.t.Fatalf("heard %s, want the close code %d", text, code)
	}
	if got := websocket.CloseStatus(err); got != code {
		c.t.Fatalf("close code %d, want %d: %v", got, code, err)
	}
}
