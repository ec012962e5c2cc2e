package protocol

import "strconv"

// AppendKeyAnswer appends the answer to an open or a join, {"isKeyOk":true} or
// {"isKeyOk":false}, and returns the extended dst.
func AppendKeyAnswer(dst []byte, ok bool) []byte {
	dst = append(dst, `{"isKeyOk":`...)
	dst = strconv.AppendBool(dst, ok)
	return append(dst, '}')
}

// AppendData appends {"data":…}, an Opener's data on its way to a Joining, and
// returns the extended dst. data must be a JSON value, as in Message.Data.
func AppendData(dst, data []byte) []byte {
	dst = append(dst, `{"data":`...)
	dst = append(dst, data...)
	return append(dst, '}')
}

// AppendDataFrom appends {"id":7,"data":…}, the data of Joining id on its way to
// its Opener, and returns the extended dst. data must be a JSON value, as in
// Message.Data.
func AppendDataFrom(dst []byte, id uint32, data []byte) []byte {
	dst = appendID(dst, id)
	dst = append(dst, `,"data":`...)
	dst = append(dst, data...)
	return append(dst, '}')
}

// AppendUnavailable appends {"id":7,"unavailable":"true"}, which tells an Opener
// that it has no Joining id (any more), and returns the extended dst. The value
// is a string because clients have always been sent one.
func AppendUnavailable(dst []byte, id uint32) []byte {
	dst = appendID(dst, id)
	return append(dst, `,"unavailable":"true"}`...)
}

// appendID appends the beginning of an object whose first member is id.
func appendID(dst []byte, id uint32) []byte {
	dst = append(dst, `{"id":`...)
	return strconv.AppendUint(dst, uint64(id), 10)
}
