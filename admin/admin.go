// Package admin is the operator's side of the server, on an address of its own
// that is not meant for the public: metrics, health, status and profiles. None of
// it names a key, a token or a message.
package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"time"

	"sigver/poller"
	"sigver/server"
)

// Source is the server that is looked at.
type Source interface {
	// Snapshot is what it has and has done at the moment. Any goroutine.
	Snapshot() server.Snapshot
}

// Admin answers the operator. Serve does, once.
type Admin struct {
	listener net.Listener
	http     *http.Server
	source   Source
	version  string
}

// Listen binds addr, a host and a port; shared as the clients' address is with
// --share-port. Who asks while there are two servers is answered by either.
func Listen(addr string, shared bool) (net.Listener, error) {
	if !shared {
		// A socket that is not shared finds out whether somebody is there.
		probe, err := net.Listen("tcp", addr)
		if err != nil {
			return nil, fmt.Errorf("--admin: %w", err)
		}
		if err := probe.Close(); err != nil {
			return nil, fmt.Errorf("--admin: %w", err)
		}
	}
	// So that the next version may come beside this one.
	config := net.ListenConfig{Control: poller.Share}
	listener, err := config.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("--admin: %w", err)
	}
	return listener, nil
}

// New takes over listener. version is what /status and the metrics say of the
// program.
func New(listener net.Listener, source Source, version string, log *slog.Logger) *Admin {
	a := &Admin{listener: listener, source: source, version: version}
	a.http = &http.Server{
		Handler:           a.routes(),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       time.Minute,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return a
}

// Addr is where it listens.
func (a *Admin) Addr() net.Addr { return a.listener.Addr() }

// Serve answers until ctx is done.
func (a *Admin) Serve(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = a.http.Close() })()
	if err := a.http.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (a *Admin) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", a.metrics)
	mux.HandleFunc("GET /status", a.status)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", a.ready)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	mux.HandleFunc("GET /debug/pprof/cmdline", pprof.Cmdline)
	mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
	mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
	mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	return mux
}

func say(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n")
}

// ready tells a balancer whether new clients are welcome.
func (a *Admin) ready(w http.ResponseWriter, _ *http.Request) {
	now := a.source.Snapshot()
	switch {
	case now.Leaving:
		say(w, http.StatusServiceUnavailable, "stopping")
	case now.Tight || now.WebSockets+now.Streams >= now.MaxConnections:
		say(w, http.StatusServiceUnavailable, "full")
	case now.Clustered && !now.EngineUp:
		// Sending clients elsewhere would not help: it is down for all nodes, or
		// other nodes can no more reach what is here.
		say(w, http.StatusOK, "ready, cluster down")
	default:
		say(w, http.StatusOK, "ready")
	}
}

// status is for a person, or a script.
func (a *Admin) status(w http.ResponseWriter, _ *http.Request) {
	now := a.source.Snapshot()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	status := map[string]any{
		"version":        a.version,
		"uptime_seconds": int64(now.Uptime.Seconds()),
		"stopping":       now.Leaving,
		"connections": map[string]int{
			"websocket": now.WebSockets,
			"sse":       now.Streams,
			"http":      now.Visitors,
			"other":     now.Others,
		},
		"keys":     now.Keys.Keys,
		"joinings": now.Keys.Joinings,
		"limits": map[string]int{
			"connections":   now.MaxConnections,
			"message_bytes": now.MaxMessage,
			"loops":         now.Loops,
		},
	}
	if now.Clustered {
		status["cluster"] = map[string]any{"up": now.EngineUp, "nodes": now.Nodes}
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(status) // an error says that the asker has gone
}
