package relay

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// recorder is a Conn that keeps what it was told.
type recorder struct {
	mu   sync.Mutex
	told []string
}

func (r *recorder) Send(text []byte) error {
	r.tell(string(text))
	return nil
}

func (r *recorder) Close(code int, _ string) { r.tell(strconv.Itoa(code)) }

func (r *recorder) tell(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = append(r.told, what)
}

func (r *recorder) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	told := r.told
	r.told = nil
	return told
}

// A step is a message of one client, or its end when text is empty. want lists
// by client what it is told then; <name> stands for the id of that Joining.
type step struct {
	from string
	text string
	want map[string][]string
}

type told = map[string][]string

const (
	yes = `{"isKeyOk":true}`
	no  = `{"isKeyOk":false}`
)

var (
	opens = step{"o", `{"open":"k"}`, told{"o": {yes}}}
	joins = step{"j", `{"join":"k"}`, told{"j": {yes}}}
)

func TestExchange(t *testing.T) {
	long := strings.Repeat("é", maxKey)
	tests := []struct {
		name  string
		steps []step
	}{
		{"open and join relay both ways, then the Joining leaves", []step{
			opens,
			joins,
			{"j", `{"data":{"sdp":"\u00e9 é","n":1.50}}`, told{"o": {`{"id":<j>,"data":{"sdp":"\u00e9 é","n":1.50}}`}}},
			{"o", `{"id":<j>,"data":[null]}`, told{"j": {`{"data":[null]}`}}},
			{"o", `{"id":"<j>","data":null}`, told{"j": {`{"data":null}`}}},
			{"j", "", told{"o": {`{"id":<j>,"unavailable":"true"}`}}},
			{"o", `{"id":<j>,"data":1}`, told{"o": {`{"id":<j>,"unavailable":"true"}`}}},
			{"j", "", nil},
		}},
		{"key is open", []step{
			{"o", `{"key":"k"}`, told{"o": {yes}}},
			joins,
		}},
		{"join with data", []step{
			opens,
			{"j", `{"join":"k","data":"d"}`, told{"j": {yes}, "o": {`{"id":<j>,"data":"d"}`}}},
		}},
		{"two Joinings are told apart", []step{
			opens,
			joins,
			{"i", `{"join":"k"}`, told{"i": {yes}}},
			{"i", `{"data":1}`, told{"o": {`{"id":<i>,"data":1}`}}},
			{"o", `{"id":<j>,"data":2}`, told{"j": {`{"data":2}`}}},
		}},
		{"the Opener goes: its Joinings are closed, its key is free", []step{
			opens,
			joins,
			{"o", "", told{"j": {"4020"}}},
			{"j", "", nil},
			{"p", `{"open":"k"}`, told{"p": {yes}}},
			{"j", `{"data":1}`, nil},
		}},
		{"open of a taken key", []step{
			opens,
			{"p", `{"open":"\u006b"}`, told{"p": {no, "4010"}}},
			{"p", "", nil},
			{"j", `{"join":"k"}`, told{"j": {yes}}},
		}},
		{"join of an unknown key", []step{
			{"j", `{"join":"k"}`, told{"j": {no, "4011"}}},
			{"j", `{"join":"k"}`, nil},
		}},
		{"open twice, and its Joinings go too", []step{
			opens,
			joins,
			{"o", `{"open":"other"}`, told{"o": {"4013"}, "j": {"4020"}}},
			{"o", "", nil},
		}},
		{"join twice", []step{
			opens,
			joins,
			{"j", `{"join":"k"}`, told{"j": {"4013"}, "o": {`{"id":<j>,"unavailable":"true"}`}}},
		}},
		{"data before join", []step{{"j", `{"data":1}`, told{"j": {"4023"}}}}},
		{"data to an id before open", []step{{"o", `{"id":1,"data":1}`, told{"o": {"4022"}}}}},
		{"an Opener's data without id", []step{opens, {"o", `{"data":1}`, told{"o": {"4023"}}}}},
		{"a Joining's data with id", []step{
			opens,
			joins,
			{"j", `{"id":1,"data":1}`, told{"j": {"4022"}, "o": {`{"id":<j>,"unavailable":"true"}`}}},
		}},
		{"an id that never was", []step{opens, {"o", `{"id":0,"data":1}`, told{"o": {`{"id":0,"unavailable":"true"}`}}}}},
		{"an id that is no whole number", []step{opens, {"o", `{"id":1.5,"data":1}`, told{"o": {"4000"}}}}},
		{"not JSON", []step{{"o", `{"open":`, told{"o": {"4000"}}}}},
		{"not an object", []step{{"o", `["open"]`, told{"o": {"4000"}}}}},
		{"null", []step{{"o", `null`, told{"o": {"4000"}}}}},
		{"an empty object", []step{{"o", `{}`, told{"o": {"4000"}}}}},
		{"open with join", []step{{"o", `{"open":"k","join":"k"}`, told{"o": {"4000"}}}}},
		{"an empty key", []step{{"o", `{"open":""}`, told{"o": {"4001"}}}}},
		{"a null key", []step{{"o", `{"open":null}`, told{"o": {"4001"}}}}},
		{"a key that is a number", []step{{"j", `{"join":7}`, told{"j": {"4001"}}}}},
		{"the longest key", []step{{"o", `{"open":"` + long + `"}`, told{"o": {yes}}}}},
		{"a longer key", []step{{"o", `{"open":"` + long + `k"}`, told{"o": {"4001"}}}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := New()
			conns := map[string]*recorder{}
			sessions := map[string]*Session{}
			names := regexp.MustCompile("<(.)>")
			fill := func(text string) string {
				return names.ReplaceAllStringFunc(text, func(name string) string {
					return strconv.Itoa(int(sessions[name[1:2]].id))
				})
			}
			for i, step := range test.steps {
				if sessions[step.from] == nil {
					conns[step.from] = new(recorder)
					sessions[step.from] = r.Attach(conns[step.from])
				}
				if step.text == "" {
					sessions[step.from].Gone()
				} else {
					sessions[step.from].Handle([]byte(fill(step.text)))
				}
				for name, conn := range conns {
					var want []string
					for _, text := range step.want[name] {
						want = append(want, fill(text))
					}
					if got := conn.take(); !slices.Equal(got, want) {
						t.Fatalf("step %d: %s was told %q, want %q", i, name, got, want)
					}
				}
			}
			for _, s := range sessions {
				s.Gone()
			}
			if len(r.openers) != 0 {
				t.Fatalf("%d keys stay", len(r.openers))
			}
		})
	}
}

// TestCrowd lets pairs share few keys, for the race detector.
func TestCrowd(t *testing.T) {
	r := New()
	var all sync.WaitGroup
	for i := range 64 {
		all.Go(func() {
			for n := range 100 {
				key := fmt.Sprint("k", (i+n)%8)
				s := r.Attach(new(recorder))
				if i%4 == 0 {
					s.Handle([]byte(`{"open":"` + key + `"}`))
					s.Handle([]byte(`{"id":1,"data":1}`))
				} else {
					s.Handle([]byte(`{"join":"` + key + `","data":1}`))
					s.Handle([]byte(`{"data":2}`))
				}
				s.Gone()
			}
		})
	}
	all.Wait()
	if len(r.openers) != 0 {
		t.Fatalf("%d keys stay", len(r.openers))
	}
}

func BenchmarkRelay(b *testing.B) {
	r := New()
	opener, joining := r.Attach(sink{}), r.Attach(sink{})
	opener.Handle([]byte(`{"open":"k"}`))
	joining.Handle([]byte(`{"join":"k"}`))
	for _, size := range []int{200, 1000} {
		text := fmt.Appendf(nil, `{"data":%q}`, strings.Repeat("x", size))
		b.Run(strconv.Itoa(size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				joining.Handle(text)
			}
		})
	}
}

// sink is a Conn that costs nothing.
type sink struct{}

func (sink) Send([]byte) error { return nil }
func (sink) Close(int, string) {}
