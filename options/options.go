// Package options reads the command line and the environment into a
// configuration, and says what is wrong with them.
package options

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"sigver/admission"
	"sigver/certificate"
	"sigver/cluster"
	"sigver/memory"
	"sigver/server"
)

// ErrHelp and ErrVersion ask for an answer in place of a server.
var (
	ErrHelp    = errors.New("help was asked for")
	ErrVersion = errors.New("the version was asked for")
)

// envPrefix precedes the name of a flag, in capitals and with underscores, in
// the environment.
const envPrefix = "SIGVER_"

// Options is what a user can set. Parse fills it.
type Options struct {
	Config server.Config
	// Certificate names the files of TLS, all of them empty without it.
	Certificate certificate.Files
	// Check asks for the settings in place of a server.
	Check bool
	// MaxMemory is in bytes; 0: no limit.
	MaxMemory int64
	// Admin is the address of the operator's side; empty: none.
	Admin string
	// Cluster is how to reach the engine of a cluster; without a URL there is none.
	Cluster cluster.Config

	flags       *pflag.FlagSet
	config      string
	origins     []string
	proxies     []string
	logLevel    string
	logFormat   string
	clusterDown string
	secure      bool
}

// Parse reads the arguments, without the program's name, and for flags that are
// not among them the environment. Errors name the flag, its value and what is
// allowed.
func Parse(args []string, lookupEnv func(string) (string, bool)) (*Options, error) {
	o := new(Options)
	o.define()
	help := o.flags.Bool("help", false, "print this help and exit")
	version := o.flags.BoolP("version", "v", false, "print the version and exit")

	if err := o.flags.Parse(hostOrHelp(args)); err != nil {
		return o, err
	}
	switch {
	case *help:
		return o, ErrHelp
	case *version:
		return o, ErrVersion
	case o.flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q: sigver takes flags only", o.flags.Arg(0))
	}
	if err := o.readEnv(lookupEnv); err != nil {
		return o, err
	}
	if o.config != "" {
		if err := o.readFile(o.config); err != nil {
			return o, err
		}
	}
	if err := o.checkTLS(); err != nil {
		return o, err
	}
	if o.Admin != "" {
		_, port, err := net.SplitHostPort(o.Admin)
		if err == nil {
			_, err = strconv.ParseUint(port, 10, 16)
		}
		if err != nil {
			return o, fmt.Errorf("--admin: %q is no address: must be a host and a port from 0 to 65535, as 127.0.0.1:9000", o.Admin)
		}
	}
	o.Config.OpenAnyway = o.clusterDown == "local"
	if err := o.Cluster.Check(); err != nil {
		return o, err
	}
	return o, o.checkAdmission()
}

// checkAdmission reads the flags that name origins and networks.
func (o *Options) checkAdmission() (err error) {
	if o.Config.Origins, err = admission.ParseOrigins(o.origins); err != nil {
		return fmt.Errorf("--origin: %w", err)
	}
	for _, text := range o.proxies {
		network, err := parseNetwork(strings.TrimSpace(text))
		if err != nil {
			return fmt.Errorf("--trusted-proxy: %q is no network: must be like 10.0.0.0/8 or 192.0.2.1", text)
		}
		o.Config.Proxies = append(o.Config.Proxies, network)
	}
	if o.Config.ProxyProtocol && len(o.Config.Proxies) == 0 {
		return errors.New("--proxy-protocol without --trusted-proxy: it must be known whose word counts")
	}
	return nil
}

// parseNetwork reads a network, or one address. IPv4 networks may be written as part of
// IPv6 (RFC 4291 §2.5.5.2); clients' addresses are not.
func parseNetwork(text string) (netip.Prefix, error) {
	if addr, err := netip.ParseAddr(text); err == nil {
		return addr.Unmap().Prefix(addr.Unmap().BitLen())
	}
	network, err := netip.ParsePrefix(text)
	if err == nil && network.Addr().Is4In6() {
		return network.Addr().Unmap().Prefix(network.Bits() - 96) // an error if it is wider
	}
	return network.Masked(), err
}

// define names every flag, its default and what it may be.
func (o *Options) define() {
	f := pflag.NewFlagSet("sigver", pflag.ContinueOnError)
	f.SortFlags = false
	f.SetOutput(io.Discard) // errors are returned, and printed once
	c := &o.Config

	f.StringVarP(&c.Host, "host", "h", "0.0.0.0", "address to listen on, IPv4, IPv6 or a name")
	f.VarP(number(&c.Port, 8000, 0, 65535), "port", "p", "port to listen on; 0 lets the system pick one")
	f.BoolVarP(&o.secure, "secure", "s", false, "serve wss:// and https://; --key and --cert mean it too")
	f.StringVarP(&o.Certificate.Key, "key", "k", "", "PEM file with the private key of the certificate")
	f.StringVarP(&o.Certificate.Cert, "cert", "c", "", "PEM file with the certificate of the server")
	f.StringVarP(&o.Certificate.CA, "ca", "a", "", "PEM file with intermediate certificates")

	f.Var(number(&c.Loops, runtime.GOMAXPROCS(0), 1, 1024), "loops", "event loops")
	f.Var(number(&c.MaxConnections, 0, 0, 1<<30), "max-connections", "clients at once; 0: what the open-file limit allows")
	f.Var(sizeOrOff(&o.MaxMemory, most(memory.Available()), 16<<20), "max-memory", "resident memory over which nobody new is let in, nor with less than a tenth of all left; 0: no limit")
	f.Var(size(&c.MaxMessage, 64<<10, 128, 64<<20), "max-message", "largest message")
	f.Var(size(&c.MaxBuffer, 1<<20, 1<<10, 1<<30), "max-buffer", "unsent bytes after which a client that does not read is closed")
	f.Var(number(&c.MaxJoinings, 1024, 0, 1<<30), "max-joinings", "Joinings of one Opener at once; 0: no limit")
	f.Var(duration(&c.HandshakeTimeout, 10*time.Second, time.Second, time.Hour), "handshake-timeout", "time for the HTTP header of a new client")
	f.Var(duration(&c.IdleTimeout, 30*time.Second, time.Second, 24*time.Hour), "idle-timeout", "time for a new client to open or join")
	f.Var(durationOrOff(&c.Heartbeat, 30*time.Second, time.Second, 24*time.Hour), "heartbeat", "silence after which a client is pinged; closed after two more; 0: never")
	f.Var(real(&c.Rate, 100, 0, 1e6), "rate", "frames per second and client, pings too; 0: no limit")
	f.Var(real(&c.Burst, 500, 1, 1e6), "burst", "frames that a client may send at once")
	f.StringSliceVar(&o.origins, "origin", nil, "origin whose pages may use the server, as https://example.org or https://*.example.org; repeatable; none: all")
	f.Var(number(&c.PerAddress.Connections, 0, 0, 1<<30), "max-per-ip", "connections of one address (IPv6: /64) at once; 0: no limit")
	f.Var(real(&c.PerAddress.Rate, 0, 0, 1e6), "accept-rate", "new connections per second and address, ten seconds' worth at once; 0: no limit")
	f.Var(real(&c.PerAddress.Guesses, 60, 0, 1e6), "max-guesses", "joins of unknown keys per minute and address; 0: no limit")
	f.StringSliceVar(&o.proxies, "trusted-proxy", nil, "network of proxies whose X-Forwarded-For or Forwarded is believed, as 10.0.0.0/8; repeatable")
	f.BoolVar(&c.ProxyProtocol, "proxy-protocol", false, "connections of trusted proxies begin with a header of the PROXY protocol, version 1 or 2")
	f.BoolVar(&c.SharePort, "share-port", false, "listen beside a server that listens on the same address, to take over from it")
	f.Var(durationOrOff(&c.Drain, 10*time.Second, 100*time.Millisecond, time.Hour), "drain", "time over which clients are sent away when the server stops; 0: at once")
	f.StringVar(&o.Admin, "admin", "", "address for metrics, health, status and profiles, as 127.0.0.1:9000; empty: none")
	f.StringVar(&o.Cluster.URL, "cluster", "", "Redis or Valkey through which servers share their keys, as redis://HOST:6379; empty: none")
	f.StringVar(&o.Cluster.Password, "cluster-password", "", "password of --cluster, better in the environment: SIGVER_CLUSTER_PASSWORD")
	f.StringVar(&o.Cluster.Secret, "cluster-secret", "", "hides keys from whoever sees what --cluster keeps; the same at all servers")
	f.Var(oneOf(&o.clusterDown, "refuse", "refuse", "local"), "cluster-down", "what becomes of keys that are opened while --cluster does not answer: they are refused, or local for the time")
	f.BoolVar(&c.NoDemo, "no-demo", false, "do not serve the demo page")
	f.StringVar(&o.config, "config", "", "TOML file with settings by the names of these flags")
	f.BoolVar(&o.Check, "check", false, "print the settings that all of this comes to, and exit")
	f.Var(oneOf(&o.logLevel, "info", "debug", "info", "warn", "error"), "log-level", "least level that is logged")
	f.Var(oneOf(&o.logFormat, "text", "text", "json"), "log-format", "form of the log")
	f.BoolVar(&c.LogAddresses, "log-addresses", false, "log whole addresses of clients, not just their /24 or /64")
	o.flags = f
}

// most of available: the kernel needs memory for the same clients, a few kilobytes
// each, which it does not count as the process's.
func most(available int64) int64 { return available / 10 * 7 >> 20 << 20 }

// hostOrHelp gives -h its two meanings: with a value it is the host, as the
// program of this name always had it, and without one it asks for help.
func hostOrHelp(args []string) []string {
	for i, arg := range args {
		if arg == "--" {
			break
		}
		if arg == "-h" && (i+1 == len(args) || strings.HasPrefix(args[i+1], "-")) {
			return []string{"--help"}
		}
	}
	return args
}

// readEnv sets the flags that the command line did not.
func (o *Options) readEnv(lookup func(string) (string, bool)) error {
	var err error
	o.flags.VisitAll(func(f *pflag.Flag) {
		if err != nil || f.Changed || f.Name == "help" || f.Name == "version" || f.Name == "check" {
			return
		}
		name := envPrefix + strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_"))
		value, found := lookup(name)
		if !found || value == "" {
			return
		}
		if e := f.Value.Set(value); e != nil {
			err = fmt.Errorf("invalid value %q of %s: %w", value, name, e)
		}
		f.Changed = true // and so not for a file to set
	})
	return err
}

// checkTLS refuses a half of what TLS needs: what was meant to be secret must not
// be served in plain text.
func (o *Options) checkTLS() error {
	f := o.Certificate
	switch {
	case f.Key != "" && f.Cert != "":
		return nil
	case f.Key != "":
		return errors.New("--key without --cert: TLS needs the certificate that belongs to the private key")
	case f.Cert != "":
		return errors.New("--cert without --key: TLS needs the private key that belongs to the certificate")
	case f.CA != "":
		return errors.New("--ca without --key and --cert: intermediate certificates need one that they vouch for")
	case o.secure:
		return errors.New("--secure without --key and --cert: TLS needs a private key and its certificate")
	}
	return nil
}

// Logger returns the log that the options describe, written to w.
func (o *Options) Logger(w io.Writer) *slog.Logger {
	var level slog.Level
	// The flag allows only names that slog knows.
	_ = level.UnmarshalText([]byte(o.logLevel))
	opts := &slog.HandlerOptions{Level: level}
	if o.logFormat == "json" {
		return slog.New(slog.NewJSONHandler(w, opts))
	}
	return slog.New(slog.NewTextHandler(w, opts))
}

// Usage is the text of --help.
func (o *Options) Usage() string {
	return `sigver lets two WebRTC peers find each other over WebSocket or Server-Sent Events.

Usage:
  sigver [flags]

Flags:
` + o.flags.FlagUsages() + `
Every flag can be set in the environment too (--max-message as
` + envPrefix + `MAX_MESSAGE) and in a file (--config FILE, max-message = "64KiB"). A flag
wins over the environment, and that over the file. -h without an address prints this help.

Examples:
  sigver                          # ws://0.0.0.0:8000
  sigver -h 192.168.0.1 -p 9000   # ws://192.168.0.1:9000
  sigver -k key.pem -c cert.pem   # wss://0.0.0.0:8000
  sigver -h :: -p 0               # every address, IPv6 too, a port of the system's choice
`
}
