package protocol_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/protocol"
)

// nested returns n arrays around value.
func nested(n int, value string) string {
	return strings.Repeat("[", n) + value + strings.Repeat("]", n)
}

func TestDataKeepsItsSpelling(t *testing.T) {
	tests := []struct {
		name string
		data string
		want string // data when empty
	}{
		{
			name: "huge exponent",
			data: `1e999`,
		},
		{
			name: "trailing zero",
			data: `0.10`,
		},
		{
			name: "negative zero",
			data: `-0`,
		},
		{
			name: "more digits than a float64",
			data: `123456789012345678901234567890`,
		},
		{
			name: "exponent's case and sign",
			data: `[1E+2,1e-02,1e2]`,
		},
		{
			name: "escaped NUL",
			data: `"\u0000"`,
		},
		{
			name: "escaped BEL",
			data: `"\u0007"`,
		},
		{
			name: "escaped letter",
			data: `"\u0061\u00E9\u00e9"`,
		},
		{
			name: "escaped slash",
			data: `"\/"`,
		},
		{
			name: "every short escape",
			data: `"\"\\\/\b\f\n\r\t"`,
		},
		{
			name: "high surrogate alone",
			data: `"\ud800"`,
		},
		{
			name: "low surrogate alone",
			data: `["\udc00\ud800"]`,
		},
		{
			name: "surrogate pair",
			data: `"\ud83d\udd11"`,
		},
		{
			name: "line separator and DEL",
			data: "\"\u2028\x7f\"",
		},
		{
			name: "markup is not escaped",
			data: `"<a href='x'>&</a>"`,
		},
		{
			name: "string beyond ASCII",
			data: `"clé 🔑"`,
		},
		{
			name: "duplicate members and their order",
			data: `{"b":1,"a":2,"b":3,"\u0062":4,"":5}`,
		},
		{
			name: "escaped names",
			data: `{"\u0000":{"\ud800":{"\/":1}}}`,
		},
		{
			name: "our own members inside",
			data: `{"open":"k","join":"k","data":{"data":1},"id":"x"}`,
		},
		{
			name: "empty containers",
			data: `[[],{},[{}],""]`,
		},
		{
			name: "literals",
			data: `[true,false,null]`,
		},
		{
			name: "white space between tokens goes",
			data: " [ 1 ,\t{ \"a b\" : \"c  d\" }\r\n, [ ] , { } ] ",
			want: `[1,{"a b":"c  d"},[],{}]`,
		},
		{
			name: "brackets in strings are no levels",
			data: `"` + strings.Repeat(`[{\"`, 400) + `"`,
		},
		{
			name: "many containers side by side",
			data: `[` + strings.Repeat(`[{"]":"\\"}],`, 400) + `0]`,
		},
		{
			name: "300 levels, the innermost empty",
			data: nested(299, ""),
		},
		{
			name: "300 levels, the innermost a number",
			data: nested(298, "1"),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			want := tt.want
			if want == "" {
				want = tt.data
			}
			require.Equal(t, want, string(parse(t, `{"data":`+tt.data+`}`).Data))
			require.Equal(t, want, string(parse(t, `{"data":`+tt.data+`,"id":1}`).Data))
			require.Equal(t, want, string(parse(t, `{"x":1,"join":"\u006b","data":`+tt.data+`}`).Data))
		})
	}
}

func TestRefusesWhatIsNoJSON(t *testing.T) {
	values := []struct {
		name string
		json string
	}{
		{"nothing", ``},
		{"NaN", `NaN`},
		{"nan", `nan`},
		{"Inf", `Inf`},
		{"-Inf", `-Inf`},
		{"Infinity", `Infinity`},
		{"leading zero", `01`},
		{"negative leading zero", `-01`},
		{"no fraction", `1.`},
		{"no integer", `.5`},
		{"plus", `+1`},
		{"two signs", `--1`},
		{"no exponent", `1e`},
		{"no exponent after its sign", `1e+`},
		{"difference", `1-2`},
		{"two points", `1..2`},
		{"lone minus", `-`},
		{"hexadecimal", `0x10`},
		{"NUL in a string", "\"\x00\""},
		{"newline in a string", "\"\n\""},
		{"tab in a name", "{\"\t\":1}"},
		{"hexadecimal escape", `"\x41"`},
		{"short unicode escape", `"\u12"`},
		{"bad unicode escape", `"\uZZZZ"`},
		{"bad escape in a name", `{"\x41":1}`},
		{"escape of nothing", `"\"`},
		{"single quotes", `'a'`},
		{"trailing comma in an array", `[1,]`},
		{"trailing comma in an object", `{"a":1,}`},
		{"only a comma", `[,]`},
		{"no comma", `[1 2]`},
		{"no colon", `{"a" 1}`},
		{"no quotes", `{a:1}`},
		{"unclosed array", `[1`},
		{"comment", `1/**/`},
		{"capital literal", `True`},
		{"long literal", `truex`},
		{"form feed", "\f1"},
	}
	for _, tt := range values {
		t.Run(tt.name, func(t *testing.T) {
			text := `{"data":` + tt.json + `}`
			require.False(t, json.Valid([]byte(text)))
			requireRefused(t, text, protocol.MessageError, "the message is not valid JSON")
			// Also where the value would be ignored.
			requireRefused(t, `{"data":1,"x":`+tt.json+`}`,
				protocol.MessageError, "the message is not valid JSON")
		})
	}

	texts := []struct {
		name string
		text string
	}{
		{"empty", ""},
		{"blank", " \n"},
		{"no JSON", "open"},
		{"two objects", `{"data":1}{"data":1}`},
		{"trailing text", `{"data":1}x`},
		{"trailing brace", `{"data":1}}`},
		{"trailing comma", `{"data":1,}`},
		{"unclosed", `{"data":1`},
		{"byte order mark", "\ufeff" + `{"data":1}`},
		{"trailing NUL", `{"data":1}` + "\x00"},
	}
	for _, tt := range texts {
		t.Run(tt.name, func(t *testing.T) {
			requireRefused(t, tt.text, protocol.MessageError, "the message is not valid JSON")
		})
	}
}

func TestRefusesWhatIsNoObject(t *testing.T) {
	for _, text := range []string{`1`, `"open"`, `null`, `true`, `[]`, `[{"data":1}]`} {
		t.Run(text, func(t *testing.T) {
			requireRefused(t, text, protocol.MessageError, "the message is not a JSON object")
		})
	}
}

func TestRefusesInvalidUTF8(t *testing.T) {
	for _, text := range []string{
		"{\"data\":\"\xff\"}",
		"{\"data\":\"\xed\xa0\x80\"}", // a surrogate
		"{\"open\":\"\xc0\x80\"}",     // NUL, overlong
		"{\"\xe2\x82\":1,\"data\":1}",
	} {
		requireRefused(t, text, protocol.MessageError, "the message is not valid UTF-8")
	}
}

func TestRefusesDeepNesting(t *testing.T) {
	const tooDeep = "the message is nested deeper than 300 levels"
	tests := []struct {
		name string
		text string
	}{
		{
			name: "301 levels, the innermost empty",
			text: `{"data":` + nested(300, "") + `}`,
		},
		{
			name: "301 levels, the innermost a number",
			text: `{"data":` + nested(299, "1") + `}`,
		},
		{
			name: "301 objects",
			text: strings.Repeat(`{"data":`, 301) + "1" + strings.Repeat("}", 301),
		},
		{
			name: "in a member that would be ignored",
			text: `{"data":1,"x":` + nested(300, "") + `}`,
		},
		{
			name: "behind strings with quotes and backslashes",
			text: `{"data":["\"]","\\",` + nested(300, "") + `]}`,
		},
		{
			name: "a million brackets that never close",
			text: strings.Repeat("[", 1<<20),
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			requireRefused(t, tt.text, protocol.MessageError, tooDeep)
		})
	}
}
