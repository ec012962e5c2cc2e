package e2e

import (
	"bufio"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const terminate = syscall.SIGTERM

// authority signs the certificates of all tests.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

var theAuthority = sync.OnceValue(func() *authority {
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	return sign(template, nil)
})

// sign makes a certificate of template, signed by ca, or by itself if that is nil.
func sign(template *x509.Certificate, ca *authority) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	parent, parentKey := template, key
	if ca != nil {
		parent, parentKey = ca.cert, ca.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		panic(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		panic(err)
	}
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// server makes a certificate for the loopback.
func (ca *authority) server(serial int64, until time.Time) *authority {
	return sign(&x509.Certificate{
		SerialNumber: big.NewInt(serial),
		IPAddresses:  []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore:    time.Now().Add(-2 * time.Hour), NotAfter: until,
	}, ca)
}

// write puts the certificate and its key into dir.
func (ca *authority) write(t testing.TB, dir string) (keyFile, certFile string) {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(ca.key)
	require.NoError(t, err)
	keyFile, certFile = filepath.Join(dir, "key.pem"), filepath.Join(dir, "cert.pem")
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600))
	require.NoError(t, os.WriteFile(certFile, ca.pem, 0o600))
	return keyFile, certFile
}

// startTLS is start with a certificate that httpClient trusts.
func startTLS(t testing.TB, args ...string) *instance {
	t.Helper()
	key, cert := theAuthority().server(2, time.Now().Add(time.Hour)).write(t, t.TempDir())
	return start(t, append([]string{"-s", "-k", key, "-c", cert}, args...)...)
}

func trusted() *tls.Config {
	roots := x509.NewCertPool()
	roots.AddCert(theAuthority().cert)
	return &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
}

func httpClient(t testing.TB) *http.Client {
	transport := &http.Transport{
		TLSClientConfig:       trusted(),
		TLSHandshakeTimeout:   patience,
		ResponseHeaderTimeout: patience,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// httpURL is the server's address as a browser visits it.
func (s *instance) httpURL() string {
	return strings.Replace(s.url, "ws", "http", 1) + "/"
}

// tryTLS is tls.Dial with a time limit.
func tryTLS(s *instance, config *tls.Config) (*tls.Conn, error) {
	return tls.DialWithDialer(&net.Dialer{Timeout: patience}, "tcp", s.addr, config)
}

func dialTLS(t testing.TB, s *instance, config *tls.Config) *tls.Conn {
	t.Helper()
	c, err := tryTLS(s, config)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
	return c
}

func TestTLSVersionsProtocolsAndResumption(t *testing.T) {
	s := startTLS(t)
	require.True(t, strings.HasPrefix(s.url, "wss://"))
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			config := trusted()
			config.MinVersion, config.MaxVersion = version, version
			config.NextProtos = []string{"h2", "http/1.1"}
			config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
			for round := range 2 {
				c := dialTLS(t, s, config)
				require.Equal(t, "http/1.1", c.ConnectionState().NegotiatedProtocol)
				require.Equal(t, round == 1, c.ConnectionState().DidResume)
				// The ticket of TLS 1.3 comes with the first answer.
				_, err := io.WriteString(c, "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
				require.NoError(t, err)
				answer, err := io.ReadAll(c)
				require.NoError(t, err)
				require.Contains(t, string(answer), "200 OK")
			}
		})
	}
	old := trusted()
	old.MinVersion, old.MaxVersion = tls.VersionTLS10, tls.VersionTLS11
	_, err := tryTLS(s, old)
	require.ErrorContains(t, err, "protocol version")
	exchange(t, s, "after all that")
}

func TestPlainTextToAServerOfTLS(t *testing.T) {
	s := startTLS(t)
	r := dialRaw(t, s)
	r.write("GET / HTTP/1.1\r\nHost: h\r\n\r\n")
	resp, err := http.ReadResponse(bufio.NewReader(r.conn), nil)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusBadRequest, resp.StatusCode)
	require.Contains(t, string(body), "https://")
}

// An intermediate certificate that only -a names is sent along.
func TestIntermediateCertificates(t *testing.T) {
	intermediate := sign(&x509.Certificate{
		SerialNumber: big.NewInt(7), IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}, theAuthority())
	dir := t.TempDir()
	key, cert := intermediate.server(8, time.Now().Add(time.Hour)).write(t, dir)
	ca := filepath.Join(dir, "ca.pem")
	require.NoError(t, os.WriteFile(ca, intermediate.pem, 0o600))

	s := start(t, "-k", key, "-c", cert)
	_, err := tryTLS(s, trusted())
	require.ErrorContains(t, err, "unknown authority", "nobody can know who signed it")
	s = start(t, "-k", key, "-c", cert, "-a", ca)
	require.Len(t, dialTLS(t, s, trusted()).ConnectionState().PeerCertificates, 2)
}

func TestReloadingTheCertificate(t *testing.T) {
	dir := t.TempDir()
	key, cert := theAuthority().server(10, time.Now().Add(time.Hour)).write(t, dir)
	s := start(t, "-k", key, "-c", cert)
	served := func() int64 {
		c := dialTLS(t, s, trusted())
		defer c.Close()
		return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
	}
	require.EqualValues(t, 10, served())
	stays, other := dial(t, s), openStream(t, s)
	stays.open("stays")
	other.send(`{"join":"stays"}`)
	require.JSONEq(t, `{"isKeyOk":true}`, other.receive())

	theAuthority().server(11, time.Now().Add(time.Hour)).write(t, dir)
	s.signal(syscall.SIGHUP)
	eventually(t, func() bool { return served() == 11 }, "the new certificate is not used")

	require.NoError(t, os.WriteFile(cert, []byte("half a certif"), 0o600))
	s.signal(syscall.SIGHUP)
	eventually(t, func() bool { return strings.Contains(s.logged(), "cert.pem: no certificate in it") }, "a bad file is not complained of")
	require.EqualValues(t, 11, served())

	other.send(`{"data":"still here"}`)
	stays.wantData(`"still here"`)
	s.stop()
}

func TestAHangUpWithoutACertificateIsNoEnd(t *testing.T) {
	s := start(t)
	stays := dial(t, s)
	stays.open("stays")
	s.signal(syscall.SIGHUP)
	eventually(t, func() bool { return strings.Contains(s.logged(), "no certificate to read again") }, "nothing is said")
	other := dial(t, s)
	other.join("stays")
	s.stop()
}

func TestAnExpiredCertificateIsWarnedOf(t *testing.T) {
	key, cert := theAuthority().server(20, time.Now().Add(-time.Minute)).write(t, t.TempDir())
	s := start(t, "-k", key, "-c", cert)
	require.Contains(t, s.logged(), "level=WARN")
	require.Contains(t, s.logged(), "expired")
	_, err := tryTLS(s, trusted())
	require.ErrorContains(t, err, "expired")
}

// Clients that begin a handshake and stop, wherever, delay no others, and are
// gone when their time is over.
func TestHalfHandshakes(t *testing.T) {
	s := startTLS(t, "--handshake-timeout", "3s")
	exchange(t, s, "before")
	files := s.files() + 2
	var recorded []byte
	near, far := net.Pipe()
	require.NoError(t, near.SetDeadline(time.Now().Add(patience)))
	go func() { _ = tls.Client(near, trusted()).Handshake() }()
	buf := make([]byte, 16<<10)
	n, err := far.Read(buf)
	require.NoError(t, err)
	recorded = buf[:n]
	require.NoError(t, near.Close())

	for i := range 900 {
		r := dialRaw(t, s)
		r.write(string(recorded[:len(recorded)*(i%4)/3]))
	}
	begun := time.Now()
	exchange(t, s, "in between")
	require.Less(t, time.Since(begun), patience/2)
	eventually(t, func() bool { return s.files() <= files }, "half handshakes are left over")
	s.stop()
}
