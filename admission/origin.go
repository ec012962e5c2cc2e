// Package admission decides who may come in: from which pages, how many from one
// address and how fast. It knows no sockets and no keys.
package admission

import (
	"fmt"
	"net/url"
	"strings"
)

// Origins are the origins (RFC 6454) whose pages may use the server. Its zero
// value allows all. It does not change once it is made.
type Origins struct {
	exact map[string]bool
	under []subdomains
}

// subdomains allows https://anything.example.org for https and .example.org.
type subdomains struct{ scheme, suffix string }

// ParseOrigins reads patterns: an origin, as https://example.org or
// http://localhost:3000, any subdomain of a host, as https://*.example.org, or
// "null". "*" among them, or no pattern at all, allows every origin.
func ParseOrigins(patterns []string) (Origins, error) {
	var o Origins
	for _, pattern := range patterns {
		pattern = strings.ToLower(strings.TrimSpace(pattern))
		if pattern == "*" {
			return Origins{}, nil
		}
		if o.exact == nil {
			o.exact = make(map[string]bool)
		}
		if pattern == "null" {
			o.exact[pattern] = true
			continue
		}
		scheme, host, found := strings.Cut(pattern, "://")
		base, wild := strings.CutPrefix(host, "*.")
		u, err := url.Parse(scheme + "://" + base)
		if !found || err != nil || u.Host == "" || u.Host != base || u.Hostname() == "" || strings.Contains(base, "*") {
			return Origins{}, fmt.Errorf("%q is no origin: must be like https://example.org, https://*.example.org or *", pattern)
		}
		if wild {
			o.under = append(o.under, subdomains{scheme + "://", "." + base})
		} else {
			o.exact[pattern] = true
		}
	}
	return o, nil
}

// Any reports whether every origin is allowed.
func (o *Origins) Any() bool { return o.exact == nil }

// Allows reports whether pages of origin, the value of the header field, may use
// the server. A client that is no page sends none, and cannot be told from one
// that lies: it is allowed.
func (o *Origins) Allows(origin string) bool {
	if o.Any() || origin == "" {
		return true
	}
	origin = strings.ToLower(origin)
	if o.exact[origin] {
		return true
	}
	for _, u := range o.under {
		name, found := strings.CutPrefix(origin, u.scheme)
		if name, ends := strings.CutSuffix(name, u.suffix); found && ends && name != "" && !strings.ContainsAny(name, "/:@") {
			return true
		}
	}
	return false
}
