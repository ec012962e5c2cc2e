package protocol

import (
	"bytes"
	"encoding/json"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"
)

// maxText is the most code points that a key or a token may have.
const maxText = 512

// textErrors are the errors of a key, and others of a token.
type textErrors struct {
	notString, half, empty, long *Error
}

var (
	keyErrors = textErrors{
		notString: &Error{KeyError, "the key is not a string"},
		half:      &Error{KeyError, "the key has half of a surrogate pair"},
		empty:     &Error{KeyError, "the key is empty"},
		long:      &Error{KeyError, "the key is longer than 512 characters"},
	}
	tokenErrors = textErrors{
		notString: &Error{MessageError, "the token is not a string"},
		half:      &Error{MessageError, "the token has half of a surrogate pair"},
		empty:     &Error{MessageError, "the token is empty"},
		long:      &Error{MessageError, "the token is longer than 512 characters"},
	}
)

// readText returns the characters of raw, a valid JSON value that should be a
// key or a token. The result may alias raw.
func readText(raw []byte, errs *textErrors) ([]byte, error) {
	if !isString(raw) {
		return nil, errs.notString
	}
	text, ok := decodeString(raw)
	switch {
	case !ok:
		return nil, errs.half
	case len(text) == 0:
		return nil, errs.empty
	case len(text) > maxText && utf8.RuneCount(text) > maxText:
		return nil, errs.long
	}
	return text, nil
}

// isString reports whether raw, a valid JSON value, is a string.
func isString(raw []byte) bool { return raw[0] == '"' }

// decodeString returns the characters of raw, a valid JSON string with its
// quotes. The result aliases raw when there is nothing to decode. It is not ok
// for an escaped surrogate without its other half, which is no character: every
// decoder replaces it by something, and then different strings become one.
func decodeString(raw []byte) (decoded []byte, ok bool) {
	inner := raw[1 : len(raw)-1]
	if bytes.IndexByte(inner, '\\') < 0 {
		return inner, true
	}
	if !surrogatesPaired(inner) {
		return nil, false
	}
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return nil, false
	}
	return []byte(s), true
}

// surrogatesPaired reports whether all escaped surrogates in s, the inside of a
// valid JSON string, are pairs of a high and a low one (RFC 8259 §7).
func surrogatesPaired(s []byte) bool {
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			continue
		}
		r, ok := escapedUnit(s[i:])
		if !ok {
			i++ // a two-byte escape; its second byte may be a backslash
			continue
		}
		i += len(`u0000`)
		if !utf16.IsSurrogate(r) {
			continue
		}
		low, ok := escapedUnit(s[i+1:])
		if !ok || utf16.DecodeRune(r, low) == utf8.RuneError {
			return false
		}
		i += len(`\u0000`)
	}
	return true
}

// escapedUnit returns the UTF-16 code unit that s begins with as \uXXXX, if it
// does.
func escapedUnit(s []byte) (rune, bool) {
	if !bytes.HasPrefix(s, []byte(`\u`)) {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(s[2:6]), 16, 16)
	return rune(unit), err == nil
}
