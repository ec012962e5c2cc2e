package protocol_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/protocol"
)

// The JSON values here stand where a key or a token stands.
var acceptedTexts = []struct {
	name string
	json string
	want string
}{
	{
		name: "plain",
		json: `"some key"`,
		want: "some key",
	},
	{
		name: "not ASCII",
		json: `"clé 🔑"`,
		want: "clé 🔑",
	},
	{
		name: "one character in another spelling",
		json: `"\u0061"`,
		want: "a",
	},
	{
		name: "every escape",
		json: `"\"\\\/\b\f\n\r\t\u0000\u007f"`,
		want: "\"\\/\b\f\n\r\t\x00\x7f",
	},
	{
		name: "surrogate pair",
		json: `"\ud83d\udd11"`,
		want: "🔑",
	},
	{
		name: "surrogate pair in capitals",
		json: `"\uD83D\uDD11"`,
		want: "🔑",
	},
	{
		name: "the text of an escape is not an escape",
		json: `"\\ud800"`,
		want: `\ud800`,
	},
	{
		name: "a backslash before an escape",
		json: `"\\\u0061"`,
		want: `\a`,
	},
	{
		name: "replacement character, escaped",
		json: `"\ufffd"`,
		want: "\ufffd",
	},
	{
		name: "replacement character",
		json: `"` + "\ufffd" + `"`,
		want: "\ufffd",
	},
	{
		name: "512 bytes",
		json: `"` + strings.Repeat("k", 512) + `"`,
		want: strings.Repeat("k", 512),
	},
	{
		name: "512 code points of four bytes",
		json: `"` + strings.Repeat("🔑", 512) + `"`,
		want: strings.Repeat("🔑", 512),
	},
	{
		name: "512 code points of twelve bytes",
		json: `"` + strings.Repeat(`\ud83d\udd11`, 512) + `"`,
		want: strings.Repeat("🔑", 512),
	},
}

var refusedTexts = []struct {
	name string
	json string
	what string
}{
	{
		name: "number",
		json: `1`,
		what: "is not a string",
	},
	{
		name: "null",
		json: `null`,
		what: "is not a string",
	},
	{
		name: "boolean",
		json: `true`,
		what: "is not a string",
	},
	{
		name: "array",
		json: `["k"]`,
		what: "is not a string",
	},
	{
		name: "object",
		json: `{"open":"k"}`,
		what: "is not a string",
	},
	{
		name: "empty",
		json: `""`,
		what: "is empty",
	},
	{
		name: "513 bytes",
		json: `"` + strings.Repeat("k", 513) + `"`,
		what: "is longer than 512 characters",
	},
	{
		name: "513 code points",
		json: `"` + strings.Repeat("é", 513) + `"`,
		what: "is longer than 512 characters",
	},
	{
		name: "513 escapes",
		json: `"` + strings.Repeat(`\n`, 513) + `"`,
		what: "is longer than 512 characters",
	},
	{
		name: "high surrogate at the end",
		json: `"a\ud800"`,
		what: "has half of a surrogate pair",
	},
	{
		name: "high surrogate before a character",
		json: `"\ud800a"`,
		what: "has half of a surrogate pair",
	},
	{
		name: "high surrogate before an escape",
		json: `"\ud800\n"`,
		what: "has half of a surrogate pair",
	},
	{
		name: "high surrogate before an escaped character",
		json: `"\ud800\u0061"`,
		what: "has half of a surrogate pair",
	},
	{
		name: "high surrogate before the text of a low one",
		json: `"\ud800\\udc00"`,
		what: "has half of a surrogate pair",
	},
	{
		name: "two high surrogates",
		json: `"\ud800\ud800\udc00"`,
		what: "has half of a surrogate pair",
	},
	{
		name: "low surrogate",
		json: `"\udc00"`,
		what: "has half of a surrogate pair",
	},
	{
		name: "low surrogate first",
		json: `"\udc00\ud800"`,
		what: "has half of a surrogate pair",
	},
	{
		name: "low surrogate after a pair",
		json: `"\ud83d\udd11\udd11"`,
		what: "has half of a surrogate pair",
	},
}

func TestParseKey(t *testing.T) {
	for _, tt := range acceptedTexts {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, string(parse(t, `{"open":`+tt.json+`}`).Key))
			require.Equal(t, tt.want, string(parse(t, `{"key":`+tt.json+`}`).Key))
			require.Equal(t, tt.want, string(parse(t, `{"join":`+tt.json+`}`).Key))
		})
	}
	for _, tt := range refusedTexts {
		t.Run(tt.name, func(t *testing.T) {
			detail := "the key " + tt.what
			requireRefused(t, `{"open":`+tt.json+`}`, protocol.KeyError, detail)
			requireRefused(t, `{"key":`+tt.json+`,"token":"s"}`, protocol.KeyError, detail)
			requireRefused(t, `{"join":`+tt.json+`,"data":1}`, protocol.KeyError, detail)
		})
	}
}

func TestParseToken(t *testing.T) {
	for _, tt := range acceptedTexts {
		t.Run(tt.name, func(t *testing.T) {
			m := parse(t, `{"open":"k","token":`+tt.json+`}`)
			require.Equal(t, tt.want, string(m.Token))
			require.Equal(t, "k", string(m.Key))
		})
	}
	for _, tt := range refusedTexts {
		t.Run(tt.name, func(t *testing.T) {
			requireRefused(t, `{"open":"k","token":`+tt.json+`}`,
				protocol.MessageError, "the token "+tt.what)
		})
	}
}

func TestKeysInTwoSpellingsAreOne(t *testing.T) {
	a := parse(t, `{"open":"a/\u00e9\ud83d\udd11"}`)
	b := parse(t, `{"join":"\u0061\/é🔑"}`)
	require.Equal(t, a.Key, b.Key)
}
