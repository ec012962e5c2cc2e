// How the server ends connections, refuses them, and stops.
import assert from 'node:assert/strict'
import { once } from 'node:events'
import { request } from 'node:http'
import { after, test } from 'node:test'
import { deadline, dial, refused, start } from './sigver.mjs'

const server = await start({ after }, '--max-joinings', '1')

const deep = (levels) => '['.repeat(levels) + ']'.repeat(levels)

// What one client sends to end its connection, after the answers to the rest.
const cases = [
  ['not JSON', 4000, 'MESSAGE_ERROR', ['hello']],
  ['nothing', 4000, 'MESSAGE_ERROR', ['']],
  ['not an object', 4000, 'MESSAGE_ERROR', ['["open","k"]']],
  ['not quite JSON', 4000, 'MESSAGE_ERROR', ['{"open":"k","x":NaN}']],
  ['nested too deep', 4000, 'MESSAGE_ERROR', [`{"data":${deep(300)}}`]],
  ['no known member', 4000, 'MESSAGE_ERROR', ['{"hello":1}']],
  ['open and join', 4000, 'MESSAGE_ERROR', ['{"open":"k","join":"k"}']],
  ['open and data', 4000, 'MESSAGE_ERROR', ['{"open":"k","data":1}']],
  ['open and key', 4000, 'MESSAGE_ERROR', ['{"open":"k","key":"k"}']],
  ['join and token', 4000, 'MESSAGE_ERROR', ['{"join":"k","token":"t"}']],
  ['id without data', 4000, 'MESSAGE_ERROR', ['{"id":1}']],
  ['a member twice', 4000, 'MESSAGE_ERROR', ['{"open":"k","\\u006fpen":"k"}']],
  ['an empty token', 4000, 'MESSAGE_ERROR', ['{"open":"k","token":""}']],
  ['an id of 0', 4000, 'MESSAGE_ERROR', ['{"id":0,"data":1}']],
  ['an id of 2^31', 4000, 'MESSAGE_ERROR', ['{"id":2147483648,"data":1}']],
  ['an id of 7.0', 4000, 'MESSAGE_ERROR', ['{"id":7.0,"data":1}']],
  ['an id of 1e0', 4000, 'MESSAGE_ERROR', ['{"id":1e0,"data":1}']],
  ['an id of "07"', 4000, 'MESSAGE_ERROR', ['{"id":"07","data":1}']],
  ['a key that is no string', 4001, 'KEY_ERROR', ['{"open":7}']],
  ['an empty key', 4001, 'KEY_ERROR', ['{"join":""}']],
  ['a key of 513 characters', 4001, 'KEY_ERROR', [`{"open":"${'\u{1F600}'.repeat(513)}"}`]],
  ['half a surrogate pair in a key', 4001, 'KEY_ERROR', ['{"open":"\\ud800"}']],
  ['open of a taken key', 4010, 'KEY_EXISTS', ['{"open":"taken"}', { isKeyOk: false }]],
  ['join of an unknown key', 4011, 'KEY_UNKNOWN', ['{"join":"unknown"}', { isKeyOk: false }]],
  ['open after open', 4013, 'ALREADY_BOUND', ['{"open":"a"}', { isKeyOk: true }, '{"open":"b"}']],
  ['join after open', 4013, 'ALREADY_BOUND', ['{"open":"a"}', { isKeyOk: true }, '{"join":"taken"}']],
  ['join of a full Opener', 4014, 'TOO_MANY_JOININGS', ['{"join":"taken"}', { isKeyOk: false }]],
  ['to an id before open', 4022, 'TRANSMIT_BEFORE_OPEN', ['{"id":1,"data":1}']],
  ['data before join', 4023, 'TRANSMIT_BEFORE_JOIN', ['{"data":1}']],
  ['data from an Opener', 4023, 'TRANSMIT_BEFORE_JOIN', ['{"open":"a"}', { isKeyOk: true }, '{"data":1}']],
  ['a binary message', 1003, 'UNSUPPORTED_DATA', [Buffer.from('{"open":"k"}')]],
  ['a message of 64 KiB and a byte', 1009, 'MESSAGE_TOO_BIG', [`{"data":"${'x'.repeat(65_537 - 11)}"}`]],
]

test('each mistake has its close code', async (t) => {
  const opener = await dial(t, server)
  await opener.open('taken')
  const joining = await dial(t, server)
  await joining.join('taken')
  for (const [name, code, reason, script] of cases) {
    await t.test(name, async (t) => {
      const client = await dial(t, server)
      for (const step of script) {
        if (typeof step === 'string' || Buffer.isBuffer(step)) client.ws.send(step)
        else await client.want(step)
      }
      await client.wantClose(code, reason)
    })
  }
  // None of that was anybody else's trouble.
  joining.send({ data: 'fine' })
  await opener.wantData('fine')
})

test('1007: text that is not UTF-8', async (t) => {
  const client = await dial(t, server)
  client.ws.send(Buffer.from('{"open":"\xc0\xaf"}', 'latin1'), { binary: false })
  await client.wantClose(1007, 'INVALID_PAYLOAD')
})

test('1009: too much in fragments', async (t) => {
  const client = await dial(t, server)
  client.ws.send(' '.repeat(40_000), { fin: false })
  client.ws.send(' '.repeat(40_000), { fin: true })
  await client.wantClose(1009, 'MESSAGE_TOO_BIG')
})

test('1002: a frame without a mask', async (t) => {
  const handshake = request(server.url.replace('ws:', 'http:'), {
    headers: {
      Connection: 'Upgrade',
      Upgrade: 'websocket',
      'Sec-WebSocket-Version': '13',
      'Sec-WebSocket-Key': 'dGhlIHNhbXBsZSBub25jZQ==',
    },
  })
  handshake.end()
  const [, socket, head] = await deadline(once(handshake, 'upgrade'), () => 'the upgrade')
  t.after(() => socket.destroy())
  const received = [head]
  socket.on('data', (bytes) => received.push(bytes))
  socket.write(Buffer.from('\x81\x02{}', 'latin1'))
  await deadline(once(socket, 'end'), () => 'the end of the stream')
  const frame = Buffer.concat(received)
  assert.equal(frame[0], 0x88)
  assert.equal(frame.readUInt16BE(2), 1002)
  assert.match(frame.toString('utf8', 4), /^PROTOCOL_ERROR: \S/)
})

test('a normal close is answered with its own code', async (t) => {
  for (const code of [1000, 1001, 3000, 4999]) {
    const client = await dial(t, server)
    await client.close(code)
  }
  const client = await dial(t, server)
  client.ws.close() // without a code
  await client.wantClose(1005)
})

test('1008: a client that does not read loses its connection, and nothing before that', async (t) => {
  const server = await start(t, '--rate', '0', '--max-buffer', '64KiB')
  const opener = await dial(t, server)
  const joining = await dial(t, server)
  await opener.open('slow')
  await joining.join('slow')
  opener.ws.pause()
  const filling = 'x'.repeat(60_000)
  const over = once(joining.ws, 'close')
  while (joining.ws.readyState === joining.ws.OPEN) {
    joining.send({ data: filling })
    // The pong shows that the server has dealt with it, or the close that it is over.
    joining.ws.ping()
    await deadline(Promise.race([once(joining.ws, 'pong'), over]), () => 'a pong')
  }
  await joining.wantClose(4020, 'OPENER_NO_LONGER_AVAILABLE')
  opener.ws.resume()
  let last = await opener.next()
  for (; typeof last === 'string'; last = await opener.next()) {
    assert.equal(JSON.parse(last).data, filling)
  }
  assert.equal(last.code, 1008)
  assert.match(last.reason, /^SLOW_CONSUMER: \S/)
})

test('4029: more messages than the rate and the burst allow', async (t) => {
  const server = await start(t, '--rate', '1', '--burst', '20')
  const client = await dial(t, server)
  await client.open('rate')
  for (let i = 0; i < 30; i++) client.ws.pong()
  await client.wantClose(4029, 'RATE_LIMITED')
})

test('4003 and 4002: silence', async (t) => {
  const server = await start(t, '--idle-timeout', '3s', '--heartbeat', '1s')
  const unbound = await dial(t, server)
  const silent = await dial(t, server, { autoPong: false })
  await silent.open('silent')
  const quiet = await dial(t, server)
  await quiet.open('quiet')
  await unbound.wantClose(4003, 'IDLE')
  await silent.wantClose(4002, 'HEARTBEAT_TIMEOUT')
  await quiet.close() // it has answered the pings, and is still there
})

test('requests that are no handshake', async () => {
  const url = server.url.replace('ws:', 'http:')
  const visit = await fetch(url)
  assert.equal(visit.status, 426)
  assert.equal(visit.headers.get('upgrade'), 'websocket')
  assert.match(await visit.text(), /WebSocket/)
  const put = await fetch(url, { method: 'PUT', body: '{}' })
  assert.equal(put.status, 405)
  assert.equal(put.headers.get('allow'), 'GET, HEAD, OPTIONS, POST')
})

test('a full server answers 503, and serves again when there is room', async (t) => {
  const server = await start(t, '--max-connections', '1')
  const only = await dial(t, server)
  const answer = await refused(t, server)
  assert.equal(answer.statusCode, 503)
  assert.match(answer.headers['retry-after'], /^[1-9][0-9]*$/)
  await only.close()
  await (await dial(t, server)).open('room')
})

test('SIGTERM: everybody gets 1001, and the server ends within two seconds', async (t) => {
  const server = await start(t)
  const opener = await dial(t, server)
  await opener.open('stopping')
  const joining = await dial(t, server)
  await joining.join('stopping')
  const unbound = await dial(t, server)
  const begun = performance.now()
  server.kill('SIGTERM')
  for (const client of [joining, unbound]) await client.wantClose(1001, 'GOING_AWAY')
  // The Opener hears of its Joining if that was the first to be sent away.
  let end = await opener.next()
  if (typeof end === 'string') {
    assert.equal(JSON.parse(end).unavailable, 'true', end)
    end = await opener.next()
  }
  assert.equal(end.code, 1001, JSON.stringify(end))
  assert.deepEqual(await server.ended(), { code: 0, signal: null })
  const took = performance.now() - begun
  assert.ok(took < 8000, `it took ${took} ms of the ten that it may`)
})

test('a second SIGTERM ends the server at once', async (t) => {
  const server = await start(t)
  // One that does not answer its close makes a patient server wait.
  const silent = await dial(t, server)
  silent.ws.pause()
  const client = await dial(t, server)
  server.kill('SIGTERM')
  await client.wantClose(1001, 'GOING_AWAY')
  // Again and again, because the server may not yet be ready for the second.
  const again = setInterval(() => server.kill('SIGTERM'), 10)
  t.after(() => clearInterval(again))
  const { code } = await server.ended()
  assert.notEqual(code, 0, 'it took its time')
})
