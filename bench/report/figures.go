package report

import (
	"cmp"
	"maps"
	"slices"
	"strings"
)

// figure is one number of a scenario that can be set beside that of another run.
type figure struct {
	name   string
	higher bool // a higher one is better
	show   func(float64) string
	of     func(*Scenario) (value float64, known bool)
}

var (
	figureRate = figure{"rate", true, perSecond, func(s *Scenario) (float64, bool) {
		return s.Rate, s.Rate > 0 || s.Seconds > 0
	}}
	figureP50 = figure{"p50", false, duration, func(s *Scenario) (float64, bool) {
		return s.Latency.P50, s.Latency.Count > 0
	}}
	figureP90 = figure{"p90", false, duration, func(s *Scenario) (float64, bool) {
		return s.Latency.P90, s.Latency.Count > 0
	}}
	figureP999 = figure{"p99.9", false, duration, func(s *Scenario) (float64, bool) {
		return s.Latency.P999, s.Latency.Count > 0
	}}
	figureMax = figure{"max", false, duration, func(s *Scenario) (float64, bool) {
		return s.Latency.Max, s.Latency.Count > 0
	}}
	figureIdleCPU = figure{"CPU while idle", false, func(v float64) string { return three(100*v) + " %" }, func(s *Scenario) (float64, bool) {
		return s.IdleCPU, s.idleKnown()
	}}
	figureFill = figure{"time to fill", false, seconds, func(s *Scenario) (float64, bool) {
		return s.FillSeconds, s.FillSeconds > 0
	}}
	figureEmpty = figure{"time to empty", false, seconds, func(s *Scenario) (float64, bool) {
		return s.EmptySeconds, s.EmptySeconds > 0
	}}
	figureKernel = figure{"kernel's bytes per connection", false, each, func(s *Scenario) (float64, bool) {
		return s.KernelPerConnection, s.KernelPerConnection > 0
	}}
	figureP99 = figure{"p99", false, duration, func(s *Scenario) (float64, bool) {
		return s.Latency.P99, s.Latency.Count > 0
	}}
	figureCPU = figure{"CPU per operation", false, duration, func(s *Scenario) (float64, bool) {
		return s.CPUMicros(), s.CPUMicros() > 0
	}}
	figureEach = figure{"bytes per connection", false, each, func(s *Scenario) (float64, bool) {
		return s.BytesPerConnection, s.BytesPerConnection > 0
	}}
	figurePeak = figure{"resident, peak", false, size, func(s *Scenario) (float64, bool) {
		return float64(s.Resident.Peak), s.Resident.Peak > 0
	}}
	figureErrors = figure{"errors", false, func(v float64) string { return count(int64(v)) }, func(s *Scenario) (float64, bool) {
		return float64(s.errors()), true
	}}
)

// paced says whether the figure tells how fast it went, which is up to the client
// too.
func (f *figure) paced() bool {
	switch f.name {
	case figureRate.name, figureFill.name, figureP50.name, figureP90.name, figureP99.name, figureP999.name, figureMax.name:
		return true
	}
	return false
}

// idleKnown says whether the CPU of the silent server was read. A server that did
// nothing then used none, but not while it was filled.
func (s *Scenario) idleKnown() bool { return s.IdleCPU > 0 || s.FillSeconds > 0 && s.ServerCPU > 0 }

// errors returns how many there were of all kinds.
func (s *Scenario) errors() int64 {
	var n int64
	for _, of := range s.Errors {
		n += of
	}
	return n
}

// errorKinds names the errors that did happen: 2 lost, 1 doubled.
func (s *Scenario) errorKinds() string {
	var kinds []string
	for _, kind := range slices.SortedFunc(maps.Keys(s.Errors), func(a, b string) int {
		return cmp.Or(cmp.Compare(s.Errors[b], s.Errors[a]), cmp.Compare(a, b))
	}) {
		if n := s.Errors[kind]; n != 0 {
			kinds = append(kinds, count(n)+" "+kind)
		}
	}
	return strings.Join(kinds, ", ")
}

// sound says whether the figures may be believed and nothing went wrong.
func (s *Scenario) sound() bool { return len(s.Invalid) == 0 && s.errors() == 0 }

// soundIn says the same of one figure.
func (s *Scenario) soundIn(f figure) bool {
	return s.sound() && (len(s.ClientBound) == 0 || !f.paced())
}

// marked puts a mark behind the text of a figure that is the client's. paced says
// that the figure tells how fast it went.
func (s *Scenario) marked(paced bool, text, mark string) string {
	if text == "" || !paced || len(s.ClientBound) == 0 {
		return text
	}
	return text + " " + mark
}

// operation is the word for what is counted.
func (s *Scenario) operation() string { return cmp.Or(s.Operation, "operation") }

// title names the server as a person would.
func (s *Server) title() string { return cmp.Or(s.Name, s.Target, "server") }

// labels names the scenarios of a result. Where several have one name, the
// parameters in which they differ are added.
func labels(scenarios []Scenario) []string {
	names := make([]string, len(scenarios))
	for i := range scenarios {
		s := &scenarios[i]
		names[i] = cmp.Or(s.Name, "scenario")
		var differ []string
		for _, key := range slices.Sorted(maps.Keys(s.Params)) {
			for j := range scenarios {
				if other := &scenarios[j]; other.Name == s.Name && other.Params[key] != s.Params[key] {
					differ = append(differ, key+"="+s.Params[key])
					break
				}
			}
		}
		if len(differ) > 0 {
			names[i] += " " + strings.Join(differ, " ")
		}
	}
	return names
}

// pair finds for every scenario of r the one of other that is the same load: of
// the same name and parameters if there is one, else the next of that name. The
// answer holds nil where there is none.
func pair(r, other *Result) []*Scenario {
	pairs := make([]*Scenario, len(r.Scenarios))
	taken := make([]bool, len(other.Scenarios))
	for _, exact := range []bool{true, false} {
		for i := range r.Scenarios {
			for j := range other.Scenarios {
				a, b := &r.Scenarios[i], &other.Scenarios[j]
				if pairs[i] != nil || taken[j] || a.Name != b.Name || exact && !maps.Equal(a.Params, b.Params) {
					continue
				}
				pairs[i], taken[j] = b, true
			}
		}
	}
	return pairs
}
