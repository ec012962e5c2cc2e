package protocol_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"sigver/protocol"
)

func TestCloseCodes(t *testing.T) {
	tests := []struct {
		code   protocol.CloseCode
		number uint16
		name   string
	}{
		{protocol.NormalClosure, 1000, "NORMAL"},
		{protocol.GoingAway, 1001, "GOING_AWAY"},
		{protocol.ProtocolError, 1002, "PROTOCOL_ERROR"},
		{protocol.UnsupportedData, 1003, "UNSUPPORTED_DATA"},
		{protocol.InvalidPayload, 1007, "INVALID_PAYLOAD"},
		{protocol.SlowConsumer, 1008, "SLOW_CONSUMER"},
		{protocol.MessageTooBig, 1009, "MESSAGE_TOO_BIG"},
		{protocol.TryAgainLater, 1013, "TRY_AGAIN_LATER"},
		{protocol.MessageError, 4000, "MESSAGE_ERROR"},
		{protocol.KeyError, 4001, "KEY_ERROR"},
		{protocol.HeartbeatTimeout, 4002, "HEARTBEAT_TIMEOUT"},
		{protocol.Idle, 4003, "IDLE"},
		{protocol.KeyExists, 4010, "KEY_EXISTS"},
		{protocol.KeyUnknown, 4011, "KEY_UNKNOWN"},
		{protocol.KeyTakenOver, 4012, "KEY_TAKEN_OVER"},
		{protocol.AlreadyBound, 4013, "ALREADY_BOUND"},
		{protocol.TooManyJoinings, 4014, "TOO_MANY_JOININGS"},
		{protocol.OpenerNoLongerAvailable, 4020, "OPENER_NO_LONGER_AVAILABLE"},
		{protocol.TransmitBeforeOpen, 4022, "TRANSMIT_BEFORE_OPEN"},
		{protocol.TransmitBeforeJoin, 4023, "TRANSMIT_BEFORE_JOIN"},
		{protocol.RateLimited, 4029, "RATE_LIMITED"},
		{protocol.CloseCode(3001), 3001, "CODE_3001"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.number, uint16(tt.code))
			require.Equal(t, tt.name, tt.code.String())
		})
	}
}

func TestAppendReason(t *testing.T) {
	const name = "IDLE: "
	room := protocol.MaxReason - len(name)
	tests := []struct {
		name   string
		detail string
		want   string
	}{
		{
			name:   "name and detail",
			detail: "neither opened nor joined",
			want:   name + "neither opened nor joined",
		},
		{
			name:   "no detail",
			detail: "",
			want:   "IDLE",
		},
		{
			name:   "as long as fits",
			detail: strings.Repeat("a", room),
			want:   name + strings.Repeat("a", room),
		},
		{
			name:   "one byte too long",
			detail: strings.Repeat("a", room+1),
			want:   name + strings.Repeat("a", room),
		},
		{
			name:   "a rune that would be cut is left out",
			detail: strings.Repeat("a", room-2) + "€b",
			want:   name + strings.Repeat("a", room-2),
		},
		{
			name:   "a rune that just fits stays",
			detail: strings.Repeat("a", room-3) + "€b",
			want:   name + strings.Repeat("a", room-3) + "€",
		},
		{
			name:   "invalid UTF-8 is replaced",
			detail: "a\xffb\xe2\x82",
			want:   name + "a\ufffdb\ufffd\ufffd",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dst := protocol.AppendReason([]byte("before "), protocol.Idle, tt.detail)
			require.Equal(t, "before "+tt.want, string(dst))
		})
	}
}

func TestErrorText(t *testing.T) {
	err := &protocol.Error{Code: protocol.KeyExists, Detail: "the key is taken"}
	require.EqualError(t, err, "KEY_EXISTS: the key is taken")
}

func FuzzAppendReason(f *testing.F) {
	f.Add(uint16(4010), "the key is taken")
	f.Add(uint16(0), "")
	f.Add(uint16(4020), strings.Repeat("é", 100))
	f.Add(uint16(65535), strings.Repeat("\xf0\x9f", 100))
	f.Fuzz(func(t *testing.T, code uint16, detail string) {
		c := protocol.CloseCode(code)
		reason := string(protocol.AppendReason(nil, c, detail))
		require.LessOrEqual(t, len(reason), protocol.MaxReason)
		require.True(t, utf8.ValidString(reason))
		require.True(t, strings.HasPrefix(reason, c.String()))

		// Nothing is cut that would have fitted.
		if whole := c.String() + ": " + detail; utf8.ValidString(detail) && detail != "" {
			require.True(t, strings.HasPrefix(whole, reason))
			if len(whole) > protocol.MaxReason {
				require.Greater(t, len(reason), protocol.MaxReason-utf8.UTFMax)
			} else {
				require.Equal(t, whole, reason)
			}
		}
	})
}
