//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/bench/report"
)

func TestVersionsAreThoseOfTheServers(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "sigver")
	require.NoError(t, os.WriteFile(binary, []byte("#!/bin/sh\necho sigver v7.8.9\n"), 0o755))
	o := optionsOf(t, "--server", binary)
	s, clean, err := o.sigver(t.Context())
	require.NoError(t, err)
	defer clean()
	require.Equal(t, "v7.8.9", s.about.Version)

	self, err := os.Executable()
	require.NoError(t, err)
	library, err := goLibrary(self, peerLibraries["gobwas"])
	require.NoError(t, err)
	require.Regexp(t, `^gobwas/ws v\d+\.\d+\.\d+$`, library)
	_, err = goLibrary(self, "github.com/nobody/nothing")
	require.ErrorContains(t, err, "without github.com/nobody/nothing")

	folder := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(folder, "package.json"), []byte(`{"name":"ws","version":"1.2.3"}`), 0o600))
	library, err = nodeLibrary(folder)
	require.NoError(t, err)
	require.Equal(t, "ws 1.2.3", library)
}

// Only Node.js may be missing.
func TestAPeerThatIsNotThere(t *testing.T) {
	moduleRoot() // which needs go
	t.Setenv("PATH", t.TempDir())
	o := optionsOf(t, "--server", "/bin/false", "--peers=gws,node")
	_, _, err := o.contestants(t.Context())
	require.ErrorContains(t, err, "gws: go build ./gws")

	o = optionsOf(t, "--server", "/bin/false", "--peers=node")
	_, _, err = o.contestants(t.Context())
	require.ErrorContains(t, err, "no other server")
	require.Len(t, o.leftOut, 1)
	require.Contains(t, o.leftOut[0], "node is left out: there is no Node.js")
}

// scripted is a subject that is a script, for which a faulty server serves at URL.
func scripted(t *testing.T, o *options, name, script string) *subject {
	t.Helper()
	var server faulty
	return o.program(report.Server{Name: name}, "/bin/sh", "-c", strings.Replace(script, "URL", server.serve(t, false), 1))
}

// untilAsked is a script that ends when it is asked to, with that status.
func untilAsked(status int) string {
	return fmt.Sprintf("trap 'kill $!; echo alas; exit %d' TERM; sleep 60 & echo URL; wait", status)
}

// A round that ends in an error is shown, and makes the run fail.
func TestARoundThatEndsEarlyIsShown(t *testing.T) {
	t.Parallel()
	o := optionsOf(t, "--scenarios", "relay", "--relay-pairs", "2", "--duration", "700ms", "--rounds", "2")
	o.leftOut = []string{"somebody is left out."}
	var out bytes.Buffer
	o.out = &out
	subjects := []*subject{scripted(t, o, "steady", untilAsked(0)), scripted(t, o, "mortal", "echo URL; sleep 0.4; exit 7")}
	_, err := o.benchRounds(t.Context(), subjects, o.specs())
	require.ErrorContains(t, err, "the server died")
	r, err := report.ReadJSON(o.path("test-mortal") + ".json")
	require.NoError(t, err)
	require.Len(t, r.Scenarios, 1)
	require.Contains(t, r.Scenarios[0].Invalid, "This did not come to its end.")
	require.Contains(t, out.String(), "somebody is left out.")
	r, err = report.ReadJSON(o.path("test-steady") + ".json")
	require.NoError(t, err)
	require.Equal(t, 2, r.Rounds)
}

// The clients that warm an idle server come before those that count, and what
// goes wrong with them is not forgotten.
func TestFaultsOfWarmingAreFound(t *testing.T) {
	server := faulty{fault: "refuse", after: 5}
	s := measured(t, server.serve(t, false), "--scenarios", "idle")
	require.Equal(t, map[string]int64{"key refused": 1}, s.Errors)
	require.Contains(t, strings.Join(s.Notes, "\n"), "warmed")
	require.EqualValues(t, 50, s.Operations)
}

func TestAnInterruptWhileWarmingIsNoFault(t *testing.T) {
	var server faulty
	o := optionsOf(t, "--target", server.serve(t, false), "--scenarios", "idle", "--pairs", "500", "--quiet", "1h")
	s, err := o.remote()
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server.onGone = func(n int) {
		if n == 64 { // and now the server is left alone for a second
			cancel()
		}
	}
	r, err := o.measureAll(ctx, s, "test", o.specs())
	require.ErrorIs(t, err, errStopped)
	require.Empty(t, r.Scenarios[0].Errors)
	require.Zero(t, r.Scenarios[0].Operations)
}
