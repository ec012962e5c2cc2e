package admin

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"

	"github.com/VictoriaMetrics/metrics"

	"sigver/conn"
	"sigver/protocol"
	"sigver/server"
)

// metrics answers a scrape (Prometheus text format 0.0.4).
func (a *Admin) metrics(w http.ResponseWriter, _ *http.Request) {
	var out bytes.Buffer
	now := a.source.Snapshot()
	writePresent(&out, &now)
	writeTraffic(&out, &now)
	writeEnds(&out, &now)
	announce(&out, "gauge", "sigver_build_info", "What runs here.")
	metrics.WriteGaugeUint64(&out, fmt.Sprintf("sigver_build_info{version=%q}", a.program.Version), 1)
	metrics.WriteProcessMetrics(&out)
	metrics.WriteFDMetrics(&out)
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	_, _ = w.Write(out.Bytes())
}

// announce precedes the values of a metric. The library writes them; the announcements
// that it can write have no text.
func announce(w io.Writer, kind, name, help string) {
	fmt.Fprintf(w, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
}

func gauge(w io.Writer, name, help string, value int) {
	announce(w, "gauge", name, help)
	metrics.WriteGaugeUint64(w, name, uint64(max(value, 0)))
}

func counter(w io.Writer, name, help string, value uint64) {
	announce(w, "counter", name, help)
	metrics.WriteCounterUint64(w, name, value)
}

func writePresent(w io.Writer, now *server.Snapshot) {
	announce(w, "gauge", "sigver_connections", "Present connections; other: before their handshake, or closing.")
	for _, of := range []struct {
		transport string
		n         int
	}{{"websocket", now.WebSockets}, {"sse", now.Streams}, {"http", now.Visitors}, {"other", now.Others}} {
		metrics.WriteGaugeUint64(w, fmt.Sprintf("sigver_connections{transport=%q}", of.transport), uint64(max(of.n, 0)))
	}
	gauge(w, "sigver_connections_limit", "Clients that there may be at once.", now.MaxConnections)
	gauge(w, "sigver_keys", "Keys that have an Opener.", now.Keys.Keys)
	gauge(w, "sigver_joinings", "Joinings that have an Opener.", now.Keys.Joinings)
	gauge(w, "sigver_unsent_bytes", "Bytes that wait for clients to read.", now.Traffic.Unsent)
	gauge(w, "sigver_loops", "Event loops.", now.Loops)
	gauge(w, "sigver_stopping", "1 once the server takes no new clients.", one(now.Leaving))
	gauge(w, "sigver_out_of_memory", "1 while there is no memory for new clients.", one(now.Tight))
	if now.Clustered {
		gauge(w, "sigver_cluster_up", "1 while the engine of the cluster answers.", one(now.EngineUp))
		gauge(w, "sigver_cluster_nodes", "Nodes of the cluster that live, as far as this one knows.", now.Nodes)
	}
	announce(w, "gauge", "sigver_uptime_seconds", "Time since the start.")
	metrics.WriteGaugeFloat64(w, "sigver_uptime_seconds", now.Uptime.Seconds())
}

func one(is bool) int {
	if is {
		return 1
	}
	return 0
}

func writeTraffic(w io.Writer, now *server.Snapshot) {
	t := &now.Traffic
	counter(w, "sigver_accepted_total", "Accepted connections, those that are turned away at once too.", now.Accepted)
	counter(w, "sigver_messages_received_total", "Messages of clients.", t.Received)
	counter(w, "sigver_message_bytes_received_total", "Bytes of the messages of clients.", t.ReceivedBytes)
	counter(w, "sigver_messages_sent_total", "Messages to clients, pings and closes too.", t.Sent)
	counter(w, "sigver_bytes_sent_total", "Bytes to clients, before TLS.", t.SentBytes)
	counter(w, "sigver_relays_total", "Messages of clients to another one, who may have left.", now.Relays)
	counter(w, "sigver_writes_total", "System calls that wrote.", t.Writes)
	counter(w, "sigver_batches_total", "Batches of events after which something was written.", t.Batches)
	histogram(w, "sigver_handshake_seconds", "From accept to upgrade or stream, with TLS.", &t.Handshakes)
	histogram(w, "sigver_relay_seconds", "From a message's being passed on to its being written, of a sample.", &t.Relays)
	histogram(w, "sigver_loop_lag_seconds", "How late the ticks of the event loops come.", &t.Lag)
}

func writeEnds(w io.Writer, now *server.Snapshot) {
	announce(w, "counter", "sigver_refusals_total", "HTTP answers in place of an upgrade, a stream or what else was asked for.")
	refused := slices.SortedFunc(maps.Keys(now.Traffic.Refused), func(a, b conn.Refused) int {
		return cmp.Or(cmp.Compare(a.Status, b.Status), cmp.Compare(a.Reason, b.Reason))
	})
	for _, r := range refused {
		metrics.WriteCounterUint64(w, fmt.Sprintf("sigver_refusals_total{status=\"%d\",reason=%q}", r.Status, string(r.Reason)), now.Traffic.Refused[r])
	}
	announce(w, "counter", "sigver_turned_away_total", "Accepted connections that were closed at once, for too much from their address.")
	for _, reason := range []conn.Reason{conn.PerIP, conn.AcceptRate} {
		metrics.WriteCounterUint64(w, fmt.Sprintf("sigver_turned_away_total{reason=%q}", string(reason)), now.TurnedAway[reason])
	}
	announce(w, "counter", "sigver_closes_total", "Ends of clients, by code.")
	for _, code := range slices.Sorted(maps.Keys(now.Closes)) {
		metrics.WriteCounterUint64(w, fmt.Sprintf("sigver_closes_total{code=\"%d\",name=%q}", code, closeName(code)), now.Closes[code])
	}
}

func closeName(code protocol.CloseCode) string {
	switch code {
	case conn.Lost:
		return "LOST"
	case 0:
		return "OTHER"
	}
	return code.String()
}

// histogram is written from counts of the loops, of which each has its own: those of
// the library would cost them an atomic operation.
func histogram(w io.Writer, name, help string, h *conn.Histogram) {
	announce(w, "histogram", name, help)
	var total uint64
	for i, n := range h.Counts {
		total += n
		end := "+Inf"
		if i < len(conn.HistogramBounds) {
			end = fmt.Sprint(conn.HistogramBounds[i].Seconds())
		}
		metrics.WriteCounterUint64(w, fmt.Sprintf("%s_bucket{le=%q}", name, end), total)
	}
	metrics.WriteCounterFloat64(w, name+"_sum", h.Sum.Seconds())
	metrics.WriteCounterUint64(w, name+"_count", total)
}
