package protocol

import (
	"strconv"

	"github.com/valyala/fastjson"
)

// What is wrong with a message that is a JSON object.
var (
	errNothingKnown = &Error{MessageError, "none of open, join and data is in the message"}
	errTwice        = &Error{MessageError, "a known member is named twice"}
	errOpenAndJoin  = &Error{MessageError, "more than one of open, key and join is in the message"}
	errOpenWith     = &Error{MessageError, "open goes with token only, not with data or id"}
	errJoinWith     = &Error{MessageError, "join goes with data only, not with token or id"}
	errTokenAlone   = &Error{MessageError, "a token goes with open only"}
	errIDAlone      = &Error{MessageError, "an id goes with data only, which is missing"}
	errID           = &Error{MessageError, "the id is not a whole number from 1 to 2147483647"}
)

// A Parser gives its memory back when it has parsed a message of more than
// maxMessageKept bytes, or maxTotalKept bytes of messages since it last did.
// fastjson keeps some 40 bytes for each byte of an array of digits, and the
// largest array seen at each place of a message: without the total, a client
// that sends 8,000 messages of 16 KiB, each with its array one place further on,
// would leave 300 MB behind.
const (
	maxMessageKept = 16 << 10
	maxTotalKept   = 256 << 10
)

// Parser reads client messages. The zero value is ready. It reuses its memory,
// so each event loop has one of its own; it is not for concurrent use.
type Parser struct {
	json   fastjson.Parser
	out    []byte // what the Message's slices point into
	parsed int    // bytes of text since the memory was last given back
}

// Parse reads text, one client message, into m. Whatever m held before is gone.
// text is neither kept nor changed.
//
// The error is always an *Error, with code KeyError for a key that is no string,
// empty, or too long, else MessageError; m is then zero. Text that encoding/json's
// Valid refuses is an error, and so is nesting of more than 300 levels, where
// the message and its innermost value count as one each.
//
// Parse allocates nothing for small messages whose key, token and id are spelled
// without escapes.
func (p *Parser) Parse(text []byte, m *Message) error {
	*m = Message{}
	p.parsed += len(text)
	err := p.parse(text, m)
	if err != nil {
		*m = Message{}
	}
	if len(text) > maxMessageKept || p.parsed > maxTotalKept {
		*p = Parser{} // m's slices keep their part of p.out alive
	}
	return err
}

func (p *Parser) parse(text []byte, m *Message) error {
	if err := checkJSON(text); err != nil {
		return err
	}
	value, err := p.json.ParseBytes(text)
	if err != nil {
		return errTooDeep // the only thing that fastjson refuses in valid JSON
	}
	object := value.GetObject()
	if object == nil {
		return errNotObject
	}
	p.out = p.out[:0]

	found, twice := findMembers(object)
	if twice {
		return errTwice
	}
	switch found.set {
	case hasOpen, hasOpen | hasToken:
		return p.open(m, found.open, found.token)
	case hasKey, hasKey | hasToken:
		return p.open(m, found.key, found.token)
	case hasJoin, hasJoin | hasData:
		return p.join(m, found.join, found.data)
	case hasData:
		m.Kind = ToOpener
		m.Data = p.raw(found.data)
		return nil
	case hasID | hasData:
		return p.toJoining(m, found.id, found.data)
	}
	return misfit(found.set)
}

// memberSet tells which of the known members a message has.
type memberSet uint8

const (
	hasOpen memberSet = 1 << iota
	hasKey
	hasJoin
	hasToken
	hasData
	hasID
)

// members are the known members of one message. Their values may be read by
// MarshalTo only: any other method of fastjson.Value rewrites strings in place,
// after which they are marshaled as something else, or as no JSON at all.
type members struct {
	set                              memberSet
	open, key, join, token, data, id *fastjson.Value
}

// findMembers collects the known members of o. twice reports that one of them is
// named more than once, in whatever spelling.
func findMembers(o *fastjson.Object) (found members, twice bool) {
	// Visit decodes the names of o, and of nothing inside it.
	o.Visit(func(name []byte, v *fastjson.Value) {
		var has memberSet
		switch string(name) {
		case "open":
			has, found.open = hasOpen, v
		case "key":
			has, found.key = hasKey, v
		case "join":
			has, found.join = hasJoin, v
		case "token":
			has, found.token = hasToken, v
		case "data":
			has, found.data = hasData, v
		case "id":
			has, found.id = hasID, v
		}
		if found.set&has != 0 {
			twice = true
		}
		found.set |= has
	})
	return found, twice
}

// misfit names what is wrong with a set of members that is no row of the grammar.
func misfit(set memberSet) error {
	switch binding := set & (hasOpen | hasKey | hasJoin); {
	case binding&(binding-1) != 0:
		return errOpenAndJoin
	case binding == hasJoin:
		return errJoinWith
	case binding != 0:
		return errOpenWith
	case set&hasToken != 0:
		return errTokenAlone
	case set&hasID != 0:
		return errIDAlone
	}
	return errNothingKnown
}

func (p *Parser) open(m *Message, key, token *fastjson.Value) error {
	m.Kind = Open
	var err error
	if m.Key, err = readText(p.raw(key), &keyErrors); err != nil || token == nil {
		return err
	}
	m.Token, err = readText(p.raw(token), &tokenErrors)
	return err
}

func (p *Parser) join(m *Message, key, data *fastjson.Value) error {
	m.Kind = Join
	var err error
	if m.Key, err = readText(p.raw(key), &keyErrors); err != nil || data == nil {
		return err
	}
	m.Data = p.raw(data)
	return nil
}

func (p *Parser) toJoining(m *Message, id, data *fastjson.Value) error {
	m.Kind = ToJoining
	var err error
	if m.ID, err = readID(p.raw(id)); err != nil {
		return err
	}
	m.Data = p.raw(data)
	return nil
}

// readID returns the id that raw spells, as a number or as the same in a string.
func readID(raw []byte) (uint32, error) {
	digits, ok := raw, true
	if isString(raw) {
		digits, ok = decodeString(raw)
	}
	// One spelling for each id: ParseUint would also take 07.
	if !ok || len(digits) == 0 || len(digits) > len("2147483647") || digits[0] == '0' {
		return 0, errID
	}
	id, err := strconv.ParseUint(string(digits), 10, 31)
	if err != nil {
		return 0, errID
	}
	return uint32(id), nil
}

// raw returns the value as compact JSON, each token as the client spelled it.
func (p *Parser) raw(v *fastjson.Value) []byte {
	start := len(p.out)
	p.out = v.MarshalTo(p.out)
	return p.out[start:len(p.out):len(p.out)]
}
