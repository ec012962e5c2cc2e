package relay

import (
	"encoding/json"
	"strconv"
	"sync"
)

// buffer is what one message needs while it is handled. A member that the
// message does not have is empty.
type buffer struct {
	Open json.RawMessage `json:"open"`
	Key  json.RawMessage `json:"key"`
	Join json.RawMessage `json:"join"`
	ID   json.Number     `json:"id"` // takes a number or its string
	Data json.RawMessage `json:"data"`

	out []byte
}

var buffers = sync.Pool{New: func() any { return new(buffer) }}

func (b *buffer) parse(text []byte) error {
	b.Open, b.Key, b.Join = b.Open[:0], b.Key[:0], b.Join[:0]
	b.ID, b.Data = "", b.Data[:0]
	return json.Unmarshal(text, b)
}

// The slices that these return are valid until the next one is asked for.

func (b *buffer) fromJoining(id int32) []byte {
	b.out = append(b.out[:0], `{"id":`...)
	b.out = strconv.AppendInt(b.out, int64(id), 10)
	b.out = append(b.out, `,"data":`...)
	b.out = append(b.out, b.Data...)
	b.out = append(b.out, '}')
	return b.out
}

func (b *buffer) fromOpener() []byte {
	b.out = append(b.out[:0], `{"data":`...)
	b.out = append(b.out, b.Data...)
	b.out = append(b.out, '}')
	return b.out
}

func (b *buffer) unavailable(id int32) []byte {
	b.out = append(b.out[:0], `{"id":`...)
	b.out = strconv.AppendInt(b.out, int64(id), 10)
	b.out = append(b.out, `,"unavailable":"true"}`...)
	return b.out
}
