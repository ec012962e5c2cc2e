package protocol_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/protocol"
)

// parse parses text with a new Parser and requires that it is accepted.
func parse(t *testing.T, text string) *protocol.Message {
	t.Helper()
	var p protocol.Parser
	var m protocol.Message
	require.NoError(t, p.Parse([]byte(text), &m))
	return &m
}

// requireRefused parses text with a new Parser and requires the error, and that
// nothing of an earlier message is left in m.
func requireRefused(t *testing.T, text string, code protocol.CloseCode, detail string) {
	t.Helper()
	var p protocol.Parser
	m := protocol.Message{Kind: protocol.Open, Key: []byte("old"), ID: 7}
	err := p.Parse([]byte(text), &m)
	require.Equal(t, &protocol.Error{Code: code, Detail: detail}, err)
	require.Zero(t, m)
	require.LessOrEqual(t, len(code.String()+": "+detail), protocol.MaxReason)
}

func TestParseAccepts(t *testing.T) {
	tests := []struct {
		name string
		text string
		want protocol.Message
	}{
		{
			name: "open",
			text: `{"open":"k"}`,
			want: protocol.Message{Kind: protocol.Open, Key: []byte("k")},
		},
		{
			name: "key is open",
			text: `{"key":"k"}`,
			want: protocol.Message{Kind: protocol.Open, Key: []byte("k")},
		},
		{
			name: "open with token",
			text: `{"open":"k","token":"s"}`,
			want: protocol.Message{Kind: protocol.Open, Key: []byte("k"), Token: []byte("s")},
		},
		{
			name: "token before key",
			text: `{"token":"s","key":"k"}`,
			want: protocol.Message{Kind: protocol.Open, Key: []byte("k"), Token: []byte("s")},
		},
		{
			name: "join",
			text: `{"join":"k"}`,
			want: protocol.Message{Kind: protocol.Join, Key: []byte("k")},
		},
		{
			name: "join with data",
			text: `{"join":"k","data":{"a":1}}`,
			want: protocol.Message{Kind: protocol.Join, Key: []byte("k"), Data: []byte(`{"a":1}`)},
		},
		{
			name: "join with null is join with data",
			text: `{"data":null,"join":"k"}`,
			want: protocol.Message{Kind: protocol.Join, Key: []byte("k"), Data: []byte(`null`)},
		},
		{
			name: "data",
			text: `{"data":"x"}`,
			want: protocol.Message{Kind: protocol.ToOpener, Data: []byte(`"x"`)},
		},
		{
			name: "data false",
			text: `{"data":false}`,
			want: protocol.Message{Kind: protocol.ToOpener, Data: []byte(`false`)},
		},
		{
			name: "data empty string",
			text: `{"data":""}`,
			want: protocol.Message{Kind: protocol.ToOpener, Data: []byte(`""`)},
		},
		{
			name: "id and data",
			text: `{"id":7,"data":[]}`,
			want: protocol.Message{Kind: protocol.ToJoining, ID: 7, Data: []byte(`[]`)},
		},
		{
			name: "data before id",
			text: `{"data":[],"id":7}`,
			want: protocol.Message{Kind: protocol.ToJoining, ID: 7, Data: []byte(`[]`)},
		},
		{
			name: "unknown members are ignored",
			text: `{"x":{"open":"no"},"data":1,"X":[],"Open":2,"isKeyOk":true,"x":3}`,
			want: protocol.Message{Kind: protocol.ToOpener, Data: []byte(`1`)},
		},
		{
			name: "a member's name may be escaped",
			text: `{"\u006fpen":"k"}`,
			want: protocol.Message{Kind: protocol.Open, Key: []byte("k")},
		},
		{
			name: "an escaped backslash is another name",
			text: `{"open":"k","\\u006fpen":1}`,
			want: protocol.Message{Kind: protocol.Open, Key: []byte("k")},
		},
		{
			name: "white space around everything",
			text: "\r\n\t { \"join\" : \"k\" , \"data\" : [ 1 , 2 ] } \n",
			want: protocol.Message{Kind: protocol.Join, Key: []byte("k"), Data: []byte(`[1,2]`)},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, &tt.want, parse(t, tt.text))
		})
	}
}

func TestParseRefusesMisfits(t *testing.T) {
	const (
		nothing  = "none of open, join and data is in the message"
		twice    = "a known member is named twice"
		openJoin = "more than one of open, key and join is in the message"
		openWith = "open goes with token only, not with data or id"
		joinWith = "join goes with data only, not with token or id"
		token    = "a token goes with open only"
		id       = "an id goes with data only, which is missing"
	)
	tests := []struct {
		text   string
		detail string
	}{
		{`{}`, nothing},
		{`{"x":1}`, nothing},
		{`{"Open":"k"}`, nothing},
		{`{"open ":"k"}`, nothing},

		{`{"open":"k","open":"k"}`, twice},
		{`{"open":"k","\u006fpen":"k"}`, twice},
		{`{"\u006fpen":"k","open":"k"}`, twice},
		{`{"key":"k","key":"k"}`, twice},
		{`{"join":"k","join":"k"}`, twice},
		{`{"data":1,"data":1}`, twice},
		{`{"d\u0061ta":1,"\u0064ata":1}`, twice},
		{`{"id":1,"id":1,"data":1}`, twice},
		{`{"open":"k","token":"s","token":"s"}`, twice},
		{`{"data":1,"x":0,"data":1}`, twice},

		{`{"open":"k","join":"k"}`, openJoin},
		{`{"open":"k","key":"k"}`, openJoin},
		{`{"key":"k","join":"k"}`, openJoin},
		{`{"open":"k","key":"k","join":"k"}`, openJoin},
		{`{"open":1,"join":2}`, openJoin},

		{`{"open":"k","data":1}`, openWith},
		{`{"open":"k","id":1}`, openWith},
		{`{"key":"k","token":"s","data":1}`, openWith},

		{`{"join":"k","token":"s"}`, joinWith},
		{`{"join":"k","id":1}`, joinWith},
		{`{"join":"k","id":1,"data":1}`, joinWith},

		{`{"token":"s"}`, token},
		{`{"data":1,"token":"s"}`, token},
		{`{"id":1,"data":1,"token":"s"}`, token},

		{`{"id":1}`, id},
	}
	for _, tt := range tests {
		t.Run(tt.text, func(t *testing.T) {
			requireRefused(t, tt.text, protocol.MessageError, tt.detail)
		})
	}
}

func TestParseID(t *testing.T) {
	for _, id := range []string{"1", "7", "10", "2147483647"} {
		want := parse(t, `{"id":`+id+`,"data":1}`)
		require.Equal(t, id, fmt.Sprint(want.ID))
		require.Equal(t, want, parse(t, `{"id":"`+id+`","data":1}`), "as a string")
	}
	require.Equal(t, uint32(7), parse(t, `{"id":"\u0037","data":1}`).ID, "as an escaped string")

	refused := []string{
		`0`,
		`-0`,
		`-1`,
		`7.0`,
		`7.5`,
		`1e3`,
		`1E3`,
		`2147483648`,
		`4294967303`, // 7 in the low 32 bits
		`18446744073709551623`,
		`true`,
		`null`,
		`[7]`,
		`{}`,
		`""`,
		`"0"`,
		`"07"`,
		`"-7"`,
		`"+7"`,
		`" 7"`,
		`"7 "`,
		`"7.0"`,
		`"0x7"`,
		`"1_0"`,
		`"٧"`,
		`"\ud800"`,
		`"7\u0000"`,
		`"2147483648"`,
		`"` + strings.Repeat("1", 1000) + `"`,
	}
	for _, id := range refused {
		t.Run(id, func(t *testing.T) {
			requireRefused(t, `{"id":`+id+`,"data":1}`, protocol.MessageError,
				"the id is not a whole number from 1 to 2147483647")
		})
	}
}

func TestParseLeavesTextAlone(t *testing.T) {
	text := `{ "\u006fpen" : "\u006b", "token" : "\n" }`
	in := []byte(text)
	var p protocol.Parser
	var m protocol.Message
	require.NoError(t, p.Parse(in, &m))
	require.Equal(t, text, string(in))

	// And keeps nothing of it.
	clear(in)
	require.Equal(t, "k", string(m.Key))
	require.Equal(t, "\n", string(m.Token))
}

func TestParserIsReusable(t *testing.T) {
	var p protocol.Parser
	var m protocol.Message
	big := strings.Repeat("x", 100_000)
	for range 3 {
		require.NoError(t, p.Parse([]byte(`{"open":"k","token":"s"}`), &m))
		require.Equal(t, protocol.Message{Kind: protocol.Open, Key: []byte("k"), Token: []byte("s")}, m)

		require.Error(t, p.Parse([]byte(`{"open":"k","token":""}`), &m))
		require.Zero(t, m)

		require.NoError(t, p.Parse([]byte(`{"join":"k2","data":"`+big+`"}`), &m))
		require.Equal(t, "k2", string(m.Key))
		require.Equal(t, `"`+big+`"`, string(m.Data))

		require.NoError(t, p.Parse([]byte(`{"id":9,"data":{}}`), &m))
		require.Equal(t, protocol.Message{Kind: protocol.ToJoining, ID: 9, Data: []byte(`{}`)}, m)
	}
}
