// What docs/PROTOCOL.md promises to clients that do everything right.
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { deadline, dial, start, startNodes } from './sigver.mjs'

const server = await start({ after })
const nodes = await startNodes({ after })

// everywhere is a test of one server, and of two that share their keys, where each
// client is at another one than the last.
function everywhere(name, run) {
  test(name, (t) => run(t, server))
  test(`${name}, over two nodes`, (t) => run(t, nodes))
}

// pair is an Opener and a Joining of a key, and the Joining's id.
async function pair(t, server, key, token) {
  const opener = await dial(t, server)
  const joining = await dial(t, server)
  await opener.open(key, token)
  await joining.join(key)
  joining.send({ data: 'hello' })
  const id = await opener.wantData('hello')
  return { opener, joining, id }
}

everywhere('a whole exchange', async (t, server) => {
  const opener = await dial(t, server)
  await opener.open('exchange')

  const joining = await dial(t, server)
  await joining.join('exchange')
  const offer = { type: 'offer', sdp: 'v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\n' }
  joining.send({ data: offer })
  const id = await opener.wantData(offer)

  const answer = { type: 'answer', sdp: 'v=0\r\n' }
  opener.send({ id, data: answer })
  await joining.want({ data: answer })

  for (let i = 0; i < 10; i++) {
    joining.send({ data: { candidate: `candidate:${i} 1 udp`, sdpMid: '0' } })
    opener.send({ id, data: { candidate: `candidate:${i} 1 tcp`, sdpMid: null } })
  }
  for (let i = 0; i < 10; i++) {
    assert.equal(await opener.wantData({ candidate: `candidate:${i} 1 udp`, sdpMid: '0' }), id)
    await joining.want({ data: { candidate: `candidate:${i} 1 tcp`, sdpMid: null } })
  }

  await joining.close()
  await opener.want({ id, unavailable: 'true' })
  await opener.close()
})

test('neither a subprotocol nor compression is negotiated', async (t) => {
  const client = await dial(t, server, { perMessageDeflate: true })
  assert.equal(client.ws.extensions, '')
  assert.equal(client.ws.protocol, '')
})

everywhere('the forms of older clients', async (t, server) => {
  const opener = await dial(t, server)
  opener.send({ key: 'legacy' })
  await opener.want({ isKeyOk: true })
  const joining = await dial(t, server)
  joining.send({ join: 'legacy', data: { type: 'offer' } })
  await joining.want({ isKeyOk: true })
  const id = await opener.wantData({ type: 'offer' })
  opener.send({ id: String(id), data: 'the id as a string' })
  await joining.want({ data: 'the id as a string' })
})

everywhere('several Joinings of one Opener', async (t, server) => {
  const { opener, joining: one, id: idOfOne } = await pair(t, server, 'several')
  const two = await dial(t, server)
  await two.join('several')
  two.send({ data: 'I am two' })
  const idOfTwo = await opener.wantData('I am two')
  assert.notEqual(idOfOne, idOfTwo)
  opener.send({ id: idOfTwo, data: 'for two' })
  opener.send({ id: idOfOne, data: 'for one' })
  await one.want({ data: 'for one' })
  await two.want({ data: 'for two' })
})

everywhere('data arrives as it was written', async (t, server) => {
  const { opener, joining, id } = await pair(t, server, 'as written')
  for (const data of ['1.50e+300', '12345678901234567890', '-0.0', String.raw`"\u0000\/\ud800 é 😀"`, '{"b":1,"a":2,"b":3}', 'null']) {
    joining.send(`{ "data" : ${data} }`)
    assert.equal(await opener.next(), `{"id":${id},"data":${data}}`)
    opener.send(`{ "id" : ${id} , "data" : ${data} , "more" : "is ignored" }`)
    assert.equal(await joining.next(), `{"data":${data}}`)
  }
})

everywhere('messages of up to 64 KiB, both ways', async (t, server) => {
  const { opener, joining, id } = await pair(t, server, 'big')
  const frame = (head, size) => head + 'x'.repeat(size - head.length - 2) + '"}'
  for (const size of [125, 126, 127, 65_535, 65_536]) {
    const up = frame('{"data":"', size)
    joining.send(up)
    await opener.wantData(JSON.parse(up).data)
    const down = frame(`{"id":${id},"data":"`, size)
    opener.send(down)
    await joining.want({ data: JSON.parse(down).data })
  }
})

everywhere('a message in fragments, with a ping between them', async (t, server) => {
  const { opener, joining } = await pair(t, server, 'fragments')
  const pong = once(joining.ws, 'pong')
  const [first, ...rest] = ['{"data":"', 'in ', '', 'parts ', '\u{1F600}"}'].map((s) => Buffer.from(s))
  const end = rest.pop()
  joining.ws.send(first, { fin: false, binary: false })
  for (const part of rest) joining.ws.send(part, { fin: false })
  joining.ws.ping('between')
  // Even in the middle of a character.
  joining.ws.send(end.subarray(0, 2), { fin: false })
  joining.ws.send(end.subarray(2), { fin: true })
  await opener.wantData('in parts \u{1F600}')
  const [payload] = await deadline(pong, () => 'the pong')
  assert.equal(payload.toString(), 'between')
})

test('a ping is answered with its own payload', async (t) => {
  const client = await dial(t, server)
  for (const text of ['', 'are you there?', 'x'.repeat(125)]) {
    client.ws.ping(text)
    const [payload] = await deadline(once(client.ws, 'pong'), () => 'the pong')
    assert.equal(payload.toString(), text)
  }
})

test('a token takes a key over, with its Joinings and their ids', async (t) => {
  const { opener: old, joining, id } = await pair(t, server, 'takeover', 'secret')
  old.ws.pause() // as if its network were gone
  const opener = await dial(t, server)
  await opener.open('takeover', 'secret')
  joining.send({ data: 'who is there?' })
  assert.equal(await opener.wantData('who is there?'), id)
  opener.send({ id, data: 'the same' })
  await joining.want({ data: 'the same' })
  old.ws.resume()
  await old.wantClose(4012, 'KEY_TAKEN_OVER')

  for (const token of ['guess', undefined]) {
    const stranger = await dial(t, server)
    stranger.send({ open: 'takeover', token })
    await stranger.want({ isKeyOk: false })
    await stranger.wantClose(4010, 'KEY_EXISTS')
  }
  joining.send({ data: 'still you?' })
  await opener.wantData('still you?')
})

everywhere('unavailable: once when a Joining goes, and for each message to nobody', async (t, server) => {
  const { opener, joining, id } = await pair(t, server, 'unavailable')
  joining.drop()
  await opener.want({ id, unavailable: 'true' })
  opener.send({ id, data: 'too late' })
  await opener.want({ id, unavailable: 'true' })
  opener.send({ id: 2 ** 31 - 1, data: 'nobody' })
  opener.send({ id: 2 ** 31 - 1, data: 'nobody' })
  await opener.want({ id: 2 ** 31 - 1, unavailable: 'true' })
  await opener.want({ id: 2 ** 31 - 1, unavailable: 'true' })
})

test('when an Opener goes its Joinings are closed and its key is free', async (t) => {
  for (const go of ['drop', 'close']) {
    const { opener, joining } = await pair(t, server, 'opener goes')
    const other = await dial(t, server)
    await other.join('opener goes')
    await opener[go]()
    await joining.wantClose(4020, 'OPENER_NO_LONGER_AVAILABLE')
    await other.wantClose(4020, 'OPENER_NO_LONGER_AVAILABLE')
    const next = await dial(t, server)
    await next.open('opener goes')
    await next.close()
  }
})

everywhere('many pairs at once', async (t, server) => {
  await Promise.all(Array.from({ length: 50 }, async (_, n) => {
    const { opener, joining, id } = await pair(t, server, `pair ${n}`)
    opener.send({ id, data: n })
    await joining.want({ data: n })
    await joining.close()
    await opener.want({ id, unavailable: 'true' })
  }))
})

test("a browser's WebSocket", async (t) => {
  const flags = typeof WebSocket === 'function' ? [] : ['--experimental-websocket']
  if (flags.some((flag) => !process.allowedNodeEnvironmentFlags.has(flag))) {
    t.skip('this Node.js has none')
    return
  }
  const page = fileURLToPath(new URL('page.mjs', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, page, server.url], { timeout: 20_000 })
  assert.deepEqual(stdout.trim().split('\n').map(JSON.parse), [
    { to: 'opener', isKeyOk: true },
    { to: 'joining', isKeyOk: true },
    { to: 'opener', data: 'offer' },
    { to: 'joining', data: 'answer' },
    { to: 'opener', unavailable: 'true' },
    { to: 'stranger', isKeyOk: false },
    { to: 'stranger', code: 4011 },
  ])
})
