package router

import (
	"hash/maphash"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestTableIsAMap does the same at random to a table and to a Go map, over sizes
// at which the table grows, shrinks and wraps around its end.
func TestTableIsAMap(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for range 20 {
		table := table{seed: maphash.MakeSeed()}
		model := map[string]*opener{}
		keys := 1 + random.IntN(200)
		for range 2000 {
			key := strconv.Itoa(random.IntN(keys))
			hash := maphash.String(table.seed, key)
			require.Same(t, model[key], table.find(hash, []byte(key)))
			switch o := model[key]; {
			case o == nil:
				o = &opener{key: key}
				model[key] = o
				table.add(hash, o)
			case random.IntN(3) == 0:
				require.False(t, table.remove(hash, &opener{key: key}), "another record of the key")
			default:
				delete(model, key)
				require.True(t, table.remove(hash, o))
				require.False(t, table.remove(hash, o))
			}
			require.Equal(t, len(model), table.count)
		}
		for key, o := range model {
			require.Same(t, o, table.find(maphash.String(table.seed, key), []byte(key)))
		}
	}
}
