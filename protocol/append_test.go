package protocol_test

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"sigver/protocol"
)

func TestAppend(t *testing.T) {
	tests := []struct {
		name string
		got  []byte
		want string
	}{
		{
			name: "key accepted",
			got:  protocol.AppendKeyAnswer(nil, true),
			want: `{"isKeyOk":true}`,
		},
		{
			name: "key refused",
			got:  protocol.AppendKeyAnswer(nil, false),
			want: `{"isKeyOk":false}`,
		},
		{
			name: "data to a Joining",
			got:  protocol.AppendData(nil, []byte(`"x"`)),
			want: `{"data":"x"}`,
		},
		{
			name: "data to an Opener",
			got:  protocol.AppendDataFrom(nil, 7, []byte(`[1]`)),
			want: `{"id":7,"data":[1]}`,
		},
		{
			name: "the largest id",
			got:  protocol.AppendDataFrom(nil, math.MaxInt32, []byte(`null`)),
			want: `{"id":2147483647,"data":null}`,
		},
		{
			name: "unavailable is a string",
			got:  protocol.AppendUnavailable(nil, 7),
			want: `{"id":7,"unavailable":"true"}`,
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, string(tt.got))
			require.True(t, json.Valid(tt.got))
		})
	}
}

func TestAppendKeepsWhatIsThere(t *testing.T) {
	dst := []byte("a")
	dst = protocol.AppendKeyAnswer(dst, true)
	dst = protocol.AppendData(dst, []byte("1"))
	dst = protocol.AppendDataFrom(dst, 2, []byte("3"))
	dst = protocol.AppendUnavailable(dst, 4)
	require.Equal(t,
		`a{"isKeyOk":true}{"data":1}{"id":2,"data":3}{"id":4,"unavailable":"true"}`,
		string(dst))
}
