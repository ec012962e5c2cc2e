package protocol_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"github.com/tidwall/gjson"

	"sigver/protocol"
)

// rows are the grammar once more: the sorted names of the known members.
var rows = map[string]protocol.Kind{
	"open":       protocol.Open,
	"open token": protocol.Open,
	"key":        protocol.Open,
	"key token":  protocol.Open,
	"join":       protocol.Join,
	"data join":  protocol.Join,
	"data":       protocol.ToOpener,
	"data id":    protocol.ToJoining,
}

// member is a member of an object as encoding/json reads it.
type member struct {
	name  string
	value json.RawMessage
}

// knownMembers returns the known members of the object that text is, in the
// order of their names; not ok when text is another value.
func knownMembers(t *testing.T, text []byte) (known []member, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	first, err := dec.Token()
	require.NoError(t, err)
	if first != json.Delim('{') {
		return nil, false
	}
	for dec.More() {
		name, err := dec.Token()
		require.NoError(t, err)
		m := member{name: name.(string)}
		require.NoError(t, dec.Decode(&m.value))
		switch m.name {
		case "open", "key", "join", "token", "data", "id":
			known = append(known, m)
		}
	}
	slices.SortFunc(known, func(a, b member) int { return strings.Compare(a.name, b.name) })
	return known, true
}

func kindOf(known []member) protocol.Kind {
	var names []string
	for _, m := range known {
		names = append(names, m.name)
	}
	return rows[strings.Join(names, " ")]
}

func valueOf(known []member, names ...string) json.RawMessage {
	for _, m := range known {
		if slices.Contains(names, m.name) {
			return m.value
		}
	}
	return nil
}

// tokens returns the tokens of a JSON value, numbers with their digits.
func tokens(t *testing.T, text []byte) []json.Token {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var all []json.Token
	for {
		token, err := dec.Token()
		if err != nil {
			return all
		}
		all = append(all, token)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{
		`{"open":"k"}`,
		`{"key":"\u006b","token":"\ud83d\udd11"}`,
		`{"join":"k","data":{"a":[1,-0,1e999,{"a":"\ud800"}]}}`,
		`{"\u006fpen":"k","open":"\\ud800"}`,
		`{"data":"\u0000\/\"","x":[{}]}`,
		`{"id":2147483647,"data":null}`,
		` { "id" : "7" , "data" : [ ] } `,
		`{"data":NaN}`,
		`1e999`,
		`{"data":01}`,
		"{\"data\":\"\x00\xff\"}",
		`{"id":1,"data":` + nested(299, "") + `}`,
		`{"id":1,"data":` + nested(299, "1") + `}`,
		`{"data":` + candidate + `}`,
	} {
		f.Add([]byte(seed))
	}
	var p protocol.Parser // reused: what a message leaves behind must not show in the next
	f.Fuzz(func(t *testing.T, text []byte) {
		before := bytes.Clone(text)
		var m protocol.Message
		err := p.Parse(text, &m)
		require.Equal(t, before, text)

		// encoding/json stops at 10,000 levels, gjson does not.
		if len(text) < 10_000 {
			require.Equal(t, json.Valid(text), gjson.ValidBytes(text))
		}
		if err != nil {
			requireRightlyRefused(t, text, err)
			require.Zero(t, m)
			return
		}
		require.True(t, json.Valid(text))
		known, ok := knownMembers(t, text)
		require.True(t, ok)
		require.Equal(t, kindOf(known), m.Kind)
		require.NotZero(t, m.Kind)

		requireText(t, valueOf(known, "open", "key", "join"), m.Key)
		requireText(t, valueOf(known, "token"), m.Token)
		requireID(t, valueOf(known, "id"), m.ID)
		requireData(t, valueOf(known, "data"), m.ID, m.Data)
	})
}

// requireRightlyRefused requires that encoding/json and the table of rows find
// the fault that err names.
func requireRightlyRefused(t *testing.T, text []byte, err error) {
	var e *protocol.Error
	require.True(t, errors.As(err, &e))
	require.LessOrEqual(t, len(e.Code.String()+": "+e.Detail), protocol.MaxReason)

	switch {
	case !utf8.Valid(text):
		require.Contains(t, e.Detail, "UTF-8")
		return
	case strings.Contains(e.Detail, "300 levels"):
		require.GreaterOrEqual(t, bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")), 300)
		return
	case !json.Valid(text):
		require.Contains(t, e.Detail, "not valid JSON")
		return
	}
	known, ok := knownMembers(t, text)
	switch {
	case !ok:
		require.Contains(t, e.Detail, "not a JSON object")
	case kindOf(known) == 0:
		require.Equal(t, protocol.MessageError, e.Code)
	case e.Code == protocol.KeyError:
		requireBadText(t, valueOf(known, "open", "key", "join"))
	case strings.Contains(e.Detail, "token"):
		requireBadText(t, valueOf(known, "token"))
	default:
		require.Contains(t, e.Detail, "the id")
		raw := valueOf(known, "id")
		id := string(raw)
		_ = json.Unmarshal(raw, &id) // if it is a string
		n, err := strconv.ParseInt(id, 10, 32)
		require.True(t, err != nil || n <= 0 || strconv.FormatInt(n, 10) != id, id)
	}
}

// requireText requires that got is the string raw as encoding/json decodes it,
// or nil if there is none.
func requireText(t *testing.T, raw json.RawMessage, got []byte) {
	if raw == nil {
		require.Nil(t, got)
		return
	}
	var want string
	require.NoError(t, json.Unmarshal(raw, &want))
	require.Equal(t, want, string(got))
	require.NotEmpty(t, want)
	require.LessOrEqual(t, utf8.RuneCountInString(want), 512)
	require.False(t, hasHalfPair(t, raw), "%s", raw)
}

func requireBadText(t *testing.T, raw json.RawMessage) {
	var s string
	if raw[0] != '"' || json.Unmarshal(raw, &s) != nil {
		return
	}
	n := utf8.RuneCountInString(s)
	require.True(t, n == 0 || n > 512 || hasHalfPair(t, raw), "%s", raw)
}

// hasHalfPair reports whether decoding raw made replacement characters that it
// does not spell.
func hasHalfPair(t *testing.T, raw json.RawMessage) bool {
	var s string
	require.NoError(t, json.Unmarshal(raw, &s))
	spelled := bytes.Count(raw, []byte("\ufffd"))
	// Without escaped backslashes, what looks like an escape is one.
	lower := bytes.ToLower(bytes.ReplaceAll(raw, []byte(`\\`), nil))
	spelled += bytes.Count(lower, []byte(`\ufffd`))
	return strings.Count(s, "\ufffd") > spelled
}

func requireID(t *testing.T, raw json.RawMessage, got uint32) {
	if raw == nil {
		require.Zero(t, got)
		return
	}
	var id json.Number // also from a string
	require.NoError(t, json.Unmarshal(raw, &id))
	require.Equal(t, id.String(), strconv.FormatUint(uint64(got), 10))
	require.Positive(t, int32(got))
}

// requireData requires that got is raw without its white space, and that it is
// raw still in the messages that carry it.
func requireData(t *testing.T, raw json.RawMessage, id uint32, got []byte) {
	if raw == nil {
		require.Nil(t, got)
		return
	}
	var compact bytes.Buffer
	require.NoError(t, json.Compact(&compact, raw))
	require.Equal(t, compact.String(), string(got))

	toJoining := protocol.AppendData(nil, got)
	toOpener := protocol.AppendDataFrom(nil, id, got)
	for _, relayed := range [][]byte{toJoining, toOpener} {
		require.True(t, json.Valid(relayed))
		known, ok := knownMembers(t, relayed)
		require.True(t, ok)
		require.Equal(t, tokens(t, raw), tokens(t, valueOf(known, "data")))
	}
}
