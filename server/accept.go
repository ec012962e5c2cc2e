package server

import (
	"net/http"
	"strconv"
	"strings"
)

// accepts reports whether the client names the media type itself, rather than
// all of a kind, and not with quality zero (RFC 9110 §12.5.1).
func accepts(r *http.Request, mediaType string) bool {
	for _, field := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(field, ",") {
			name, parameters, _ := strings.Cut(part, ";")
			if strings.EqualFold(strings.TrimSpace(name), mediaType) && quality(parameters) > 0 {
				return true
			}
		}
	}
	return false
}

func quality(parameters string) float64 {
	for parameter := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(parameter, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "q") {
			continue
		}
		q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
		if err == nil {
			return q
		}
	}
	return 1
}
