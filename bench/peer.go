//go:build linux

package main

import (
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"sigver/bench/report"
)

// peerNames are the folders of bench/peers, in the order of the rounds.
var peerNames = []string{"gorilla", "coder", "gws", "nbio", "gobwas", "node"}

// peerLibraries are what the peers in Go are built on.
var peerLibraries = map[string]string{
	"gorilla": "github.com/gorilla/websocket",
	"coder":   "github.com/coder/websocket",
	"gws":     "github.com/lxzan/gws",
	"nbio":    "github.com/lesismal/nbio",
	"gobwas":  "github.com/gobwas/ws",
}

// errNoNode: Node.js is not installed, as it need not be.
var errNoNode = errors.New("there is no Node.js")

// peer returns a comparison server, which is built into folder if it is in Go.
func (o *options) peer(ctx context.Context, name, folder string) (*subject, error) {
	source := filepath.Join(moduleRoot(), "bench", "peers")
	if name == "node" {
		return o.nodePeer(ctx, filepath.Join(source, name))
	}
	path := filepath.Join(folder, name)
	if err := build(ctx, source, path, "./"+name, "CGO_ENABLED=0"); err != nil {
		return nil, err
	}
	library, err := goLibrary(path, peerLibraries[name])
	if err != nil {
		return nil, err
	}
	about := report.Server{Name: name, Version: library, Language: "Go", Local: true}
	return o.program(about, path, "-addr", "127.0.0.1:0"), nil
}

func (o *options) nodePeer(ctx context.Context, source string) (*subject, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoNode, err)
	}
	library, err := nodeLibrary(filepath.Join(source, "node_modules", "ws"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, errors.New("run npm ci in bench/peers/node")
	}
	if err != nil {
		return nil, err
	}
	version, _ := exec.CommandContext(ctx, node, "--version").Output()
	about := report.Server{
		Name: "node", Version: library + " on Node.js " + strings.TrimSpace(string(version)),
		Language: "JavaScript", Local: true,
	}
	s := o.program(about, node, filepath.Join(source, "server.js"), "--addr", "127.0.0.1:0")
	s.loops = 1
	return s, nil
}

// goLibrary returns the library, without its host, and the version of it that a
// program was built with.
func goLibrary(program, library string) (string, error) {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return "", err
	}
	for _, m := range info.Deps {
		if m.Path == library {
			return strings.TrimPrefix(library, "github.com/") + " " + m.Version, nil
		}
	}
	return "", fmt.Errorf("%s was built without %s", program, library)
}

// nodeLibrary returns the name and version of the package in that folder.
func nodeLibrary(folder string) (string, error) {
	path := filepath.Join(folder, "package.json")
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	var library struct{ Name, Version string }
	if err := json.Unmarshal(text, &library); err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return library.Name + " " + library.Version, nil
}
