package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/stretchr/testify/require"

	"sigver/soak/cable"
)

// Three nodes and their engine, while nodes are killed, stopped for longer than
// their lease and cut off, and the engine is stopped, killed and made to forget.
// All along no join reaches anybody but the one who has the key, every message
// comes back as it was sent or its loss is told, and in the end nothing is left.
func TestAClusterUnderFaults(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if text := os.Getenv("SEED"); text != "" {
		seed, _ = strconv.ParseUint(text, 10, 64)
	}
	long := 45 * time.Second
	if text := os.Getenv("FAULTS"); text != "" {
		var err error
		long, err = time.ParseDuration(text)
		require.NoError(t, err)
	}
	t.Logf("SEED=%d", seed)
	chance := rand.New(rand.NewPCG(seed, 1))
	e := startEngine(t)
	line := lay(t)
	w := &world{t: t, engine: e, line: line, ports: []string{freePort(t), freePort(t), freePort(t)}, held: make(map[string][]*holding)}
	for i := range w.ports {
		w.nodes = append(w.nodes, w.startNode(i))
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for k := range 20 {
		key := fmt.Sprintf("key %d", k)
		for i := range 2 { // who compete for it
			chance := rand.New(rand.NewPCG(seed, uint64(100+10*k+i)))
			wg.Go(func() { w.openers(ctx, key, chance) })
		}
		for i := range 2 {
			chance := rand.New(rand.NewPCG(seed, uint64(105+10*k+i)))
			wg.Go(func() { w.joinings(ctx, key, chance) })
		}
	}
	for end := time.Now().Add(long); time.Now().Before(end) && !t.Failed(); {
		time.Sleep(time.Duration(1+chance.IntN(3)) * time.Second)
		w.fault(chance)
	}
	before := w.echoes()
	eventually(t, func() bool { return w.echoes() > before+500 }, "all is well again")
	cancel()
	wg.Wait()
	t.Logf("%d echoes, %d joins, %d opens, %d losses told; faults: %v", w.echoed, w.joined, w.opened, w.told, w.faults)
	require.Greater(t, w.joined, 100)

	for i := range w.nodes {
		require.Equal(t, 200, w.status(i), "node %d lives", i)
	}
	require.Eventually(t, func() bool { return e.keys() == 0 }, time.Minute, time.Second, "entries are left")
}

// world is what the test has set up and what its clients have seen.
type world struct {
	t      *testing.T
	engine *engine
	line   *cable.Cable
	ports  []string
	nodes  []*instance

	mu                           sync.Mutex            // guards all below
	held                         map[string][]*holding // by key
	echoed, joined, opened, told int
	faults                       []string
}

// holding is one Opener's time with a key, as it saw it.
type holding struct {
	from, to time.Time // to is zero while it lasts
}

// startNode starts node i, the last one at the far end of the cable.
func (w *world) startNode(i int) *instance {
	args := []string{"--port", w.ports[i], "--max-guesses", "0", "--heartbeat", "2s", "--drain", "0", "--rate", "0"}
	if i < len(w.ports)-1 {
		return start(w.t, append(args, "--cluster", w.engine.url())...)
	}
	return startCommand(w.t, w.line.Command(program, append(args, "--host", w.line.Far,
		"--cluster", "redis://"+w.line.Local+":"+w.engine.port)...))
}

func (w *world) url(i int) string {
	if i < len(w.ports)-1 {
		return "ws://127.0.0.1:" + w.ports[i]
	}
	return "ws://" + w.line.Far + ":" + w.ports[i]
}

func (w *world) status(i int) int {
	resp, err := http.Get(strings.Replace(w.url(i), "ws", "http", 1) + "/healthz")
	require.NoError(w.t, err)
	_ = resp.Body.Close()
	return resp.StatusCode
}

func (w *world) fault(chance *rand.Rand) {
	i := chance.IntN(len(w.nodes))
	while := time.Duration(500+chance.IntN(14000)) * time.Millisecond
	note := func(what string) {
		w.mu.Lock()
		w.faults = append(w.faults, what)
		w.mu.Unlock()
	}
	switch chance.IntN(6) {
	case 0:
		note(fmt.Sprintf("node %d killed", i))
		_ = w.nodes[i].cmd.Process.Kill()
		<-w.nodes[i].done
		w.nodes[i] = w.startNode(i)
	case 1:
		note(fmt.Sprintf("node %d stopped for %v", i, while))
		w.nodes[i].signal(syscall.SIGSTOP)
		time.Sleep(while)
		w.nodes[i].signal(syscall.SIGCONT)
	case 2:
		note("engine killed")
		w.engine.kill()
		time.Sleep(while / 10)
		w.engine.run()
	case 3:
		note("engine killed and emptied")
		w.engine.kill()
		w.engine.forget()
		time.Sleep(while / 10)
		w.engine.run()
	case 4:
		note(fmt.Sprintf("engine stopped for %v", while/2))
		_ = w.engine.cmd.Process.Signal(syscall.SIGSTOP)
		time.Sleep(while / 2)
		_ = w.engine.cmd.Process.Signal(syscall.SIGCONT)
	case 5:
		note(fmt.Sprintf("cable pulled for %v", while))
		require.NoError(w.t, w.line.Pull())
		time.Sleep(while)
		require.NoError(w.t, w.line.Plug())
	}
}

func (w *world) echoes() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.echoed
}

// forgotten is how long a client waits for what may never come because its node is
// cut off: longer than any lease or heartbeat.
const forgotten = 40 * time.Second

type post struct {
	IsKeyOk     *bool
	ID          json.Number
	Data        *said
	Unavailable string
}

// said is what Joinings say: everything about themselves.
type said struct {
	Key     string
	Begun   time.Time // when its connection was made
	N       int
	Padding string
}

func (w *world) dial(ctx context.Context, chance *rand.Rand) (*websocket.Conn, error) {
	dialing, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	conn, _, err := websocket.Dial(dialing, w.url(chance.IntN(len(w.ports))), nil)
	return conn, err
}

func receive(ctx context.Context, conn *websocket.Conn, within time.Duration) (p post, err error) {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	// While the cable was out the node may have given the connection up. A client
	// that only reads is never told by TCP.
	defer time.AfterFunc(within/2, func() {
		pinging, cancel := context.WithTimeout(ctx, within/4)
		defer cancel()
		if conn.Ping(pinging) != nil {
			_ = conn.CloseNow()
		}
	}).Stop()
	_, text, err := conn.Read(ctx)
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	return p, err
}

func write(ctx context.Context, conn *websocket.Conn, v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return conn.Write(ctx, websocket.MessageText, text)
}

// openers opens key again and again, and sends back what it gets.
func (w *world) openers(ctx context.Context, key string, chance *rand.Rand) {
	for ctx.Err() == nil {
		if conn, err := w.dial(ctx, chance); err == nil {
			w.opener(ctx, conn, key, chance)
			_ = conn.CloseNow()
		}
		time.Sleep(time.Duration(chance.IntN(400)) * time.Millisecond)
	}
}

func (w *world) opener(ctx context.Context, conn *websocket.Conn, key string, chance *rand.Rand) {
	if write(ctx, conn, map[string]any{"open": key}) != nil {
		return
	}
	p, err := receive(ctx, conn, forgotten)
	if err != nil || p.IsKeyOk == nil || !*p.IsKeyOk {
		return
	}
	h := &holding{from: time.Now()}
	w.mu.Lock()
	w.opened++
	w.held[key] = append(w.held[key], h)
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		h.to = time.Now()
		w.mu.Unlock()
	}()
	end := time.Now().Add(time.Duration(1+chance.IntN(20)) * time.Second)
	for time.Now().Before(end) {
		p, err := receive(ctx, conn, time.Until(end))
		if err != nil {
			return
		}
		if p.Data == nil {
			continue
		}
		if p.Data.Key != key {
			w.t.Errorf("the Opener of %s got what was for %s", key, p.Data.Key)
		}
		w.check(key, h, p.Data)
		if write(ctx, conn, map[string]any{"id": p.ID, "data": p.Data}) != nil {
			return
		}
	}
}

// check finds a join that began when another Opener had the key, and still has.
func (w *world) check(key string, h *holding, d *said) {
	if d.N != 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, other := range w.held[key] {
		if other != h && other.from.After(h.from) && other.from.Before(d.Begun) {
			w.t.Errorf("%s was joined at %v at an Opener that had it since %v; another has it since %v",
				key, d.Begun, h.from, other.from)
		}
	}
}

// joinings joins key again and again, and checks what comes back.
func (w *world) joinings(ctx context.Context, key string, chance *rand.Rand) {
	for ctx.Err() == nil {
		begun := time.Now()
		if conn, err := w.dial(ctx, chance); err == nil {
			w.joining(ctx, conn, key, begun, chance)
			_ = conn.CloseNow()
		}
		time.Sleep(time.Duration(chance.IntN(200)) * time.Millisecond)
	}
}

func (w *world) joining(ctx context.Context, conn *websocket.Conn, key string, begun time.Time, chance *rand.Rand) {
	for n := range 1 + chance.IntN(40) {
		d := said{key, begun, n, strings.Repeat("x", chance.IntN(500))}
		m := map[string]any{"data": d}
		if n == 0 {
			m["join"] = key
		}
		if write(ctx, conn, m) != nil {
			return
		}
		if n == 0 {
			if p, err := receive(ctx, conn, forgotten); err != nil || p.IsKeyOk == nil || !*p.IsKeyOk {
				w.silent(ctx, err)
				return
			}
			w.mu.Lock()
			w.joined++
			w.mu.Unlock()
		}
		p, err := receive(ctx, conn, forgotten)
		if err != nil {
			w.silent(ctx, err)
			return
		}
		if p.Data == nil || *p.Data != d && !(p.Data.Begun.Equal(d.Begun) && p.Data.N == d.N && p.Data.Padding == d.Padding && p.Data.Key == key) {
			w.t.Errorf("%s got back %+v for %+v", key, p.Data, d)
			return
		}
		w.mu.Lock()
		w.echoed++
		w.mu.Unlock()
		time.Sleep(time.Duration(chance.IntN(60)) * time.Millisecond)
	}
}

// silent complains of a message that was lost and nobody told: the connection has
// to end, where only waiting has.
func (w *world) silent(ctx context.Context, err error) {
	w.mu.Lock()
	w.told++
	w.mu.Unlock()
	if err != nil && ctx.Err() == nil && strings.Contains(err.Error(), context.DeadlineExceeded.Error()) {
		w.t.Errorf("neither an answer nor an end in %v: %v", forgotten, err)
	}
}

// keys counts the engine's entries.
func (e *engine) keys() int {
	e.t.Helper()
	out, err := exec.Command("redis-cli", "-p", e.port, "--scan", "--pattern", "sigver:k:*").Output()
	require.NoError(e.t, err)
	return strings.Count(string(out), "sigver:k:")
}

// forget throws away what it had saved.
func (e *engine) forget() {
	require.NoError(e.t, os.RemoveAll(e.dir))
	require.NoError(e.t, os.MkdirAll(e.dir, 0o755))
}
