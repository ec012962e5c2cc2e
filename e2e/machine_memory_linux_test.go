package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// What the kernel takes for clients is no memory of the process, and counts: when the
// machine has little left, nobody new is let in. It needs root, to give the server a
// machine of its own to look at.
func TestTheMemoryOfTheMachine(t *testing.T) {
	meminfo := filepath.Join(t.TempDir(), "meminfo")
	left := func(mib int) {
		// Most of it is kept of files, which does not count.
		text := fmt.Sprintf("MemTotal: %d kB\nMemFree: 1024 kB\nMemAvailable: %d kB\nCached: %d kB\n", 512<<10, mib<<10, 400<<10)
		require.NoError(t, os.WriteFile(meminfo, []byte(text), 0o644))
	}
	left(300)
	s := startCommand(t, exec.Command("unshare", "--mount", "sh", "-c", `mount --bind "$0" /proc/meminfo && exec "$@"`,
		meminfo, program, "--host", "127.0.0.1", "--port", "0"))
	ask := func() int { return from(t, s, "127.0.0.1").ask(upgradeRequest) }
	opener := dial(t, s)
	opener.open("old")
	left(40)
	eventually(t, func() bool { return ask() == 503 }, "nobody new is let in")
	require.Contains(t, s.logged(), `short="the machine"`)
	opener.send(`{"id":1,"data":1}`)
	opener.want(`{"id":1,"unavailable":"true"}`)
	left(60)
	require.Never(t, func() bool { return ask() == 101 }, time.Second, 100*time.Millisecond, "it is not enough yet")
	left(100)
	eventually(t, func() bool { return ask() == 101 }, "there is memory again")
	exchange(t, s, "new")
}
