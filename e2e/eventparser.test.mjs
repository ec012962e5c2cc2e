// The library's reader of event streams (HTML Living Standard §9.2.6).
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventParser } from '../web/sigver.js'

// events reads pieces and returns what they hold as [name, data].
function events(...pieces) {
  const found = []
  const feed = eventParser((name, data) => found.push([name, data]))
  pieces.forEach((piece) => feed(piece))
  return found
}

const cases = [
  ['one', 'data: x\n\n', [['', 'x']]],
  ['a name', 'event: auth\ndata: token\n\n', [['auth', 'token']]],
  ['the name is for one event only', 'event: a\ndata: 1\n\ndata: 2\n\n', [['a', '1'], ['', '2']]],
  ['several lines', 'data: one\ndata\ndata:  three\n\n', [['', 'one\n\n three']]],
  ['no blank after the colon', 'event:a\ndata:b:c\n\n', [['a', 'b:c']]],
  ['comments', ': keep\n\n:\ndata: x\n: more\n\n', [['', 'x']]],
  ['other fields', 'id: 7\nretry: 10\nnonsense\ndata: x\n\n', [['', 'x']]],
  ['no data, no event', 'event: a\n\ndata: x\n\n', [['', 'x']]],
  ['empty data is data', 'data\n\n', [['', '']]],
  ['an event that is not finished', 'data: x\n', []],
  ['ends of lines', 'data: a\r\n\r\ndata: b\r\rdata: c\n\ndata: d\r\n\ndata: e\r\r\n', [['', 'a'], ['', 'b'], ['', 'c'], ['', 'd'], ['', 'e']]],
  ['no other ends of lines', 'data: a\u2028b\u0085c\vd\n\n', [['', 'a\u2028b\u0085c\vd']]],
]

for (const [name, text, want] of cases) {
  test(`events: ${name}`, () => {
    // A carriage return alone at the very end is not known to be an end yet.
    const whole = text + ':\n'
    assert.deepEqual(events(whole), want)
    assert.deepEqual(events(...whole), want, 'a character at a time')
    for (let cut = 0; cut < whole.length; cut++) {
      assert.deepEqual(events(whole.slice(0, cut), whole.slice(cut)), want, `cut at ${cut}`)
    }
  })
}
