package main

import (
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// What each package of the server may import of the others, and who may use a
// library that is everybody's temptation. docs/ARCHITECTURE.md says why.
var (
	mayImport = map[string][]string{
		"sigver/admin":       {"sigver/conn", "sigver/poller", "sigver/protocol", "sigver/server"},
		"sigver/cluster":     {"sigver/router"},
		"sigver":             {"sigver/admin", "sigver/certificate", "sigver/cluster", "sigver/memory", "sigver/options", "sigver/poller", "sigver/server"},
		"sigver/options":     {"sigver/admission", "sigver/certificate", "sigver/cluster", "sigver/memory", "sigver/server"},
		"sigver/server":      {"sigver/admission", "sigver/conn", "sigver/poller", "sigver/protocol", "sigver/router", "sigver/web"},
		"sigver/admission":   {},
		"sigver/conn":        {"sigver/poller", "sigver/protocol"},
		"sigver/router":      {"sigver/protocol"},
		"sigver/protocol":    {},
		"sigver/poller":      {},
		"sigver/memory":      {},
		"sigver/web":         {},
		"sigver/certificate": {},
	}
	onlyIn = map[string][]string{
		"github.com/valyala/fastjson":      {"sigver/protocol"},
		"github.com/tidwall/gjson":         {"sigver/protocol"},
		"github.com/gobwas/ws":             {"sigver/conn"},
		"github.com/mailru/easygo/netpoll": {"sigver/poller"},
		"github.com/redis/rueidis":         {"sigver/cluster"},
		"golang.org/x/sys/unix":            {"sigver/poller", "sigver/cluster"}, // the latter for its clock
		"github.com/spf13/pflag":           {"sigver/options"},
	}
)

func TestImportsPointDown(t *testing.T) {
	for name, allowed := range mayImport {
		out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, name).Output()
		require.NoError(t, err)
		for imported := range strings.Lines(string(out)) {
			imported = strings.TrimSpace(imported)
			if imported == "sigver" || strings.HasPrefix(imported, "sigver/") {
				require.True(t, slices.Contains(allowed, imported), "%s imports %s", name, imported)
			}
			if homes := onlyIn[imported]; homes != nil {
				require.Contains(t, homes, name, "%s imports %s", name, imported)
			}
		}
	}
}
