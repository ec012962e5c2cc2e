// Package certificate reads the files that TLS needs, says what is wrong with
// them, and reads them again while the server runs.
package certificate

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"
)

// Files are paths of PEM files. CA may be empty.
type Files struct {
	Key  string // the private key
	Cert string // the server's certificate, perhaps with the chain after it
	CA   string // more of the chain: intermediate certificates
}

// Store holds the certificate that new connections get. Its methods may be
// called from any goroutine.
type Store struct {
	files   Files
	current atomic.Pointer[tls.Certificate]
}

// Load reads the files.
func Load(files Files) (*Store, error) {
	s := &Store{files: files}
	return s, s.Reload()
}

// Reload reads the files again. If it returns an error, the certificate stays
// what it was.
func (s *Store) Reload() error {
	c, err := s.files.read()
	if err != nil {
		return err
	}
	s.current.Store(c)
	return nil
}

// Config is the TLS that the server speaks, always with the latest certificate.
// Sessions can be resumed over a reload.
func (s *Store) Config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return s.current.Load(), nil
		},
	}
}

// Warning says why clients will not trust the certificate at the time now, or is
// empty.
func (s *Store) Warning(now time.Time) string {
	leaf := s.current.Load().Leaf
	switch {
	case now.After(leaf.NotAfter):
		return fmt.Sprintf("%s: the certificate expired on %s: clients will refuse it", s.files.Cert, leaf.NotAfter.Format(time.RFC3339))
	case now.Before(leaf.NotBefore):
		return fmt.Sprintf("%s: the certificate is not valid before %s: clients will refuse it", s.files.Cert, leaf.NotBefore.Format(time.RFC3339))
	}
	return ""
}

// Expires is when the certificate does.
func (s *Store) Expires() time.Time { return s.current.Load().Leaf.NotAfter }

func (f Files) read() (*tls.Certificate, error) {
	key, err := readPEM(f.Key, "private key", isKey)
	if err != nil {
		return nil, err
	}
	chain, err := readPEM(f.Cert, "certificate", isCertificate)
	if err != nil {
		return nil, err
	}
	if f.CA != "" {
		more, err := readPEM(f.CA, "certificate", isCertificate)
		if err != nil {
			return nil, err
		}
		chain = slices.Concat(chain, []byte{'\n'}, more)
	}
	c, err := tls.X509KeyPair(chain, key)
	if err != nil {
		return nil, fmt.Errorf("%s and %s: %w", f.Cert, f.Key, err)
	}
	return &c, nil
}

func isCertificate(kind string) bool { return kind == "CERTIFICATE" }

func isKey(kind string) bool {
	return slices.Contains([]string{"PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"}, kind)
}

var errEncrypted = errors.New("the private key is encrypted, and nobody is there to ask for the password: decrypt it (openssl pkey -in OLD -out NEW)")

// readPEM returns the contents of a file in which something wanted must be.
func readPEM(name, wanted string, isIt func(kind string) bool) ([]byte, error) {
	content, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	found := "nothing in PEM form"
	for rest := content; ; {
		var block *pem.Block
		block, rest = pem.Decode(rest)
		switch {
		case block == nil:
			return nil, fmt.Errorf("%s: no %s in it, but %s", name, wanted, found)
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["Proc-Type"] == "4,ENCRYPTED":
			return nil, fmt.Errorf("%s: %w", name, errEncrypted)
		case isIt(block.Type):
			return content, nil
		}
		found = "a " + block.Type
	}
}
