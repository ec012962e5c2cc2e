package server

import (
	"mime"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// FuzzAccept reads any Accept field: what the standard library understands of
// it, it understands too.
func FuzzAccept(f *testing.F) {
	for _, field := range []string{
		"text/event-stream", "text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", "text/html;q=0", "TEXT/HTML ; Q = 0.5",
		";;,;q=,text/html;q=x", `text/html;a=",";q=0`, "text/html;q=1e999",
	} {
		f.Add(field)
	}
	f.Fuzz(func(t *testing.T, field string) {
		for _, want := range []string{"text/html", "text/event-stream"} {
			got := accepts(&http.Request{Header: http.Header{"Accept": {field}}}, want)
			if got {
				require.Contains(t, strings.ToLower(strings.ToValidUTF8(field, "")), want)
			}
			if strings.ContainsAny(field, `,"`) {
				continue
			}
			name, parameters, err := mime.ParseMediaType(field)
			if err == nil && name == want && parameters["q"] == "" {
				require.True(t, got)
			}
		}
	})
}

// FuzzToken reads any token: only what the server writes itself is one.
func FuzzToken(f *testing.F) {
	f.Add(tokenText.EncodeToString(make([]byte, 16)))
	f.Add(tokenTextFor(token{1}, 1<<63))
	f.Add("AAAAAAAAAAAAAAAAAAAAAB")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		if parsed, node, ok := parseToken(text); ok && node != 0 {
			require.Equal(t, text, tokenTextFor(parsed, node))
		} else if ok && len(text) == tokenText.EncodedLen(len(parsed)) {
			require.Equal(t, text, tokenTextFor(parsed, 0))
		}
	})
}
