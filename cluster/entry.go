package cluster

import (
	"encoding/binary"
	"encoding/hex"
	"strconv"

	"golang.org/x/crypto/blake2b"

	"sigver/router"
)

// What the engine keeps, all of it under names that begin with "sigver:".
//
//	sigver:k:HASH   owner of a key, an entry (below); no expiry
//	sigver:n:NODE   lease of a node; expires
//	sigver:nodes    set of all nodes that there were, until they are swept
//	sigver:memory   random; if it changes, the engine has forgotten. In a Redis
//	                Cluster there are many, sigver:memory:0 and so on
//	sigver:fence    there for a while then, from before the new one is; expires
//	sigver:secret   proves that all nodes have the same secret
//	sigver:sweep    who clears up after dead nodes; expires
//	sigver:i:NODE:LANE   channels: frames for a node
const (
	keyPrefix   = "sigver:k:"
	leasePrefix = "sigver:n:"
	nodesName   = "sigver:nodes"
	memoryName  = "sigver:memory"
	fenceName   = "sigver:fence"
	secretName  = "sigver:secret"
	sweepName   = "sigver:sweep"

	channelPrefix = "sigver:i:"
)

// An entry is the reference (8 bytes of node, 4 of slot, 4 of generation), the
// node's tenure (4), the time of the claim (6), all big-endian, and a hash of the
// token (16), if there is one. The scripts know these places. Redis keeps a value
// of at most 44 bytes in one piece with its header.
const (
	nodeLen  = 8
	refLen   = 16
	headLen  = refLen + 4 + 6
	hashLen  = 16
	entryLen = headLen + hashLen // at most
)

// hasher hides keys and tokens from whoever sees the engine and has no secret.
type hasher struct{ secret []byte }

func (h hasher) hash(domain string, text []byte) []byte {
	sum, err := blake2b.New(hashLen, h.secret)
	if err != nil {
		panic(err) // a secret of at most 64 bytes, which newHasher sees to
	}
	sum.Write([]byte(domain))
	sum.Write(text)
	return sum.Sum(nil)
}

func newHasher(secret string) hasher {
	key := blake2b.Sum256([]byte("sigver cluster " + secret))
	return hasher{key[:]}
}

func (h hasher) key(key []byte) string { return keyPrefix + string(h.hash("key:", key)) }

func (h hasher) entry(c *router.Claim) string {
	b := appendRef(make([]byte, 0, entryLen), c.Ref)
	b = binary.BigEndian.AppendUint32(b, c.Tenure)
	var time [8]byte
	binary.BigEndian.PutUint64(time[:], uint64(c.Time))
	b = append(b, time[2:]...)
	if len(c.Token) > 0 {
		b = append(b, h.hash("token:", c.Token)...)
	}
	return string(b)
}

func appendRef(b []byte, r router.Ref) []byte {
	b = binary.BigEndian.AppendUint64(b, r.Node)
	b = binary.BigEndian.AppendUint32(b, r.Slot)
	return binary.BigEndian.AppendUint32(b, r.Gen)
}

// refOf reads an entry. It is false for what is none.
func refOf(entry string) (r router.Ref, ok bool) {
	if len(entry) < headLen {
		return r, false
	}
	b := []byte(entry[:refLen])
	return router.Ref{
		Node: binary.BigEndian.Uint64(b),
		Slot: binary.BigEndian.Uint32(b[8:]),
		Gen:  binary.BigEndian.Uint32(b[12:]),
	}, true
}

func nodeBytes(node uint64) string { return string(binary.BigEndian.AppendUint64(nil, node)) }

func nodeName(node uint64) string { return hex.EncodeToString([]byte(nodeBytes(node))) }

func parseNode(name string) (uint64, error) { return strconv.ParseUint(name, 16, 64) }

func channel(node uint64, lane int) string {
	return channelPrefix + nodeName(node) + ":" + strconv.Itoa(lane)
}
