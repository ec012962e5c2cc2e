package cluster

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"strconv"

	"github.com/redis/rueidis"

	"sigver/router"
)

// lostRefAt is where a message to a lost claim's node has its slot and generation.
const lostRefAt = nodeLen + router.LostRefAt

// script is run by its hash, and sent in full where the engine does not know it.
// Each has one key, so that it runs in a Redis Cluster too; where there is none of
// those, the claim has a second one.
type script struct{ text, sha string }

func newScript(text string) script {
	sum := sha1.Sum([]byte(text)) // how the engine names scripts
	return script{text, hex.EncodeToString(sum[:])}
}

var (
	// claimScript: ARGV is the entry, an entry of a dead node that may be replaced
	// or "", who yields, the memory (entry.go), whose key is the second one, and what
	// the node is sent that loses the key, without and with its token. The answer is 1
	// if the key is ours, 0 if it is not, 2 if the engine has forgotten, and the entry
	// that was there. An entry that a node has claimed again, alive after all, is
	// another. By time the earlier claim counts, but of one token's the later.
	//
	// The loser is told here, since the answer to the winner can be lost.
	claimScript = newScript(`
if KEYS[2] and redis.call('GET', KEYS[2]) ~= ARGV[4] then
	return {2, ''}
end
local there = redis.call('GET', KEYS[1])
local mine = ARGV[1]
local token = string.sub(mine, 27)
local same = there and token ~= '' and token == string.sub(there, 27)
local other = there and string.sub(there, 1, 16) ~= string.sub(mine, 1, 16)
if other then
	local function time(entry)
		local sum = 0
		for i = 21, 26 do sum = sum * 256 + string.byte(entry, i) end
		return sum
	end
	local won = there == ARGV[2] or ARGV[3] == 'token' and same
	if ARGV[3] == 'time' and same then
		won = time(mine) > time(there)
	elseif ARGV[3] == 'time' then
		won = won or time(mine) < time(there)
	end
	if not won then
		return {0, there}
	end
end
redis.call('SET', KEYS[1], mine)
if other and string.sub(there, 1, 8) ~= string.sub(mine, 1, 8) then
	local node = string.gsub(string.sub(there, 1, 8), '.', function(c)
		return string.format('%02x', string.byte(c))
	end)
	local news = same and ARGV[6] or ARGV[5]
	redis.call('PUBLISH', '` + channelPrefix + `' .. node .. ':' .. string.byte(there, 12) % ` + strconv.Itoa(lanes) + `,
		string.sub(news, 1, ` + strconv.Itoa(lostRefAt) + `) .. string.sub(there, 9, 16) .. string.sub(news, ` + strconv.Itoa(lostRefAt+9) + `))
end
return {1, there or ''}`)

	// freeScript: ARGV is what the entry has to begin with to be removed.
	freeScript = newScript(`
local there = redis.call('GET', KEYS[1])
if there and string.sub(there, 1, #ARGV[1]) == ARGV[1] then
	return redis.call('DEL', KEYS[1])
end
return 0`)
)

// scripted is one run of a script.
type scripted struct {
	script script
	keys   []string
	args   []string
}

func (s *scripted) command(c rueidis.Client) rueidis.Completed {
	return c.B().Evalsha().Sha1(s.script.sha).Numkeys(int64(len(s.keys))).Key(s.keys...).Arg(s.args...).Build()
}

func (s *scripted) whole(c rueidis.Client) rueidis.Completed {
	return c.B().Eval().Script(s.script.text).Numkeys(int64(len(s.keys))).Key(s.keys...).Arg(s.args...).Build()
}

// runAll runs all of them in one go, and those again whose script was unknown.
func runAll(ctx context.Context, c rueidis.Client, runs []scripted, more ...rueidis.Completed) (answers, others []rueidis.RedisResult) {
	commands := make(rueidis.Commands, 0, len(runs)+len(more))
	for _, r := range runs {
		commands = append(commands, r.command(c))
	}
	all := c.DoMulti(ctx, append(commands, more...)...)
	answers, others = all[:len(runs)], all[len(runs):]
	var again rueidis.Commands
	var where []int
	for i, r := range runs {
		if e, ok := rueidis.IsRedisErr(answers[i].Error()); ok && e.IsNoScript() {
			again = append(again, r.whole(c))
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
