package report_test

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/bench/report"
)

func TestUnits(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{report.Three(0), "0"},
		{report.Three(0.0123), "0.0123"},
		{report.Three(0.08), "0.08"},
		{report.Three(0.99949), "0.999"},
		{report.Three(0.9996), "1.00"},
		{report.Three(9.996), "10.0"},
		{report.Three(99.96), "100"},
		{report.Three(1234567), "1,234,567"},
		{report.Three(math.NaN()), "?"},

		{report.Duration(0), "0 µs"},
		{report.Duration(0.8204), "820 ns"},
		{report.Duration(12.34), "12.3 µs"},
		{report.Duration(999.4), "999 µs"},
		{report.Duration(999.6), "1.00 ms"},
		{report.Duration(4567), "4.57 ms"},
		{report.Duration(90e6), "90.0 s"},

		{report.Size(378), "378 B"},
		{report.Size(1023.7), "1.00 KiB"},
		{report.Size(96.44 * (1 << 20)), "96.4 MiB"},
		{report.Size(math.Inf(1)), "? TiB"},
		{report.Each(1663.4), "1,663 B"},
		{report.Each(12345), "12.1 KiB"},

		{report.Times(0.684), "0.684×"},
		{report.Times(1), "1.00×"},
		{report.Times(12.34), "12.3×"},
		{report.Times(0.0456), "0.046×"},
		{report.Times(0), "0.000×"},
		{report.Times(math.Inf(1)), "∞"},
	} {
		require.Equal(t, c.want, c.got)
	}
}
