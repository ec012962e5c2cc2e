package e2e

import (
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// admin starts a node with an operator's side, whose address it returns.
func (e *engine) admin(args ...string) (*instance, string) {
	e.t.Helper()
	return startAdmin(e.t, append([]string{"--cluster", e.url(), "--max-guesses", "0"}, args...)...)
}

// clusterIs waits until a node says so.
func clusterIs(t *testing.T, admin, ready string) {
	t.Helper()
	eventually(t, func() bool {
		status, text := look(t, admin+"/readyz")
		return status == http.StatusOK && text == ready+"\n"
	}, "the node is "+ready)
}

// joins tries until a Joining of key at s reaches opener.
func joins(t *testing.T, s *instance, key string, opener *client) {
	t.Helper()
	var c *client
	eventually(t, func() bool {
		c = dial(t, s)
		c.send(`{"join":"` + key + `"}`)
		return c.receive() == `{"isKeyOk":true}`
	}, key+" can be joined")
	c.send(`{"data":"offer"}`)
	m := opener.receive()
	for strings.Contains(m, `"unavailable"`) { // of earlier ones
		m = opener.receive()
	}
	require.Contains(t, m, `"data":"offer"`)
}

const (
	yes = `{"isKeyOk":true}`
	no  = `{"isKeyOk":false}`
)

func TestWithoutTheEngine(t *testing.T) {
	e := startEngine(t)
	a, admin := e.admin()
	b := e.node("--max-guesses", "0")
	opener, near, far := dial(t, a), dial(t, a), dial(t, b)
	opener.open("key")
	near.join("key")
	far.join("key")
	over(t, opener, near)
	over(t, opener, far)
	clusterIs(t, admin, "ready")
	eventually(t, func() bool { return scrape(t, admin)["sigver_cluster_nodes"] == 2 }, "two nodes")
	_, text := look(t, admin+"/status")
	require.Contains(t, text, `"nodes": 2`)

	e.kill()
	joins(t, a, "key", opener) // the lease is not over
	clusterIs(t, admin, "ready, cluster down")
	require.Zero(t, scrape(t, admin)["sigver_cluster_up"])
	status, _ := look(t, a.httpURL()+"/healthz")
	require.Equal(t, http.StatusOK, status)
	over(t, opener, near)
	c, answer := opens(t, a, "other")
	require.Equal(t, no, answer)
	c.wantClose(1013, "TRY_AGAIN_LATER: the nodes cannot agree")
	c = dial(t, b)
	c.send(`{"join":"key"}`)
	c.want(no)
	c.wantClose(1013, "TRY_AGAIN_LATER: ")
	far.send(`{"data":"lost"}`)
	far.wantClose(4020, "")
	eventually(t, func() bool {
		c := dial(t, a)
		c.send(`{"join":"key"}`)
		return c.receive() == no
	}, "nobody may join any more where another node might have the key")
	over(t, opener, near)

	e.run()
	clusterIs(t, admin, "ready")
	joins(t, b, "key", opener)
	joins(t, a, "key", opener)
	exchange(t, a, "other")
	require.Contains(t, a.logged(), "the cluster's engine answers again")
}

func TestOpeningWithoutTheEngine(t *testing.T) {
	e := startEngine(t)
	a, adminA := e.admin("--cluster-down", "local")
	b, adminB := e.admin("--cluster-down", "local")
	e.kill()
	clusterIs(t, adminA, "ready, cluster down")
	clusterIs(t, adminB, "ready, cluster down")
	first, answer := opens(t, b, "both")
	require.Equal(t, yes, answer)
	time.Sleep(5 * time.Millisecond) // claims have times to a millisecond
	second, answer := opens(t, a, "both")
	require.Equal(t, yes, answer)
	alone, answer := opens(t, a, "alone")
	require.Equal(t, yes, answer)
	joins(t, a, "both", second)
	joins(t, a, "alone", alone)

	e.run()
	clusterIs(t, adminA, "ready")
	second.wantClose(4010, "KEY_EXISTS: ")
	joins(t, b, "alone", alone)
	joins(t, a, "both", first)
	_, answer = opens(t, b, "alone")
	require.Equal(t, no, answer)
}

func TestAnEngineThatForgets(t *testing.T) {
	e := startEngine(t)
	a, b := e.node(), e.node("--max-guesses", "0")
	opener, far := dial(t, a), dial(t, b)
	opener.open("key")
	far.join("key")
	over(t, opener, far)
	e.kill()
	e.forget()
	e.run()
	joins(t, b, "key", opener)
	require.Contains(t, a.logged(), "forgotten=true")
	_, answer := opens(t, b, "key")
	require.Equal(t, no, answer)
}

func TestANodeThatOversleeps(t *testing.T) {
	e := startEngine(t)
	a, b := e.node("--heartbeat", "0", "--max-guesses", "0"), e.node("--max-guesses", "0")
	robbed, kept := dial(t, a), dial(t, a)
	robbed.open("robbed")
	kept.open("kept")
	guest := dial(t, b)
	guest.join("kept")
	over(t, kept, guest)

	a.signal(syscall.SIGSTOP)
	var thief *client
	eventually(t, func() (done bool) {
		var answer string
		thief, answer = opens(t, b, "robbed")
		return answer == yes
	}, "the lease is over")
	guest.wantClose(4020, "")
	a.signal(syscall.SIGCONT)
	robbed.wantClose(4010, "KEY_EXISTS: ")
	joins(t, a, "robbed", thief)
	joins(t, b, "kept", kept)
	joins(t, a, "kept", kept)
}

// What many pairs over two nodes leave behind is nothing, there and in the engine.
func TestFarPairsLeaveNothing(t *testing.T) {
	e := startEngine(t)
	a, adminA := e.admin()
	b, adminB := e.admin()
	crowd := func() {
		var all []*client
		for i := range 100 {
			key := "key " + string(rune('a'+i%26)) + string(rune('a'+i/26))
			opener, joining := dial(t, a), dial(t, b)
			opener.open(key)
			joining.join(key)
			over(t, opener, joining)
			all = append(all, opener, joining)
		}
		for i := range all {
			all[(i+i%3)%len(all)].drop()
		}
		for _, c := range all {
			c.drop()
		}
		for _, admin := range []string{adminA, adminB} {
			eventually(t, func() bool {
				now := scrape(t, admin)
				return now["sigver_keys"] == 0 && now["sigver_joinings"] == 0 && now[`sigver_connections{transport="websocket"}`] == 0
			}, "all clients are gone")
		}
		eventually(t, func() bool { return e.keys() == 0 }, "all entries are gone")
	}
	crowd()
	files, goroutines := a.files(), scrape(t, adminA)["go_goroutines"]
	crowd()
	eventually(t, func() bool {
		return a.files() <= files+2 && scrape(t, adminA)["go_goroutines"] <= goroutines+2
	}, "files or goroutines are left")
}

func TestMistakesOfAClusterAreNamed(t *testing.T) {
	e := startEngine(t, "--requirepass", "pass word")
	for want, args := range map[string][]string{
		"the engine cannot be reached": {"--cluster", "redis://127.0.0.1:1"},
		"NOAUTH":                       {"--cluster", e.url()},
		"WRONGPASS":                    {"--cluster", e.url(), "--cluster-password", "guess"},
		"--cluster: must be as redis://HOST:6379":         {"--cluster", "http://127.0.0.1"},
		"--cluster-password and --cluster-secret need":    {"--cluster-secret", "s"},
		"must be refuse or local":                         {"--cluster-down", "perhaps"},
		"the other nodes have another --cluster-secret\n": {"--cluster", e.url(), "--cluster-password", "pass word"},
		"--cluster: must be as redis://HOST:6379; in":     {"--cluster", "redis://u:hidden word@h"},
	} {
		if strings.Contains(want, "another --cluster-secret") {
			first := e.node("--cluster-password", "pass word", "--cluster-secret", "right")
			exchange(t, first, "key")
		}
		said := failedStart(t, append([]string{"--port", "0"}, args...)...)
		require.Contains(t, said, want)
		require.NotContains(t, said, "hidden")
		require.NotContains(t, said, "guess")
	}
}

// What a client says before its join is answered is kept, up to a limit.
func TestWhoDoesNotWaitForTheAnswer(t *testing.T) {
	e := startEngine(t)
	a, b := e.node("--max-message", "200KiB", "--rate", "0"), e.node("--max-message", "200KiB", "--rate", "0")
	opener := dial(t, a)
	opener.open("key")
	for _, tc := range []struct{ messages, size int }{{100, 300}, {1, 150_000}, {3, 10_000}} {
		joining := dial(t, b)
		joining.send(`{"join":"key"}`)
		data := `"` + strings.Repeat("x", tc.size) + `"`
		for range tc.messages {
			joining.send(`{"data":` + data + `}`)
		}
		joining.want(yes)
		for range tc.messages {
			opener.wantData(data)
		}
		joining.close()
		require.Contains(t, opener.receive(), `"unavailable"`)
	}
	// As long as the engine says nothing there is no answer.
	require.NoError(t, e.cmd.Process.Signal(syscall.SIGSTOP))
	eager := dial(t, b)
	eager.send(`{"join":"key"}`)
	for range 10 {
		eager.send(`{"data":"` + strings.Repeat("x", 10_000) + `"}`)
	}
	eager.wantClose(1013, "TRY_AGAIN_LATER: too much was sent")
	require.NoError(t, e.cmd.Process.Signal(syscall.SIGCONT))
}
