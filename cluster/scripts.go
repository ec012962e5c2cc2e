package cluster

import (
	"context"
	"crypto/sha1"
	"encoding/hex"

	"github.com/redis/rueidis"
)

// script is run by its hash, and sent in full where the engine does not know it.
// Each has one key, so that it runs in a Redis Cluster too.
type script struct{ text, sha string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(text)) // how the engine names scripts
	return script{text, hex.EncodeToString(sum[:])}
}

var (
	// claimScript: ARGV is the entry, an entry of a dead node that may be replaced
	// or "", and who yields. The answer is whether the key is ours, and the entry
	// that was there. An entry that a node has claimed again, alive after all, is
	// another. By time the earlier claim counts, but of one token's the later.
	claimScript = newScript(`
local there = redis.call('GET', KEYS[1])
local mine = ARGV[1]
if there and string.sub(there, 1, 16) ~= string.sub(mine, 1, 16) then
	local token = string.sub(mine, 27)
	local function time(entry)
		local sum = 0
		for i = 21, 26 do sum = sum * 256 + string.byte(entry, i) end
		return sum
	end
	local won = there == ARGV[2]
		or ARGV[3] == 'token' and token ~= '' and token == string.sub(there, 27)
	if ARGV[3] == 'time' and token ~= '' and token == string.sub(there, 27) then
		won = time(mine) > time(there)
	elseif ARGV[3] == 'time' then
		won = won or time(mine) < time(there)
	end
	if not won then
		return {0, there}
	end
end
redis.call('SET', KEYS[1], mine)
return {1, there or ''}`)

	// freeScript: ARGV is what the entry has to begin with to be removed.
	freeScript = newScript(`
local there = redis.call('GET', KEYS[1])
if there and string.sub(there, 1, #ARGV[1]) == ARGV[1] then
	return redis.call('DEL', KEYS[1])
end
return 0`)
)

func (s script) command(c rueidis.Client, key string, args ...string) rueidis.Completed {
	return c.B().Evalsha().Sha1(s.sha).Numkeys(1).Key(key).Arg(args...).Build()
}

func (s script) whole(c rueidis.Client, key string, args ...string) rueidis.Completed {
	return c.B().Eval().Script(s.text).Numkeys(1).Key(key).Arg(args...).Build()
}

// scripted is one run of a script.
type scripted struct {
	script script
	key    string
	args   []string
}

// runAll runs all of them in one go, and those again whose script was unknown.
func runAll(ctx context.Context, c rueidis.Client, runs []scripted, more ...rueidis.Completed) (answers, others []rueidis.RedisResult) {
	commands := make(rueidis.Commands, 0, len(runs)+len(more))
	for _, r := range runs {
		commands = append(commands, r.script.command(c, r.key, r.args...))
	}
	all := c.DoMulti(ctx, append(commands, more...)...)
	answers, others = all[:len(runs)], all[len(runs):]
	var again rueidis.Commands
	var where []int
	for i, r := range runs {
		if e, ok := rueidis.IsRedisErr(answers[i].Error()); ok && e.IsNoScript() {
			again = append(again, r.script.whole(c, r.key, r.args...))
			where = append(where, i)
		}
	}
	if len(again) > 0 {
		for i, answer := range c.DoMulti(ctx, again...) {
			answers[where[i]] = answer
		}
	}
	return answers, others
}
