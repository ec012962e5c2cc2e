//go:build linux

package driver

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseMessage(t *testing.T) {
	cases := []struct {
		name string
		text string
		want message
	}{
		{
			name: "yes",
			text: `{"isKeyOk":true}`,
			want: message{answered: true, keyOK: true},
		},
		{
			name: "no, and white space",
			text: " { \"isKeyOk\" :\tfalse }\n",
			want: message{answered: true},
		},
		{
			name: "to an Opener",
			text: `{"id":7,"data":{"a":"}\"]","b":[{},1]}}`,
			want: message{id: 7, data: []byte(`{"a":"}\"]","b":[{},1]}`)},
		},
		{
			name: "members the other way round",
			text: `{"data":"x\\","id":2147483647}`,
			want: message{id: 1<<31 - 1, data: []byte(`"x\\"`)},
		},
		{
			name: "unavailable",
			text: `{"id":3,"unavailable":"true"}`,
			want: message{id: 3, unavailable: true},
		},
		{
			name: "a member of another version",
			text: `{"later":null,"data":1.5e3}`,
			want: message{data: []byte(`1.5e3`), strange: "a member that the protocol does not have"},
		},
		{
			name: "unavailable, but no string",
			text: `{"id":3,"unavailable":true}`,
			want: message{id: 3, unavailable: true, strange: `unavailable is not "true"`},
		},
		{
			name: "unavailable of nobody",
			text: `{"unavailable":"true"}`,
			want: message{unavailable: true, strange: "unavailable without an id"},
		},
		{
			name: "an answer with an id",
			text: `{"id":4,"isKeyOk":true}`,
			want: message{answered: true, keyOK: true, id: 4, strange: "an id in the answer to open or join"},
		},
		{
			name: "two in one",
			text: `{"isKeyOk":true,"data":1}`,
			want: message{answered: true, keyOK: true, data: []byte(`1`), strange: "several messages in one"},
		},
		{
			name: "data twice",
			text: `{"data":1,"data":2}`,
			want: message{data: []byte(`2`), strange: "a member comes twice"},
		},
		{
			name: "nothing but an id",
			text: `{"id":4}`,
			want: message{id: 4, strange: "neither an answer nor data nor news"},
		},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, ok := parseMessage([]byte(c.text))
			require.True(t, ok)
			require.Equal(t, c.want, got)
			for cut := range len(c.text) - 1 {
				_, ok := parseMessage([]byte(c.text[:cut]))
				require.False(t, ok, c.text[:cut])
			}
		})
	}
}

func TestWhatIsNoMessage(t *testing.T) {
	for _, text := range []string{
		``, `null`, `[]`, `{`, `{}`, `{"id":0,"data":1}`, `{"id":-1}`, `{"id":"7"}`, `{"isKeyOk":"true"}`,
		`{"data":1}}`, `{"data" 1}`, `{"data":}`, `{data:1}`, `{"data":"a}`, `{"data":{"a":1}`,
	} {
		_, ok := parseMessage([]byte(text))
		require.False(t, ok, text)
	}
}
