package report

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// width is how wide a line may be.
const width = 160

// column is one of the summary. A cell is empty if its figure is unknown, and a
// column of empty cells is left out.
type column struct {
	head  string // what it is, then under a line break, of what
	cell  func(*Scenario) string
	spare int  // the highest is the first to go where the table is too wide; 0 stays
	paced bool // it tells how fast it went, which is up to the client too
}

func unless(unknown bool, shown func() string) string {
	if unknown {
		return ""
	}
	return shown()
}

func latencyColumn(head string, of func(*Latency) float64) column {
	return column{head: head, paced: true, cell: func(s *Scenario) string {
		return unless(s.Latency.Count == 0, func() string { return duration(of(&s.Latency)) })
	}}
}

// summary is what the table and the page show of every scenario.
var summary = []column{
	{head: "operations", cell: func(s *Scenario) string {
		return unless(s.Operations == 0, func() string { return count(s.Operations) })
	}},
	{head: "at once", spare: 3, cell: func(s *Scenario) string {
		return unless(s.Connections == 0, func() string { return count(s.Connections) })
	}},
	{head: "rate", paced: true, cell: func(s *Scenario) string {
		return unless(s.Rate == 0, func() string { return perSecond(s.Rate) })
	}},
	latencyColumn("p50", func(l *Latency) float64 { return l.P50 }),
	latencyColumn("p90", func(l *Latency) float64 { return l.P90 }),
	latencyColumn("p99", func(l *Latency) float64 { return l.P99 }),
	latencyColumn("p99.9", func(l *Latency) float64 { return l.P999 }),
	latencyColumn("max", func(l *Latency) float64 { return l.Max }),
	{head: "CPU/op\nuser", cell: func(s *Scenario) string {
		return unless(s.CPUMicros() == 0, func() string { return duration(s.UserMicros) })
	}},
	{head: "CPU/op\nsystem", cell: func(s *Scenario) string {
		return unless(s.CPUMicros() == 0, func() string { return duration(s.SystemMicros) })
	}},
	{head: "CPU\nserver", spare: 1, cell: func(s *Scenario) string {
		return unless(s.ServerCPU == 0, func() string { return percent(s.ServerCPU) })
	}},
	{head: "CPU\ndriver", spare: 2, cell: func(s *Scenario) string {
		return unless(s.DriverCPU == 0, func() string { return percent(s.DriverCPU) })
	}},
	{head: "resident\npeak", cell: func(s *Scenario) string {
		return unless(s.Resident.Peak == 0, func() string { return size(float64(s.Resident.Peak)) })
	}},
	{head: "bytes per\nconn.", cell: func(s *Scenario) string {
		return unless(s.BytesPerConnection == 0, func() string { return each(s.BytesPerConnection) })
	}},
	{head: "errors", cell: func(s *Scenario) string { return count(s.errors()) }},
}

// shown is the cell, with a mark behind a figure that is the client's.
func (c *column) shown(s *Scenario, mark string) string { return s.marked(c.paced, c.cell(s), mark) }

// filled returns the columns of summary of which at least one cell is known.
func filled(results []*Result) []column {
	return slices.DeleteFunc(slices.Clone(summary), func(c column) bool {
		for _, r := range results {
			for i := range r.Scenarios {
				if c.cell(&r.Scenarios[i]) != "" {
					return false
				}
			}
		}
		return true
	})
}

// WriteTable writes one table of all results, a row for every scenario and
// server, and below it the limits that shaped the runs and, where there are any,
// the errors and the reasons not to believe a figure. No line is longer than 160
// columns, but for a word that is.
func WriteTable(w io.Writer, results ...*Result) error {
	results = slices.DeleteFunc(slices.Clone(results), func(r *Result) bool { return r == nil })
	var b bytes.Buffer
	writeFacts(&b, results)
	columns := filled(results)
	for {
		rendered := renderSummary(results, columns)
		spare := slices.IndexFunc(columns, func(c column) bool { return c.spare > 0 })
		if widest(rendered) > width && spare >= 0 {
			for i, c := range columns {
				if c.spare > columns[spare].spare {
					spare = i
				}
			}
			columns = slices.Delete(columns, spare, spare+1)
			continue
		}
		if rendered != "" {
			fmt.Fprintf(&b, "\n%s\n", rendered)
		}
		break
	}
	writeRemarks(&b, results)
	_, err := w.Write(b.Bytes())
	return err
}

func widest(lines string) int {
	n := 0
	for line := range strings.Lines(lines) {
		n = max(n, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")))
	}
	return n
}

func renderSummary(results []*Result, columns []column) string {
	several := len(results) > 1
	head := table.Row{"scenario"}
	if several {
		head = append(head, "server")
	}
	for _, c := range columns {
		head = append(head, c.head)
	}
	t := newTable(head)
	rows := 0
	for i := range slices.MaxFunc(append(results, &Result{}), func(a, b *Result) int {
		return cmp.Compare(len(a.Scenarios), len(b.Scenarios))
	}).Scenarios {
		for _, r := range results {
			if i >= len(r.Scenarios) {
				continue
			}
			s := &r.Scenarios[i]
			row := table.Row{marked(labels(r.Scenarios)[i], s)}
			if several {
				row = append(row, r.Server.title())
			}
			for _, c := range columns {
				row = append(row, cmp.Or(c.shown(s, "!!"), "-"))
			}
			t.AppendRow(row)
			rows++
		}
	}
	if rows == 0 {
		return ""
	}
	names := []table.ColumnConfig{{Number: 1, WidthMax: 20, WidthMaxEnforcer: text.WrapSoft}}
	from := 2
	if several {
		names = append(names, table.ColumnConfig{Number: 2, WidthMax: 16})
		from = 3
	}
	t.SetColumnConfigs(append(names, right(from, len(head))...))
	return trimmed(t.Render())
}

// marked puts a mark behind a scenario that something below the table is about.
func marked(name string, s *Scenario) string {
	if s.sound() {
		return name
	}
	return name + " !!"
}

// newTable has no lines but the one below its head, so that as much as possible
// fits into the width.
func newTable(head table.Row) table.Writer {
	t := table.NewWriter()
	t.AppendHeader(head)
	style := table.StyleLight
	style.Format.Header = text.FormatDefault
	style.Options = table.Options{SeparateHeader: true, SeparateColumns: true}
	style.Box.MiddleVertical, style.Box.MiddleSeparator = " ", "─"
	style.Box.PaddingLeft, style.Box.PaddingRight = "", " "
	t.SetStyle(style)
	return t
}

// right aligns the columns from to to, counted from 1, to the right.
func right(from, to int) []table.ColumnConfig {
	var configs []table.ColumnConfig
	for n := from; n <= to; n++ {
		configs = append(configs, table.ColumnConfig{
			Number: n, Align: text.AlignRight, AlignHeader: text.AlignRight, WidthMax: 24,
		})
	}
	return configs
}

// trimmed takes away blanks at line ends: a table ends in padding.
func trimmed(lines string) string {
	var b strings.Builder
	for line := range strings.Lines(lines) {
		b.WriteString(strings.TrimRight(line, " \n"))
		b.WriteString("\n")
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// fact is a line of what a figure cannot be understood without.
type fact struct{ name, text string }

// facts says what was measured, where and how.
func (r *Result) facts() []fact {
	all := []fact{
		{"run", list(", ", r.Name, moment(r.Started), with("commit ", r.Commit), r.rounds())},
		{"machine", r.Machine.line()},
		{"limits", r.Machine.limits()},
		{"server", r.Server.line()},
		{"command", r.Command},
	}
	return slices.DeleteFunc(all, func(f fact) bool { return f.text == "" })
}

// rounds says that the figures are medians, if they are.
func (r *Result) rounds() string {
	if r.Rounds < 2 {
		return ""
	}
	return "median of " + plural(r.Rounds, "round")
}

func (m *Machine) line() string {
	var cores, memory string
	if m.Cores > 0 {
		cores = plural(m.Cores, "core")
	}
	if m.Memory > 0 {
		memory = size(float64(m.Memory))
	}
	return list(", ", m.CPU, cores, memory, m.kernel(), m.golang())
}

func (m *Machine) kernel() string {
	if m.Kernel != "" && m.Kernel[0] >= '0' && m.Kernel[0] <= '9' {
		return "Linux " + m.Kernel // as uname -r tells it
	}
	return m.Kernel
}

func (m *Machine) golang() string { return with("Go ", strings.TrimPrefix(m.Go, "go")) }

func (m *Machine) limits() string {
	var files, backlog string
	if m.OpenFiles > 0 {
		files = count(m.OpenFiles) + " open files"
	}
	if m.Somaxconn > 0 {
		backlog = fmt.Sprintf("somaxconn %d", m.Somaxconn)
	}
	return list(", ", files, backlog, with("local ports ", m.ports()))
}

// ports is without the tab that /proc has in it.
func (m *Machine) ports() string { return strings.Join(strings.Fields(m.LocalPorts), " to ") }

func (s *Server) line() string {
	var far string
	if !s.Local && s.Target != "" {
		far = "on another machine, or its process unknown"
	}
	name := list(" ", s.Name, s.Version, strings.Join(s.Args, " "))
	return list(", ", list(" ", name, with("at ", s.Target)), with("pinned to ", s.Pinned), far)
}

// writeFacts says of each result what the one before it has not said. When each
// of several began is no matter.
func writeFacts(b *bytes.Buffer, results []*Result) {
	said := make(map[string]string)
	for i, r := range results {
		for _, f := range r.facts() {
			if f.name == "run" && i > 0 && r.Commit == results[i-1].Commit {
				continue
			}
			if said[f.name] != f.text {
				said[f.name] = f.text
				wrapped(b, fmt.Sprintf("%-8s ", f.name), f.text)
			}
		}
	}
}

// wrapped writes head and text, further lines below the start of the text.
func wrapped(b *bytes.Buffer, head, words string) {
	indent := utf8.RuneCountInString(head)
	for i, line := range strings.Split(text.WrapSoft(words, width-indent), "\n") {
		if i > 0 {
			head = strings.Repeat(" ", indent)
		}
		b.WriteString(strings.TrimRight(head+line, " "))
		b.WriteString("\n")
	}
}

// remark is something to be said of one scenario.
type remark struct{ scenario, text string }

// remarks returns what there is to be said of the scenarios. With several
// results it names the servers, unless it is the same of all of them.
func remarks(results []*Result, of func(*Scenario) []string) []remark {
	var all []remark
	servers := make(map[remark][]string)
	for _, r := range results {
		names := labels(r.Scenarios)
		for i := range r.Scenarios {
			for _, words := range of(&r.Scenarios[i]) {
				m := remark{names[i], words}
				if words == "" {
					continue
				}
				if servers[m] == nil {
					all = append(all, m)
				}
				servers[m] = append(servers[m], r.Server.title())
			}
		}
	}
	for i, m := range all {
		if len(servers[m]) < len(results) {
			all[i].scenario += ", " + strings.Join(servers[m], ", ")
		}
	}
	return all
}

func (s *Scenario) timed() []string {
	return []string{with("latency is ", s.Latency.What)}
}

// silent says what is known of connections that do nothing.
func (s *Scenario) silent() []string {
	var kernel, idle, fill, empty string
	if s.KernelPerConnection > 0 {
		kernel = "the kernel holds " + each(s.KernelPerConnection) + " for both ends of each"
	}
	if s.IdleCPU > 0 {
		idle = three(100*s.IdleCPU) + " % of a core is busy with all connected and silent"
	}
	if s.FillSeconds > 0 {
		fill = "filled in " + seconds(s.FillSeconds)
	}
	if s.EmptySeconds > 0 {
		empty = "emptied in " + seconds(s.EmptySeconds)
	}
	return []string{list("; ", kernel, idle, list(", ", fill, empty))}
}

func (s *Scenario) faults() []string {
	if s.errors() == 0 {
		return nil
	}
	return []string{s.errorKinds()}
}

// writeRemarked writes remarks with a head, or nothing if there are none.
func writeRemarked(b *bytes.Buffer, head, mark string, all []remark) {
	if len(all) == 0 {
		return
	}
	fmt.Fprintf(b, "\n%s\n", head)
	for _, m := range all {
		wrapped(b, mark+" ", m.scenario+": "+m.text)
	}
}

// writeRemarks writes what stands below the table, the worst last: that is where
// the reader of a terminal looks.
func writeRemarks(b *bytes.Buffer, results []*Result) {
	writeRemarked(b, "Notes", "  ", remarks(results, func(s *Scenario) []string {
		return slices.Concat(s.timed(), s.silent(), s.Notes)
	}))
	writeTrouble(b, "", results...)
}

// writeTrouble writes what must be known before a figure is believed. in says of
// which of several results.
func writeTrouble(b *bytes.Buffer, in string, results ...*Result) {
	writeRemarked(b, "ERRORS"+in, "!!", remarks(results, (*Scenario).faults))
	writeRemarked(b, "RATE AND LATENCY ARE THE CLIENT'S"+in, "!!",
		remarks(results, func(s *Scenario) []string { return s.ClientBound }))
	writeRemarked(b, "NOT VALID"+in+", do not believe these figures", "!!",
		remarks(results, func(s *Scenario) []string { return s.Invalid }))
}
