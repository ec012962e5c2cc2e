package report

import (
	"cmp"
	_ "embed"
	"html/template"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Parse(pageText))

// page is what page.html shows.
type page struct {
	Title     string
	Facts     []pageFact
	Invalid   []pageFact
	Faults    []pageFact
	Columns   []pageColumn
	Scenarios []pageScenario
}

type pageFact struct{ Name, Text string }

type pageColumn struct{ Of, What string }

type pageScenario struct {
	Short    string // its name
	Differ   string // what tells it from others of that name
	Anchor   string
	Sound    bool
	Cells    []string
	Tiles    []pageFact
	Params   []pageFact
	Notes    []string
	Invalid  []string
	Bound    []string // why rate and latency are the client's
	Faults   string
	Pictures []picture
}

// WriteHTML writes r as one page, to the file path, whose folder it creates. The
// page loads nothing and runs no script: it can be kept and sent.
func WriteHTML(path string, r *Result) error {
	p := page{Title: r.Name}
	if p.Title == "" {
		p.Title = r.Server.title()
	}
	for _, f := range r.facts() {
		if f.name == "run" {
			f.text = list(", ", moment(r.Started), with("commit ", r.Commit), r.rounds())
		}
		if f.text != "" {
			p.Facts = append(p.Facts, pageFact{f.name, f.text})
		}
	}
	for _, m := range remarks([]*Result{r}, func(s *Scenario) []string { return s.Invalid }) {
		p.Invalid = append(p.Invalid, pageFact{m.scenario, m.text})
	}
	for _, m := range remarks([]*Result{r}, (*Scenario).faults) {
		p.Faults = append(p.Faults, pageFact{m.scenario, m.text})
	}
	columns := filled([]*Result{r})
	for _, c := range columns {
		of, what, two := strings.Cut(c.head, "\n")
		if !two {
			of, what = "", of
		}
		p.Columns = append(p.Columns, pageColumn{of, what})
	}
	names := labels(r.Scenarios)
	for i := range r.Scenarios {
		s := &r.Scenarios[i]
		shown := pageScenario{
			Anchor:   "s" + strconv.Itoa(i+1),
			Sound:    s.sound(),
			Tiles:    s.tiles(),
			Notes:    slices.DeleteFunc(slices.Concat(s.timed(), s.silent(), s.Notes), func(n string) bool { return n == "" }),
			Invalid:  s.Invalid,
			Bound:    s.ClientBound,
			Faults:   s.errorKinds(),
			Pictures: s.pictures(),
		}
		shown.Short = cmp.Or(s.Name, names[i])
		shown.Differ = strings.TrimSpace(strings.TrimPrefix(names[i], shown.Short))
		for _, c := range columns {
			shown.Cells = append(shown.Cells, c.shown(s, "⚠"))
		}
		for _, key := range slices.Sorted(maps.Keys(s.Params)) {
			shown.Params = append(shown.Params, pageFact{key, s.Params[key]})
		}
		p.Scenarios = append(p.Scenarios, shown)
	}
	return writeFile(path, func(w io.Writer) error { return pageTemplate.Execute(w, p) })
}

// tiles are the figures that stand large above a scenario's plots.
func (s *Scenario) tiles() []pageFact {
	var all []pageFact
	tile := func(name, text string, known bool) {
		if known {
			all = append(all, pageFact{name, text})
		}
	}
	tile(s.operation()+"s in "+seconds(s.Seconds), count(s.Operations), s.Operations > 0)
	tile("rate", perSecond(s.Rate), s.Rate > 0)
	tile("p50", duration(s.Latency.P50), s.Latency.Count > 0)
	tile("p99", duration(s.Latency.P99), s.Latency.Count > 0)
	// A figure and its unit stay on one line.
	whole := func(s string) string { return strings.ReplaceAll(s, " ", "\u00a0") }
	tile("CPU per "+s.operation()+": "+whole(duration(s.UserMicros)+" user")+" + "+whole(duration(s.SystemMicros)+" system"),
		duration(s.CPUMicros()), s.CPUMicros() > 0)
	tile("resident, peak", size(float64(s.Resident.Peak)), s.Resident.Peak > 0)
	tile("per connection", each(s.BytesPerConnection), s.BytesPerConnection > 0)
	return all
}
