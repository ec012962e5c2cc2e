package report

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
)

// finite says whether v can be drawn and printed.
func finite(v float64) bool { return !math.IsNaN(v) && !math.IsInf(v, 0) }

// three gives v three significant digits, but never fewer than its whole part:
// 0.0123, 0.08, 1.23, 12.3, 123, 1,234.
func three(v float64) string {
	switch a := math.Abs(v); {
	case !finite(v):
		return "?"
	case a == 0:
		return "0"
	case a >= 99.95:
		return humanize.Comma(int64(math.Round(v)))
	case a >= 9.995:
		return strconv.FormatFloat(v, 'f', 1, 64)
	case a >= 0.9995:
		return strconv.FormatFloat(v, 'f', 2, 64)
	default:
		decimals := 2 - int(math.Floor(math.Log10(a*1.0005)))
		return strings.TrimRight(strconv.FormatFloat(v, 'f', decimals, 64), "0")
	}
}

// unit is a name for so many of the smallest unit.
type unit struct {
	size float64
	name string
}

var (
	timeUnits = []unit{{1e6, "s"}, {1e3, "ms"}, {1, "µs"}, {1e-3, "ns"}}
	sizeUnits = []unit{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}, {1, "B"}}
)

// unitOf returns the largest unit in which v is at least 1 once it is rounded.
// limit is the ratio of a unit to the one below it.
func unitOf(v float64, units []unit, limit float64) unit {
	for _, u := range units {
		if math.Abs(v) >= u.size*(1-0.5/limit) {
			return u
		}
	}
	return units[len(units)-1]
}

// duration shows microseconds as 820 ns, 12.3 µs, 4.56 ms or 1.23 s.
func duration(micros float64) string {
	if micros == 0 {
		return "0 µs"
	}
	u := unitOf(micros, timeUnits, 1000)
	return three(micros/u.size) + " " + u.name
}

// seconds shows a span given in seconds.
func seconds(s float64) string { return duration(s * 1e6) }

// size shows bytes as 378 B, 12.3 KiB or 96.4 MiB.
func size(bytes float64) string {
	u := unitOf(bytes, sizeUnits, 1024)
	if u.size == 1 && finite(bytes) {
		return strconv.FormatFloat(math.Round(bytes), 'f', 0, 64) + " B"
	}
	return three(bytes/u.size) + " " + u.name
}

// each shows the bytes of one connection: to the byte while that can be read.
func each(bytes float64) string {
	if math.Abs(bytes) < 10000 {
		return humanize.Comma(int64(math.Round(bytes))) + " B"
	}
	return size(bytes)
}

func count[N int | int64](n N) string { return humanize.Comma(int64(n)) }

func perSecond(rate float64) string { return three(rate) + "/s" }

// percent shows a share of one core.
func percent(cores float64) string {
	if !finite(cores) {
		return "?"
	}
	return strconv.FormatFloat(cores*100, 'f', 0, 64) + " %"
}

// times shows a ratio with three digits: 0.684×, 1.00×, 12.3×, 0.046×. Rounded to
// two, 0.704 would pass for the 0.70 that somebody wanted.
func times(ratio float64) string {
	switch {
	case math.IsInf(ratio, 1):
		return "∞"
	case ratio < 0.9995:
		return strconv.FormatFloat(ratio, 'f', 3, 64) + "×"
	default:
		return three(ratio) + "×"
	}
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format("2006-01-02 15:04 MST")
}

// plural is for words whose plural takes an s.
func plural(n int, word string) string {
	if n != 1 {
		word += "s"
	}
	return count(n) + " " + word
}

// list joins what is not empty.
func list(sep string, parts ...string) string {
	var kept []string
	for _, p := range parts {
		if p != "" {
			kept = append(kept, p)
		}
	}
	return strings.Join(kept, sep)
}

// with puts prefix before a text that is not empty.
func with(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}
