// Package web is what a browser gets from sigver besides messages: the client
// library and the page that shows it at work. All of it is part of the binary.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed sigver.js sigver.d.ts page
var files embed.FS

// The page needs nothing from elsewhere, and is in nobody's frame. A WebSocket to
// the server it came from is 'self' too (Content Security Policy Level 3 §6.7.2.8).
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// Library adds the client library to mux: /sigver.js and /sigver.d.ts.
func Library(mux *http.ServeMux) {
	mux.Handle("GET /sigver.js", file("sigver.js"))
	mux.Handle("GET /sigver.d.ts", file("sigver.d.ts"))
}

// PageFiles adds to mux what the page consists of, other than itself: /page/.
func PageFiles(mux *http.ServeMux) {
	err := fs.WalkDir(files, "page", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() && name != index {
			mux.Handle("GET /"+name, file(name))
		}
		return err
	})
	if err != nil {
		panic(err) // of files that are part of the binary
	}
}

const index = "page/index.html"

// Page serves the page itself.
func Page() http.Handler { return file(index) }

// file serves one file of the binary. Browsers keep it, and ask each time
// whether it is still the same: a newer server has newer files under the same
// names.
func file(name string) http.Handler {
	content, err := files.ReadFile(name)
	if err != nil {
		panic(err) // not part of the binary: found by the first test that runs
	}
	hash := sha256.Sum256(content)
	tag := `"` + base64.RawURLEncoding.EncodeToString(hash[:12]) + `"`
	kind := contentType(name)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Type", kind)
		header.Set("Cache-Control", "no-cache")
		header.Set("ETag", tag)
		if strings.HasPrefix(kind, "text/html") {
			header.Set("Content-Security-Policy", pagePolicy)
			header.Set("Referrer-Policy", "no-referrer")
		}
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	})
}

// contentType is what the file is, whatever the machine's own tables say.
func contentType(name string) string {
	switch ext := path.Ext(name); ext {
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".ts":
		return "application/typescript; charset=utf-8"
	case ".html", ".css", ".svg":
		return mime.TypeByExtension(ext)
	}
	return "text/plain; charset=utf-8"
}
