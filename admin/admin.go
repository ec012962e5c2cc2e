// Package admin is the operator's side of the server, on an address of its own
// that is not meant for the public: metrics, health, status and profiles. None of
// it names a key, a token or a message.
package admin

import (
	"context"
	"encoding/json"
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

// Source is the server that is looked at. The costs differ: Readiness asks nobody,
// Present the tables, Snapshot each loop about each client. Any goroutine.
type Source interface {
	Readiness() server.Readiness
	Present() server.Present
	Snapshot() server.Snapshot
	Limits() server.Limits
}

// Program is what the server does not know of the process that it is part of.
type Program struct {
	Version   string
	MaxMemory int64 // bytes; 0: no limit
}

// Admin answers the operator. Serve does, once.
type Admin struct {
	listener net.Listener
	http     *http.Server
	source   Source
	program  Program
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

// New takes over listener.
func New(listener net.Listener, source Source, program Program, log *slog.Logger) *Admin {
	a := &Admin{listener: listener, source: source, program: program}
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

// Serve answers until ctx is done, which is no error.
func (a *Admin) Serve(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() { _ = a.http.Close() })()
	err := a.http.Serve(a.listener)
	if ctx.Err() != nil {
		return nil // whoever else has closed the listener by now
	}
	return err
}

func (a *Admin) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", a.metrics)
	mux.HandleFunc("GET /status", a.status)
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", a.ready)
	mux.HandleFunc("GET /debug/pprof/", pprof.Index)
	// Not pprof.Cmdline: flags can be passwords.
	mux.HandleFunc("GET /debug/pprof/cmdline", func(w http.ResponseWriter, _ *http.Request) { say(w, http.StatusOK, "sigver") })
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
	now := a.source.Readiness()
	switch {
	case now.Leaving:
		say(w, http.StatusServiceUnavailable, "stopping")
	case now.Tight || now.Full:
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
	now := a.source.Present()
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	status := map[string]any{
		"version":        a.program.Version,
		"uptime_seconds": int64(now.Uptime.Seconds()),
		"stopping":       now.Leaving,
		"out_of_memory":  now.Tight,
		"connections": map[string]int{
			"websocket": now.WebSockets,
			"sse":       now.Streams,
			"http":      now.Visitors,
			"other":     now.Others,
		},
		"keys":     now.Keys.Keys,
		"joinings": now.Keys.Joinings,
		"limits": struct {
			server.Limits
			MemoryBytes int64 `json:"memory_bytes"`
		}{a.source.Limits(), a.program.MaxMemory},
	}
	if now.Clustered {
		status["cluster"] = map[string]any{"up": now.EngineUp, "nodes": now.Nodes}
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	_ = encoder.Encode(status) // an error says that the asker has gone
}
