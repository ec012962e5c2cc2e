package certificate_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sigver/certificate"
)

// pair is a certificate and its key in PEM form.
type pair struct{ cert, key []byte }

func newPair(t *testing.T, serial int64, from, to time.Time) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: "sigver test"},
		DNSNames:     []string{"localhost"},
		NotBefore:    from,
		NotAfter:     to,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	return pair{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}
}

func write(t *testing.T, path string, content []byte) string {
	t.Helper()
	require.NoError(t, os.WriteFile(path, content, 0o600))
	return path
}

func TestWhatIsWrongIsNamed(t *testing.T) {
	now := time.Now()
	one := newPair(t, 1, now.Add(-time.Hour), now.Add(time.Hour))
	two := newPair(t, 2, now.Add(-time.Hour), now.Add(time.Hour))
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: []byte{1}})
	oldStyle := pem.EncodeToMemory(&pem.Block{
		Type: "RSA PRIVATE KEY", Bytes: []byte{1},
		Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"},
	})
	cases := []struct {
		name          string
		key, cert, ca []byte // nil: no such file; ca may also be left out
		withCA        bool
		says          []string
	}{
		{name: "no key file", cert: one.cert, says: []string{"key.pem", "no such file"}},
		{name: "no certificate file", key: one.key, says: []string{"cert.pem", "no such file"}},
		{name: "no CA file", key: one.key, cert: one.cert, withCA: true, says: []string{"ca.pem", "no such file"}},
		{name: "not PEM", key: []byte("key"), cert: one.cert, says: []string{"key.pem", "no private key", "nothing in PEM form"}},
		{name: "swapped", key: one.cert, cert: one.key, says: []string{"key.pem", "no private key", "a CERTIFICATE"}},
		{name: "no certificate in it", key: one.key, cert: one.key, says: []string{"cert.pem", "no certificate", "a PRIVATE KEY"}},
		{name: "no certificate in the CA", key: one.key, cert: one.cert, ca: one.key, withCA: true, says: []string{"ca.pem", "no certificate"}},
		{name: "encrypted", key: encrypted, cert: one.cert, says: []string{"key.pem", "encrypted", "openssl"}},
		{name: "encrypted, the old way", key: oldStyle, cert: one.cert, says: []string{"key.pem", "encrypted"}},
		{name: "of two pairs", key: one.key, cert: two.cert, says: []string{"cert.pem", "key.pem", "does not match"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			files := certificate.Files{Key: filepath.Join(dir, "key.pem"), Cert: filepath.Join(dir, "cert.pem")}
			if c.key != nil {
				write(t, files.Key, c.key)
			}
			if c.cert != nil {
				write(t, files.Cert, c.cert)
			}
			if c.withCA {
				files.CA = filepath.Join(dir, "ca.pem")
			}
			if c.ca != nil {
				write(t, files.CA, c.ca)
			}
			_, err := certificate.Load(files)
			require.Error(t, err)
			for _, text := range c.says {
				require.ErrorContains(t, err, text)
			}
		})
	}
}

func TestReloadKeepsWhatIsGood(t *testing.T) {
	now := time.Now()
	first := newPair(t, 1, now.Add(-time.Hour), now.Add(time.Hour))
	second := newPair(t, 2, now.Add(-2*time.Hour), now.Add(-time.Hour))
	future := newPair(t, 3, now.Add(time.Hour), now.Add(2*time.Hour))
	dir := t.TempDir()
	files := certificate.Files{
		Key:  write(t, filepath.Join(dir, "key.pem"), first.key),
		Cert: write(t, filepath.Join(dir, "cert.pem"), first.cert),
		CA:   write(t, filepath.Join(dir, "ca.pem"), second.cert),
	}
	store, err := certificate.Load(files)
	require.NoError(t, err)
	served := func() int64 {
		c, err := store.Config().GetCertificate(nil)
		require.NoError(t, err)
		require.Len(t, c.Certificate, 2, "the certificate and the intermediate")
		return c.Leaf.SerialNumber.Int64()
	}
	require.EqualValues(t, 1, served())
	require.Empty(t, store.Warning(now))
	require.WithinDuration(t, now.Add(time.Hour), store.Expires(), time.Second)

	write(t, files.Cert, second.cert)
	require.Error(t, store.Reload(), "only half of it is new")
	require.EqualValues(t, 1, served())

	write(t, files.Key, second.key)
	require.NoError(t, store.Reload())
	require.EqualValues(t, 2, served())
	require.Contains(t, store.Warning(now), "expired")

	write(t, files.Cert, future.cert)
	write(t, files.Key, future.key)
	require.NoError(t, store.Reload())
	require.Contains(t, store.Warning(now), "not valid before")
}
