// Package report holds what a run of the load harness has measured, and shows
// it: as a table, as a JSON file, as a page with pictures, and beside another
// run.
package report

import "time"

// Result is one run of the harness against one server.
type Result struct {
	Name      string     `json:"name"`
	Started   time.Time  `json:"started"`
	Command   string     `json:"command"` // how to do the same again
	Commit    string     `json:"commit"`  // of the tree the harness was built from; "-dirty" if changed
	Machine   Machine    `json:"machine"`
	Server    Server     `json:"server"`
	Rounds    int        `json:"rounds,omitempty"` // the figures are medians of so many runs; 0 if of one
	Scenarios []Scenario `json:"scenarios"`
}

// Machine is where a run took place.
type Machine struct {
	Kernel     string `json:"kernel"`
	CPU        string `json:"cpu"`
	Cores      int    `json:"cores"`
	Memory     int64  `json:"memory_bytes"`
	Go         string `json:"go"`
	OpenFiles  int    `json:"open_files"`  // limit of one process
	Somaxconn  int    `json:"somaxconn"`   // net.core.somaxconn
	LocalPorts string `json:"local_ports"` // net.ipv4.ip_local_port_range
}

// Server is what was measured. Fields that only a server on the same machine can
// tell are empty for one that is not.
type Server struct {
	Name     string   `json:"name"`
	Target   string   `json:"target"` // its URL
	Version  string   `json:"version,omitempty"`
	Language string   `json:"language,omitempty"` // that it is written in
	Args     []string `json:"args,omitempty"`
	Pinned   string   `json:"pinned,omitempty"` // the cores it was bound to
	Local    bool     `json:"local"`            // CPU and memory could be read from /proc
}

// Scenario is one kind of load and what came of it.
type Scenario struct {
	Name      string            `json:"name"`      // sessions, idle, relay, churn, hotkey
	Operation string            `json:"operation"` // what is counted: session, opener, relay, open
	Params    map[string]string `json:"params"`
	Notes     []string          `json:"notes,omitempty"`   // limits that shaped the run, in whole sentences
	Invalid   []string          `json:"invalid,omitempty"` // why the figures must not be believed

	// ClientBound says why rate and latency are the client's and not the server's,
	// though the other figures may be believed.
	ClientBound []string `json:"client_bound,omitempty"`

	Seconds     float64 `json:"seconds"`
	Operations  int64   `json:"operations"`
	Connections int     `json:"connections"` // most at once
	Rate        float64 `json:"rate"`        // operations per second

	Latency Latency          `json:"latency"`
	Errors  map[string]int64 `json:"errors,omitempty"` // lost, doubled, reordered, …: count

	// Of the server's process, while the load ran. Zero if unknown.
	UserMicros   float64 `json:"server_user_us"`   // CPU per operation
	SystemMicros float64 `json:"server_system_us"` // CPU per operation
	ServerCPU    float64 `json:"server_cpu"`       // cores busy, 1 is one whole core
	DriverCPU    float64 `json:"driver_cpu"`       // the busiest driver, of one core
	Resident     Memory  `json:"resident"`

	BytesPerConnection  float64 `json:"bytes_per_connection,omitempty"`        // resident, server's own
	KernelPerConnection float64 `json:"kernel_bytes_per_connection,omitempty"` // slab and socket memory, both ends
	IdleCPU             float64 `json:"idle_cpu,omitempty"`                    // cores busy with all connected and silent
	FillSeconds         float64 `json:"fill_seconds,omitempty"`
	EmptySeconds        float64 `json:"empty_seconds,omitempty"`

	Samples []Sample `json:"samples,omitempty"`
}

// CPUMicros is the server's CPU per operation, user and system together.
func (s *Scenario) CPUMicros() float64 { return s.UserMicros + s.SystemMicros }

// Latency is a distribution of times in microseconds. A Count of 0 means that
// nothing was timed.
type Latency struct {
	What   string  `json:"what,omitempty"` // from what to what
	Count  int64   `json:"count"`
	Mean   float64 `json:"mean_us"`
	P50    float64 `json:"p50_us"`
	P90    float64 `json:"p90_us"`
	P99    float64 `json:"p99_us"`
	P999   float64 `json:"p999_us"`
	Max    float64 `json:"max_us"`
	Points []Point `json:"points,omitempty"` // the whole distribution, rising
}

// Point says that Share (0 to 1) of all took at most Micros.
type Point struct {
	Share  float64 `json:"share"`
	Micros float64 `json:"us"`
}

// Memory is the server's resident memory in bytes at three moments.
type Memory struct {
	Before int64 `json:"before"`
	Peak   int64 `json:"peak"`
	After  int64 `json:"after"`
}

// Sample is one moment of a scenario.
type Sample struct {
	Second      float64 `json:"s"`    // since the scenario began
	Rate        float64 `json:"rate"` // parts of operations count as such
	Connections int     `json:"connections"`
	Resident    int64   `json:"resident"`
	ServerCPU   float64 `json:"server_cpu"` // cores
}
