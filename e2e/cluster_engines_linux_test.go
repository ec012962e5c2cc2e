package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// startRedis runs a Redis with these arguments until the test ends.
func startRedis(t *testing.T, port string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command("redis-server", args...)
	cmd.Dir = t.TempDir()
	require.NoError(t, cmd.Start(), "apt-get install redis-server")
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	eventually(t, func() bool { return listens(port) }, "Redis listens")
	return cmd
}

func redisCLI(t *testing.T, port string, args ...string) string {
	t.Helper()
	out, err := exec.Command("redis-cli", append([]string{"-p", port}, args...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	return string(out)
}

// pairsOver lets a pair of two nodes of the engine at url find each other.
func pairsOver(t *testing.T, url string, env ...string) (a, b *instance, opener *client) {
	t.Helper()
	node := func() *instance {
		cmd := exec.Command(program, "--host", "127.0.0.1", "--port", "0", "--max-guesses", "0", "--cluster", url)
		cmd.Env = append(os.Environ(), env...)
		return startCommand(t, cmd)
	}
	a, b = node(), node()
	for i := range 20 { // all parts of a Redis Cluster
		key := fmt.Sprint("key ", i)
		opener = dial(t, a)
		opener.send(`{"open":"` + key + `","token":"secret"}`)
		opener.want(yes)
		joins(t, b, key, opener)
	}
	return a, b, opener
}

func TestAnEngineOverTLS(t *testing.T) {
	dir := t.TempDir()
	key, cert := theAuthority().server(7, time.Now().Add(time.Hour)).write(t, dir)
	ca := filepath.Join(dir, "ca.pem")
	require.NoError(t, os.WriteFile(ca, theAuthority().pem, 0o600))
	port := freePort(t)
	startRedis(t, port, "--port", "0", "--tls-port", port, "--tls-cert-file", cert, "--tls-key-file", key,
		"--tls-ca-cert-file", ca, "--tls-auth-clients", "no", "--requirepass", "pass word", "--save", "")
	pairsOver(t, "rediss://127.0.0.1:"+port, "SSL_CERT_FILE="+ca, "SIGVER_CLUSTER_PASSWORD=pass word")
	said := failedStart(t, "--port", "0", "--cluster", "rediss://127.0.0.1:"+port)
	require.Contains(t, said, "certificate signed by unknown authority")
}

// Three Sentinels find a new primary when the old one dies, and the nodes find it
// too.
func TestAnEngineThatFailsOver(t *testing.T) {
	first, second := freePort(t), freePort(t)
	// A replica that has not yet copied anything would be a new primary without keys.
	primary := startRedis(t, first, "--port", first, "--save", "", "--repl-diskless-sync-delay", "0")
	startRedis(t, second, "--port", second, "--save", "", "--replicaof", "127.0.0.1", first)
	eventually(t, func() bool {
		return strings.Contains(redisCLI(t, second, "info", "replication"), "master_link_status:up")
	}, "the replica has what the primary has")
	var sentinels []string
	for range 3 {
		port := freePort(t)
		file := filepath.Join(t.TempDir(), "sentinel.conf")
		require.NoError(t, os.WriteFile(file, fmt.Appendf(nil, "port %s\nsentinel monitor main 127.0.0.1 %s 2\n"+
			"sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 5000\n", port, first), 0o600))
		startRedis(t, port, file, "--sentinel")
		sentinels = append(sentinels, "127.0.0.1:"+port)
	}
	_, last, _ := strings.Cut(sentinels[2], ":")
	eventually(t, func() bool {
		return strings.Contains(redisCLI(t, last, "info", "sentinel"), "status=ok,address=127.0.0.1:"+first+",slaves=1,sentinels=3")
	}, "the Sentinels know each other")
	a, b, opener := pairsOver(t, "redis://"+sentinels[0]+"?addr="+sentinels[1]+"&addr="+sentinels[2]+"&master_set=main")
	require.NoError(t, primary.Process.Kill())
	// Sentinels that had no time for a while do nothing for half a minute.
	require.Eventually(t, func() bool {
		return strings.Contains(redisCLI(t, last, "info", "sentinel"), "address=127.0.0.1:"+second)
	}, time.Minute, 50*time.Millisecond, "there is a new primary")
	joins(t, b, "key 19", opener)
	eventually(t, func() bool {
		_, answer := opens(t, a, "new")
		return answer == yes
	}, "keys can be opened")
}

func TestARedisCluster(t *testing.T) {
	var addresses []string
	for range 3 {
		port := freePort(t)
		startRedis(t, port, "--port", port, "--cluster-enabled", "yes", "--cluster-port", freePort(t), "--save", "")
		addresses = append(addresses, "127.0.0.1:"+port)
	}
	out, err := exec.Command("redis-cli", append([]string{"--cluster", "create", "--cluster-yes"}, addresses...)...).CombinedOutput()
	require.NoError(t, err, "%s", out)
	for _, address := range addresses {
		_, port, _ := strings.Cut(address, ":")
		eventually(t, func() bool { return strings.Contains(redisCLI(t, port, "cluster", "info"), "cluster_state:ok") }, "the Redis Cluster is up")
	}
	a, b, opener := pairsOver(t, "redis://"+addresses[0]+"?addr="+addresses[1]+"&addr="+addresses[2])
	heir := dial(t, b)
	heir.send(`{"open":"key 19","token":"secret"}`)
	heir.want(yes)
	opener.wantClose(4012, "")
	joins(t, a, "key 19", heir)

	// Many at a time, of all shards: what nodes ask for and send in one go is mixed.
	const pairs = 60
	var openers, joinings []*client
	for i := range pairs {
		opener, joining := dial(t, a), dial(t, b)
		opener.send(fmt.Sprintf(`{"open":"crowd %d"}`, i))
		openers, joinings = append(openers, opener), append(joinings, joining)
	}
	for _, opener := range openers {
		opener.want(yes)
	}
	const words = 20
	for i, joining := range joinings {
		joining.send(fmt.Sprintf(`{"join":"crowd %d","data":0}`, i))
	}
	for i, joining := range joinings {
		joining.want(yes)
		for word := range words {
			joining.send(fmt.Sprintf(`{"data":%d}`, 1+word))
		}
		id := openers[i].wantData("0")
		openers[i].send(`{"id":` + id.String() + `,"data":"answer"}`)
	}
	for i, joining := range joinings {
		for word := range words {
			openers[i].wantData(fmt.Sprint(1 + word))
		}
		joining.want(`{"data":"answer"}`)
	}
}
