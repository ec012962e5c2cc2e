package report_test

import (
	"math"
	"time"

	"sigver/bench/report"
)

// distribution is a log-normal one with a tail, as its points and percentiles.
func distribution(what string, n int64, median, spread float64) report.Latency {
	at := func(share float64) float64 {
		z := math.Sqrt2 * math.Erfinv(2*share-1)
		tail := 1 + 6/(1+math.Exp(-(z-2.9)*4))
		return math.Round(median*math.Exp(spread*z)*tail*10) / 10
	}
	l := report.Latency{What: what, Count: n, Mean: median * 1.2, P50: at(.5), P90: at(.9), P99: at(.99), P999: at(.999)}
	for miss := 1.0; miss > 1/float64(n); miss /= 1.25 {
		l.Points = append(l.Points, report.Point{Share: 1 - miss*0.999, Micros: at(1 - miss*0.999)})
	}
	l.Max = 1.3 * l.Points[len(l.Points)-1].Micros
	l.Points = append(l.Points, report.Point{Share: 1, Micros: l.Max})
	return l
}

// full is a result in which everything is filled in. cost is what its server
// needs in ratio to the first one's.
func full(name string, cost float64) *report.Result {
	const MiB = 1 << 20
	wave := func(n int, peak float64, bytes float64) []report.Sample {
		var all []report.Sample
		for i := range n {
			t := float64(i) / float64(n-1)
			up := math.Min(1, t*5) * math.Min(1, (1-t)*8)
			jitter := 1 + 0.05*math.Sin(float64(i)*1.7) + 0.03*math.Sin(float64(i)*0.61)
			all = append(all, report.Sample{
				Second: float64(i) * 0.5, Rate: peak * up * jitter,
				Connections: int(15000 * up), Resident: int64(12*MiB + bytes*15000*up),
				ServerCPU: math.Min(1, up*0.98*jitter),
			})
		}
		return all
	}
	var idle []report.Sample
	for i := range 80 {
		n := min(100_000, i*3300)
		if i > 60 {
			n = max(0, 100_000-(i-60)*6000)
		}
		held := float64(n) * 378 * cost
		if i > 60 {
			held = 100_000*378*cost*0.35 + held*0.65
		}
		idle = append(idle, report.Sample{Second: float64(i) * 0.25, Connections: n, Resident: int64(11*MiB + held), ServerCPU: 0.2})
	}
	return &report.Result{
		Name:    name,
		Started: time.Date(2026, 10, 5, 14, 3, 21, 0, time.UTC),
		Command: "make bench PAIRS=200000 NAME=" + name,
		Commit:  "f97714d-dirty",
		Machine: report.Machine{
			Kernel: "6.12.8-amd64", CPU: "Intel(R) Xeon(R) Platinum 8481C @ 2.70GHz", Cores: 2, Memory: 8 << 30,
			Go: "go1.26.8", OpenFiles: 1048576, Somaxconn: 4096, LocalPorts: "32768\t60999",
		},
		Server: report.Server{
			Name: name, Target: "ws://127.0.0.1:41234/", Version: "v0.4.0",
			Args: []string{"--loops", "1", "--listen", "127.0.0.1:0"}, Pinned: "0", Local: true,
		},
		Scenarios: []report.Scenario{
			{
				Name: "sessions", Operation: "session",
				Params:  map[string]string{"pairs": "200000", "at_once": "7500", "drivers": "1", "offer": "2048", "candidates": "5"},
				Notes:   []string{"The limit of 16,384 open files of a driver allowed 7,500 pairs at once, so the 200,000 came in 27 waves."},
				Seconds: 18.4, Operations: 200_000, Connections: 15000, Rate: 10869.6 / cost,
				Latency:    distribution("from the Opener's connect to its seeing the Joining unavailable", 200_000, 4200*cost, 0.55),
				Errors:     map[string]int64{"lost": 0},
				UserMicros: 31.2 * cost, SystemMicros: 58.7 * cost, ServerCPU: 0.977, DriverCPU: 0.712,
				Resident: report.Memory{Before: 11 * MiB, Peak: int64(38.4 * MiB * cost), After: 19 * MiB},
				Samples:  wave(38, 13000/cost, 1800*cost),
			},
			{
				Name: "idle", Operation: "opener",
				Params:  map[string]string{"connections": "100000"},
				Notes:   []string{"Kernel memory is that of both ends, for both are on this machine."},
				Seconds: 20, Operations: 100_000, Connections: 100_000, Rate: 13210 / cost,
				Latency:    distribution("from connect to the key's answer", 100_000, 310*cost, 0.3),
				Resident:   report.Memory{Before: 11 * MiB, Peak: int64(11*MiB + 37_800_000*cost), After: 24 * MiB},
				UserMicros: 9.31 * cost, SystemMicros: 27.4 * cost, ServerCPU: 0.92, DriverCPU: 0.81,
				BytesPerConnection: 378 * cost, KernelPerConnection: 4321, IdleCPU: 0.0008, FillSeconds: 7.6, EmptySeconds: 4.2,
				Samples: idle,
			},
			{
				Name: "relay", Operation: "relay",
				Params:  map[string]string{"pairs": "200", "depth": "1", "size": "200"},
				Seconds: 30, Operations: 4_512_345, Connections: 400, Rate: 150_411 / cost,
				Latency:    distribution("there and back", 4_512_345, 905*cost, 0.18),
				UserMicros: 1.93 * cost, SystemMicros: 4.51 * cost, ServerCPU: 0.99, DriverCPU: 0.86,
				Resident: report.Memory{Before: 12 * MiB, Peak: int64(14.1 * MiB * cost), After: 12 * MiB},
				Samples:  wave(61, 158_000/cost, 10),
			},
			{
				Name: "relay", Operation: "relay",
				Params:  map[string]string{"pairs": "1000", "depth": "4", "size": "1000"},
				Seconds: 240, Operations: 30_912_345, Connections: 2000, Rate: 128_801 / cost,
				Latency:    distribution("there and back", 30_912_345, 31_050*cost, 0.12),
				UserMicros: 2.4 * cost, SystemMicros: 5.17 * cost, ServerCPU: 0.99, DriverCPU: 0.93,
				Resident: report.Memory{Before: 12 * MiB, Peak: int64(18.6 * MiB * cost), After: 13 * MiB},
				Samples:  wave(481, 131_000/cost, 30),
			},
		},
	}
}

// broken is a result with faults.
func broken() *report.Result {
	r := full("gws", 1.6)
	r.Scenarios[0].Errors = map[string]int64{"lost": 2, "doubled": 1234, "reordered": 0}
	r.Scenarios[2].Invalid = []string{"A driver used 0.99 of its core, so that it and not the server may have been the limit."}
	return r
}
