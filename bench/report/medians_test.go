package report_test

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/bench/report"
)

func round(rate float64, cpu float64) *report.Result {
	return &report.Result{Name: "sigver", Scenarios: []report.Scenario{{
		Name: "relay", Rate: rate, UserMicros: cpu, Connections: int(rate),
		Latency: report.Latency{Count: 10, P99: 1000 * cpu, Points: []report.Point{{Share: 1, Micros: rate}}},
		Samples: []report.Sample{{Rate: rate}},
		Notes:   []string{"in all"},
		Errors:  map[string]int64{"lost": 1},
	}}}
}

func TestMediansOfAnOddNumber(t *testing.T) {
	rounds := []*report.Result{round(300, 1), round(100, 3), round(200, 9)}
	rounds[1].Scenarios[0].Notes = []string{"in all", "in one"}
	rounds[2].Scenarios[0].Invalid = []string{"not valid once"}
	m := report.Medians(rounds)
	require.Equal(t, 3, m.Rounds)
	require.Len(t, m.Scenarios, 1)
	s := m.Scenarios[0]
	require.Equal(t, 200.0, s.Rate)
	require.Equal(t, 200, s.Connections)
	require.Equal(t, 3.0, s.UserMicros)
	require.Equal(t, 3000.0, s.Latency.P99)
	require.Equal(t, map[string]int64{"lost": 3}, s.Errors)
	require.Equal(t, []string{"in all", "in one"}, s.Notes)
	require.Equal(t, []string{"not valid once"}, s.Invalid)
	require.Equal(t, 200.0, s.Samples[0].Rate)
	require.Equal(t, 200.0, s.Latency.Points[0].Micros)
	require.Equal(t, 300.0, rounds[0].Scenarios[0].Rate, "a round was changed")
	require.Equal(t, map[string]int64{"lost": 1}, rounds[0].Scenarios[0].Errors, "a round was changed")
}

func TestMediansOfAnEvenNumber(t *testing.T) {
	s := report.Medians([]*report.Result{round(400, 1), round(100, 2), round(300, 4), round(200, 8)}).Scenarios[0]
	require.Equal(t, 250.0, s.Rate)
	require.Equal(t, 3.0, s.UserMicros)
	require.Equal(t, 200.0, s.Samples[0].Rate)
}

func TestMedianRatio(t *testing.T) {
	rate := func(s *report.Scenario) float64 { return s.Rate }
	first := []*report.Result{round(100, 1), round(200, 1), round(400, 1)}
	whole := first[0]
	require.Equal(t, 0.5, report.MedianRatio(whole, 0, first, []*report.Result{round(50, 1), round(300, 1), round(100, 1)}, rate))
	require.Equal(t, 1.0, report.MedianRatio(whole, 0, first, []*report.Result{round(50, 1), round(300, 1), {}}, rate))
	require.Zero(t, report.MedianRatio(whole, 0, first, nil, rate))
	another := &report.Result{Scenarios: []report.Scenario{{Name: "another"}}}
	require.Zero(t, report.MedianRatio(another, 0, first, first, rate))
}

func TestMediansOfNoneAndOne(t *testing.T) {
	require.Nil(t, report.Medians(nil))
	require.Nil(t, report.Medians([]*report.Result{nil}))
	want := full("sigver", 1)
	want.Rounds = 1
	m := report.Medians([]*report.Result{full("sigver", 1)})
	for i := range m.Scenarios {
		// A sum that is divided again need not be the same to the last bit.
		user := want.Scenarios[i].UserMicros
		require.InDelta(t, user, m.Scenarios[i].UserMicros, 1e-9)
		m.Scenarios[i].UserMicros = user
	}
	require.Equal(t, want, m)
}

func TestMediansOfARoundThatWasStopped(t *testing.T) {
	cut := full("sigver", 1)
	cut.Scenarios = cut.Scenarios[:1]
	m := report.Medians([]*report.Result{cut, full("sigver", 1), full("sigver", 1)})
	require.Len(t, m.Scenarios, 4)
}

// A field that is added to Scenario must not be forgotten in Medians, nor taken
// from one round.
func TestMediansHasEveryField(t *testing.T) {
	of := func(n int64) report.Scenario {
		var s report.Scenario
		fill(reflect.ValueOf(&s).Elem(), n)
		return s
	}
	one := report.Result{Scenarios: []report.Scenario{of(7)}}
	two := report.Result{Scenarios: []report.Scenario{of(9)}}
	want := of(8)
	want.Errors = map[string]int64{"x": 16}
	// The lower rate of the two is the middle one.
	want.Samples, want.Latency.Points = of(7).Samples, of(7).Latency.Points
	require.Equal(t, want, report.Medians([]*report.Result{&one, &two}).Scenarios[0])
	require.Equal(t, want, report.Medians([]*report.Result{{Scenarios: []report.Scenario{of(0)}}, &two, &one, {Scenarios: []report.Scenario{of(0)}}}).Scenarios[0])
}

func TestMediansLeaveOutWhatIsUnknown(t *testing.T) {
	idle := func(kernel, cpu, user, system float64) *report.Result {
		return &report.Result{Scenarios: []report.Scenario{{
			Name: "idle", KernelPerConnection: kernel, FillSeconds: 1, ServerCPU: 0.5, IdleCPU: cpu,
			UserMicros: user, SystemMicros: system,
		}}}
	}
	m := report.Medians([]*report.Result{idle(0, 0, 0, 4), idle(4000, 0, 2, 6), idle(0, 0.1, 0, 0)}).Scenarios[0]
	require.Equal(t, 4000.0, m.KernelPerConnection)
	require.Zero(t, m.IdleCPU, "a silent server may use nothing")
	require.Equal(t, 6.0, m.UserMicros+m.SystemMicros)
	require.Equal(t, 6*(1+0.75)/2, m.SystemMicros, "all of it may be the kernel's")
}

// A server that spends now as user and now as system spends no less for that.
func TestMedianOfCPUIsThatOfTheSums(t *testing.T) {
	var rounds []*report.Result
	for _, cpu := range [][2]float64{{10, 2}, {2, 10}, {5, 5}} {
		rounds = append(rounds, &report.Result{Scenarios: []report.Scenario{{UserMicros: cpu[0], SystemMicros: cpu[1]}}})
	}
	m := report.Medians(rounds).Scenarios[0]
	require.Equal(t, 12.0, m.UserMicros+m.SystemMicros)
	require.Equal(t, 6.0, m.SystemMicros, "half of it is the kernel's in the middle round")
}

// fill sets every text in v to x and every number to n.
func fill(v reflect.Value, n int64) {
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			fill(v.Field(i), n)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 1, 1))
		fill(v.Index(0), n)
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		value := reflect.New(v.Type().Elem()).Elem()
		fill(value, n)
		v.SetMapIndex(reflect.ValueOf("x"), value)
	case reflect.String:
		v.SetString("x")
	case reflect.Float64:
		v.SetFloat(float64(n))
	case reflect.Int, reflect.Int64:
		v.SetInt(n)
	default:
		panic("fill: " + v.Kind().String())
	}
}
