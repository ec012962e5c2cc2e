package options

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/pflag"
)

// value is a flag of any type: it knows how to read and print one, and refuses
// with a sentence about what is allowed.
type value[T any] struct {
	target *T
	parse  func(string) (T, bool)
	format func(T) string
	kind   string // what the help calls it
	wants  string // "must be …"
}

// Set implements pflag.Value.
func (v *value[T]) Set(text string) error {
	parsed, ok := v.parse(strings.TrimSpace(text))
	if !ok {
		return errors.New("must be " + v.wants)
	}
	*v.target = parsed
	return nil
}

// String implements pflag.Value.
func (v *value[T]) String() string { return v.format(*v.target) }

// Type implements pflag.Value.
func (v *value[T]) Type() string { return v.kind }

func number(target *int, standard, least, most int) pflag.Value {
	*target = standard
	return &value[int]{
		target: target,
		parse: func(s string) (int, bool) {
			n, err := strconv.Atoi(s)
			return n, err == nil && n >= least && n <= most
		},
		format: strconv.Itoa,
		kind:   "n",
		wants:  fmt.Sprintf("a whole number from %d to %d", least, most),
	}
}

func real(target *float64, standard, least, most float64) pflag.Value {
	*target = standard
	return &value[float64]{
		target: target,
		parse: func(s string) (float64, bool) {
			n, err := strconv.ParseFloat(s, 64)
			return n, err == nil && n >= least && n <= most
		},
		format: func(n float64) string { return strconv.FormatFloat(n, 'f', -1, 64) },
		kind:   "n",
		wants:  fmt.Sprintf("a number from %g to %.0f", least, most),
	}
}

func size(target *int, standard, least, most int) pflag.Value {
	*target = standard
	return &value[int]{
		target: target,
		parse: func(s string) (int, bool) {
			n, err := humanize.ParseBytes(s)
			return int(min(n, math.MaxInt32)), err == nil && n >= uint64(least) && n <= uint64(most)
		},
		format: bytesText,
		kind:   "size",
		wants:  fmt.Sprintf("a size from %s to %s, like 64KiB", bytesText(least), bytesText(most)),
	}
}

// sizeOrOff has no upper bound.
func sizeOrOff(target *int64, standard, least int64) pflag.Value {
	*target = standard
	return &value[int64]{
		target: target,
		parse: func(s string) (int64, bool) {
			n, err := humanize.ParseBytes(s)
			return int64(min(n, math.MaxInt64)), err == nil && (n == 0 || n >= uint64(least))
		},
		format: func(n int64) string { return bytesText(int(n)) },
		kind:   "size",
		wants:  "0, or a size of at least " + bytesText(int(least)) + ", like 400MiB",
	}
}

// bytesText is exact, so that it can be read again.
func bytesText(n int) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB"}
	for len(units) > 1 && n > 0 && n%1024 == 0 {
		n, units = n/1024, units[1:]
	}
	return strconv.Itoa(n) + units[0]
}

func duration(target *time.Duration, standard, least, most time.Duration) pflag.Value {
	*target = standard
	return &value[time.Duration]{
		target: target,
		parse: func(s string) (time.Duration, bool) {
			d, err := time.ParseDuration(s)
			return d, err == nil && d >= least && d <= most
		},
		format: durationText,
		kind:   "duration",
		wants:  fmt.Sprintf("a duration from %s to %s, like 30s", durationText(least), durationText(most)),
	}
}

func durationOrOff(target *time.Duration, standard, least, most time.Duration) pflag.Value {
	v := duration(target, standard, least, most).(*value[time.Duration])
	within := v.parse
	v.parse = func(s string) (time.Duration, bool) {
		if s == "0" {
			return 0, true
		}
		return within(s)
	}
	v.wants = "0 or " + v.wants
	return v
}

// durationText leaves out the units that are zero at the end of Duration.String.
func durationText(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func oneOf(target *string, standard string, allowed ...string) pflag.Value {
	*target = standard
	return &value[string]{
		target: target,
		parse:  func(s string) (string, bool) { return s, slices.Contains(allowed, s) },
		format: func(s string) string { return s },
		kind:   strings.Join(allowed, "|"),
		wants:  strings.Join(allowed[:len(allowed)-1], ", ") + " or " + allowed[len(allowed)-1],
	}
}
