// The client library in Node.js: both transports, what goes wrong, and coming back.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { getEventListeners, once } from 'node:events'
import http from 'node:http'
import net from 'node:net'
import { describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import WebSocket, { WebSocketServer } from 'ws'
import { SigverError, connect, join, open } from '../web/sigver.js'
import { proxy } from './proxy.mjs'
import { afterwards, deadline, dial, start } from './sigver.mjs'

const failed = (name, code) => (error) => {
  assert.ok(error instanceof SigverError, error)
  assert.deepEqual([error.name, error.code], [name, code], error.message)
  assert.ok(error.message.length > 0)
  return true
}

// next is the next thing that source brings, null at its end.
async function next(source) {
  const { value, done } = await deadline(source[Symbol.asyncIterator]().next(), () => `something of ${source.constructor.name}`)
  return done ? null : value
}

// listen runs an HTTP server until t ends, and returns its address.
async function listen(t, server) {
  t.after(() => server.close() && server.closeAllConnections())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return `ws://127.0.0.1:${server.address().port}`
}

function event(target, type) {
  return deadline(new Promise((resolve) => target.addEventListener(type, resolve, { once: true })), () => type)
}

// EchoPair is an Opener that sends back what it gets, and a Joining that checks it and
// joins again whenever it is cut off.
class EchoPair {
  done = false
  opener = null
  echoed = 0
  joins = 0

  constructor(url, key, options) {
    Object.assign(this, { url, key, options })
  }

  async run() {
    const opener = (this.opener = await open(this.url, this.key, this.options))
    const answering = this.#answer(opener)
    while (!this.done) {
      try {
        await this.#talk()
      } catch (error) {
        if (!(error instanceof SigverError)) throw error
        await setTimeout(20)
      }
    }
    opener.close()
    await answering
  }

  stop() {
    this.done = true
    this.opener?.close()
  }

  async #answer(opener) {
    for await (const link of opener) this.#echo(link)
  }

  async #echo(link) {
    for await (const message of link) link.send(message)
  }

  async #talk() {
    const there = await join(this.url, this.key, this.options)
    this.joins++
    for (let n = 0; !this.done; n++) {
      there.send(`${this.key}, ${this.joins}, ${n}`)
      assert.equal(await next(there), `${this.key}, ${this.joins}, ${n}`)
      this.echoed++
      await setTimeout(5) // the tests beside it want to get on as well
    }
    there.close()
  }
}

for (const transport of ['websocket', 'sse']) {
  describe(transport, { concurrency: true }, () => {
    const common = { transport, WebSocket }

    // both is an Opener and a Joining, with the Link of each to the other.
    const both = async (t, url, key, options = {}) => {
      const opener = await open(url, key, { ...common, ...options })
      t.after(() => opener.close())
      const there = await join(url, key, { ...common, ...options })
      t.after(() => there.close())
      there.send('hello')
      const here = await next(opener)
      assert.equal(await next(here), 'hello')
      return { opener, here, there }
    }

    test('an exchange, in order, and its end', async (t) => {
      const { url } = await start(t, '--rate', '0')
      const { opener, here, there } = await both(t, url, 'exchange ☎')
      assert.deepEqual([opener.key, opener.state, opener.error, opener.transport], ['exchange ☎', 'open', null, transport])
      assert.deepEqual([there.id, there.state, there.transport], [null, 'open', transport])
      assert.ok(here.id > 0)
      for (let i = 0; i < 300; i++) {
        there.send({ i, text: 'ünï\r\n\u2028code 🎉' })
        here.send([i])
      }
      for (let i = 0; i < 300; i++) {
        assert.deepEqual(await next(here), { i, text: 'ünï\r\n\u2028code 🎉' })
        assert.deepEqual(await next(there), [i])
      }
      for (const value of [null, 0, false, '', {}]) {
        here.send(value)
        assert.deepEqual(await next(there), value)
      }
      assert.throws(() => here.send(undefined), TypeError)
      there.send('last words')
      there.close()
      assert.equal(await next(there), null)
      assert.equal(await next(here), 'last words')
      assert.equal(await next(here), null)
      assert.deepEqual([here.state, here.error], ['closed', null])
      assert.throws(() => here.send(1), failed('CLOSED', 0))
      opener.close()
      assert.equal(await next(opener), null)
      assert.equal(opener.state, 'closed')
      const again = await open(url, 'exchange ☎', common) // the key is free at once
      again.close()
    })

    test('events instead of iteration, with what came before', async (t) => {
      const { url } = await start(t)
      const opener = await open(url, 'events', common)
      t.after(() => opener.close())
      const there = await join(url, 'events', common)
      for (const data of [1, 2, 3]) there.send(data)
      const { link } = await event(opener, 'joining')
      const heard = []
      const all = new Promise((resolve) => {
        link.addEventListener('message', ({ data }) => heard.push(data) === 3 && resolve())
      })
      await deadline(all, () => `three messages: ${heard}`)
      assert.deepEqual(heard, [1, 2, 3])
      opener.close()
      await event(there, 'close')
      assert.equal(there.error.name, 'OPENER_NO_LONGER_AVAILABLE')
    })

    test('nothing is lost between listeners and iteration', async (t) => {
      const { url } = await start(t)
      const { here, there } = await both(t, url, 'lost', {})
      const said = event(here, 'message') // once
      for (const data of [1, 2]) there.send(data)
      assert.equal((await said).data, 1)
      assert.equal(await next(here), 2)
      const over = new AbortController()
      const heard = []
      const listen = ({ data }) => heard.push(data)
      here.addEventListener('message', listen, { signal: over.signal })
      const waiting = next(here)
      there.send(3)
      await event(here, 'message')
      over.abort()
      there.send(4)
      assert.equal(await waiting, 4)
      here.addEventListener('message', listen)
      here.removeEventListener('message', listen)
      there.send(5)
      assert.equal(await next(here), 5)
      assert.deepEqual(heard, [3])
    })

    test('who has been sent away does not come again by what is still under way', async (t) => {
      const { url } = await start(t)
      const { opener, here, there } = await both(t, url, 'away')
      let joinings = 0
      opener.addEventListener('joining', () => joinings++)
      here.close()
      there.send('late')
      there.send('later')
      there.close()
      const other = await join(url, 'away', common)
      t.after(() => other.close())
      other.send('in its place')
      await event(opener, 'joining')
      assert.equal(joinings, 1)
    })

    test('the end of an Opener ends its Joinings', async (t) => {
      const { url } = await start(t)
      const { opener, here, there } = await both(t, url, 'end')
      opener.close()
      assert.equal(await next(here), null)
      await assert.rejects(next(there), failed('OPENER_NO_LONGER_AVAILABLE', 4020))
      assert.equal(await next(there), null)
      assert.throws(() => there.send(1), failed('OPENER_NO_LONGER_AVAILABLE', 4020))
    })

    test('refusals', async (t) => {
      const { url } = await start(t, '--max-joinings', '1')
      await both(t, url, 'taken')
      await assert.rejects(open(url, 'taken', common), failed('KEY_EXISTS', 4010))
      await assert.rejects(open(url, 'taken', { ...common, token: 'a guess' }), failed('KEY_EXISTS', 4010))
      await assert.rejects(join(url, 'nobody', common), failed('KEY_UNKNOWN', 4011))
      await assert.rejects(join(url, 'taken', common), failed('TOO_MANY_JOININGS', 4014))
    })

    test('what the server ends a connection for', async (t) => {
      const { url } = await start(t, '--rate', '1', '--burst', '5')
      const { there } = await both(t, url, 'large')
      there.send('x'.repeat(70_000))
      await assert.rejects(next(there), failed('MESSAGE_TOO_BIG', 1009))
      const many = await join(url, 'large', common)
      for (let i = 0; i < 20; i++) many.send(i)
      await assert.rejects(next(many), failed('RATE_LIMITED', 4029))
    })

    test('abort before, during and after', async (t) => {
      const { url } = await start(t)
      const reason = new Error('enough')
      await assert.rejects(open(url, 'abort', { ...common, signal: AbortSignal.abort(reason) }), reason)

      const silent = net.createServer(() => {}).listen(0, '127.0.0.1')
      t.after(() => silent.close())
      await once(silent, 'listening')
      const during = new AbortController()
      const waiting = join(`http://127.0.0.1:${silent.address().port}`, 'abort', { ...common, signal: during.signal })
      const [socket] = await once(silent, 'connection')
      during.abort(reason)
      await assert.rejects(waiting, reason)
      socket.destroy()

      const after = new AbortController()
      const { opener, there } = await both(t, url, 'abort', { signal: after.signal })
      assert.equal(getEventListeners(after.signal, 'abort').length, 2)
      after.abort(reason)
      assert.equal(getEventListeners(after.signal, 'abort').length, 0, 'nothing listens any more')
      assert.deepEqual([opener.state, there.state], ['closed', 'closed'])
      assert.equal(await next(opener), null)
      const again = await open(url, 'abort', { ...common, token: opener.token })
      again.close()
    })

    test('a server that does not answer', async (t) => {
      // It accepts connections and the first message, and leaves it at that.
      const server = http.createServer((request, response) => {
        if (request.method === 'POST') return response.end()
        response.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('event: auth\ndata: t\n\n')
      })
      new WebSocketServer({ server })
      const url = await listen(t, server)
      await assert.rejects(open(url, 'key', { ...common, timeout: 5000 }), failed('TIMEOUT', 0))
    })

    test('what nobody takes is kept up to a limit', async (t) => {
      const { url } = await start(t, '--rate', '0')
      const { opener, here, there } = await both(t, url, 'unread')
      const ended = event(here, 'close')
      for (let i = 0; i <= 1000; i++) there.send(i)
      await ended
      failed('UNREAD', 0)(here.error)
      for (let i = 0; i < 1000; i++) assert.equal(await next(here), i)
      await assert.rejects(next(here), failed('UNREAD', 0))
      const other = await join(url, 'unread', common)
      t.after(() => other.close())
      other.send('the key is still there')
      assert.equal(await next(await next(opener)), 'the key is still there')
    })

    test('accepted and ended in one breath', async (t) => {
      let stream
      const server = http.createServer((request, response) => {
        if (request.method === 'POST') {
          stream.end('data: {"isKeyOk":true}\n\nevent: close\ndata: {"code":4011,"reason":"KEY_UNKNOWN: gone"}\n\n')
          return response.end()
        }
        stream = response
        response.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('event: auth\ndata: t\n\n')
      })
      new WebSocketServer({ server }).on('connection', (socket) =>
        socket.once('message', () => {
          socket.send('{"isKeyOk":true}')
          socket.close(4011, 'KEY_UNKNOWN: gone')
        }),
      )
      const url = await listen(t, server)
      const over = new AbortController()
      const there = await join(url, 'key', { ...common, signal: over.signal })
      await assert.rejects(next(there), failed('KEY_UNKNOWN', 4011))
      assert.equal(getEventListeners(over.signal, 'abort').length, 0, 'nothing listens any more')
    })

    test('something else than a sigver server', async (t) => {
      const server = http.createServer((request, response) => {
        if (request.method === 'POST') return response.end()
        response.writeHead(200, { 'Content-Type': 'text/event-stream' }).write('event: auth\ndata: t\n\ndata: welcome\n\n')
      })
      new WebSocketServer({ server }).on('connection', (socket) => socket.send('welcome'))
      const url = await listen(t, server)
      await assert.rejects(open(url, 'key', common), failed('PROTOCOL_ERROR', 1002))
    })

    test('nobody there', async (t) => {
      const nobody = net.createServer().listen(0, '127.0.0.1')
      await once(nobody, 'listening')
      const { port } = nobody.address()
      nobody.close()
      await assert.rejects(open(`ws://127.0.0.1:${port}`, 'key', common), failed('UNREACHABLE', 0))
    })

    test('a cut connection: the Opener takes its key over, with its Joinings', async (t) => {
      const server = await start(t)
      const way = await proxy(t, server.url)
      const opener = await open(way.url, 'cut', common)
      t.after(() => opener.close())
      const there = await join(server.url, 'cut', common)
      t.after(() => there.close())
      there.send('before')
      const here = await next(opener)
      assert.equal(await next(here), 'before')

      for (let round = 0; round < 2; round++) {
        const states = []
        opener.addEventListener('statechange', () => states.push(opener.state))
        way.down()
        way.cut()
        await event(opener, 'statechange')
        assert.equal(opener.state, 'reconnecting')
        const words = ['while it is away']
        here.send(words)
        words[0] = 'and another' // the first is sent as it was
        here.send(words)
        there.send('meanwhile')
        way.up()
        await event(opener, 'statechange')
        assert.deepEqual(states, ['reconnecting', 'open'])
        assert.deepEqual(await next(there), ['while it is away'])
        assert.deepEqual(await next(there), ['and another'])
        there.send('after')
        // What the server sent into the cut connection is lost.
        const got = await next(here)
        if (got === 'meanwhile') assert.equal(await next(here), 'after')
        else assert.equal(got, 'after')
      }
      for (let i = 0; i < 5; i++) way.cut() // and while it comes back
      await event(opener, 'statechange')
      opener.close()
    })

    test('a server that is killed and started again', async (t) => {
      const server = await start(t)
      const opener = await open(server.url, 'again', common)
      t.after(() => opener.close())
      const joining = await join(server.url, 'again', common)
      const lost = event(opener, 'statechange')
      server.kill('SIGKILL')
      await assert.rejects(next(joining), failed('CONNECTION_LOST', 1006))
      await lost
      await server.ended()
      const back = event(opener, 'statechange')
      await server.again()
      await back
      assert.equal(opener.state, 'open')
      const there = await join(server.url, 'again', common)
      there.send('found')
      const here = await next(opener)
      assert.equal(await next(here), 'found')
      here.send('back')
      assert.equal(await next(there), 'back')
      opener.close()

      const staying = await open(server.url, 'no', { ...common, reconnect: false })
      server.kill('SIGTERM')
      await assert.rejects(next(staying), failed('GOING_AWAY', 1001))
    })

    test('a server that is killed in the middle of many pairs, twice', async (t) => {
      // Joinings are faster back than their Openers, which looks like guessing. Each
      // pair echoes almost as fast as it can, which may be more than the usual rate.
      const flags = ['--max-guesses', '0', '--rate', '0']
      const server = await start(t, ...flags)
      const pairs = Array.from({ length: 30 }, (_, i) => new EchoPair(server.url, `pair ${i}`, common))
      t.after(() => pairs.forEach((pair) => pair.stop()))
      const runs = Promise.all(pairs.map((pair) => pair.run()))
      const talk = (messages) => {
        const goals = pairs.map((pair) => pair.echoed + messages)
        return deadline(
          Promise.race([
            runs,
            (async () => {
              while (pairs.some((pair, i) => !pair.done && pair.echoed < goals[i])) await setTimeout(10)
            })(),
          ]),
          () => `pairs to go on: ${pairs.map((pair) => pair.echoed)}`,
        )
      }
      await talk(20)
      for (let round = 1; round <= 2; round++) {
        server.kill('SIGKILL')
        await server.ended()
        await server.again()
        await talk(20)
        assert.ok(pairs.every((pair) => pair.joins > round), `${pairs.map((pair) => pair.joins)}`)
      }
      for (const pair of pairs) pair.done = true
      await deadline(runs, () => 'the pairs to end')
    })

    test('what is sent at the very moment of coming back gets there, in order', async (t) => {
      const server = await start(t)
      const way = await proxy(t, server.url)
      const opener = await open(way.url, 'moment', common)
      t.after(() => opener.close())
      const there = await join(server.url, 'moment', common)
      t.after(() => there.close())
      there.send('hello')
      const here = await next(opener)
      way.down()
      way.cut()
      await event(opener, 'statechange')
      opener.addEventListener('statechange', () => here.send('at that moment'))
      here.send('before it')
      way.up()
      assert.equal(await next(there), 'before it')
      assert.equal(await next(there), 'at that moment')
    })

    test('a listener that closes the Opener when it is back gives the key back', async (t) => {
      const server = await start(t)
      const way = await proxy(t, server.url)
      const opener = await open(way.url, 'given back', common)
      t.after(() => opener.close())
      way.down()
      way.cut()
      await event(opener, 'statechange')
      opener.addEventListener('statechange', () => opener.close())
      way.up()
      await event(opener, 'statechange')
      const free = async () => {
        for (;;) {
          try {
            return await open(server.url, 'given back', common)
          } catch (error) {
            failed('KEY_EXISTS', 4010)(error)
            await setTimeout(20)
          }
        }
      }
      const other = await deadline(free(), () => 'the key to be free')
      other.close()
    })

    test('more than a burst waits for an Opener to come back', async (t) => {
      const server = await start(t)
      const way = await proxy(t, server.url)
      const opener = await open(way.url, 'flood', common)
      t.after(() => opener.close())
      const there = await join(server.url, 'flood', common)
      t.after(() => there.close())
      there.send('hello')
      const here = await next(opener)
      way.down()
      way.cut()
      await event(opener, 'statechange')
      for (let i = 0; i < 700; i++) here.send(i)
      way.up()
      await event(opener, 'statechange')
      here.send(700)
      for (let i = 0; i <= 700; i++) assert.equal(await next(there), i)
      assert.equal(opener.state, 'open')
    })

    test('an Opener that is closed while it comes back takes no key', async (t) => {
      // It knows nothing of the protocol but the acceptance, and stops there the second time.
      let dials = 0
      const second = Promise.withResolvers?.() ?? (() => {
        const made = {}
        made.promise = new Promise((resolve) => (made.resolve = resolve))
        return made
      })()
      const gone = new Promise((resolve) => (second.gone = resolve))
      const server = http.createServer((request, response) => {
        if (request.method === 'POST') return response.end()
        response.writeHead(200, { 'Content-Type': 'text/event-stream' })
        if (++dials === 1) {
          response.write('event: auth\ndata: t\n\ndata: {"isKeyOk":true}\n\n')
          return void setTimeout(50).then(() => response.end())
        }
        response.flushHeaders()
        response.on('close', second.gone)
        second.resolve()
      })
      new WebSocketServer({ server, verifyClient: (_, accept) => (++dials === 1 ? accept(true) : second.resolve()) }).on('connection', (socket) => {
        socket.send('{"isKeyOk":true}')
        socket.close(1001)
      })
      // Nobody else reads what has not been accepted, and so sees its end.
      if (transport === 'websocket') server.on('upgrade', (_, socket) => dials === 2 && socket.on('end', second.gone).on('close', second.gone).resume())
      const url = await listen(t, server)
      const opener = await open(url, 'key', common)
      t.after(() => opener.close())
      await deadline(second.promise, () => 'the second connection')
      let ends = 0
      opener.addEventListener('statechange', () => ends++)
      opener.close()
      await deadline(gone, () => 'the end of the second connection')
      assert.deepEqual([ends, opener.state, opener.error], [1, 'closed', null])
    })

    test('aborted for no reason while it comes back', async (t) => {
      const server = await start(t)
      const way = await proxy(t, server.url)
      const over = new AbortController()
      const opener = await open(way.url, 'no reason', { ...common, signal: over.signal })
      t.after(() => opener.close())
      way.down()
      way.cut()
      await event(opener, 'statechange')
      over.abort(null)
      assert.equal(await next(opener), null)
      assert.equal(opener.state, 'closed')
    })

    test('a key that is somebody else’s when the Opener comes back', async (t) => {
      const server = await start(t)
      const way = await proxy(t, server.url)
      const opener = await open(way.url, 'lost', common)
      t.after(() => opener.close())
      way.down()
      way.cut()
      await event(opener, 'statechange')
      const thief = await dial(t, server)
      thief.send({ open: 'lost', token: opener.token })
      await thief.want({ isKeyOk: true })
      const other = await dial(t, server)
      await thief.close()
      await other.open('lost')
      way.up()
      await assert.rejects(next(opener), failed('KEY_EXISTS', 4010))
      assert.equal(opener.state, 'closed')
    })

    test('a second Opener with the token', async (t) => {
      const { url } = await start(t)
      const { opener, here, there } = await both(t, url, 'moved', { token: 'secret' })
      const second = await open(url, 'moved', { ...common, token: 'secret' })
      await assert.rejects(next(opener), failed('KEY_TAKEN_OVER', 4012))
      await assert.rejects(next(here), failed('KEY_TAKEN_OVER', 4012))
      there.send('to whoever has it')
      const link = await next(second)
      assert.equal(link.id, here.id)
      assert.equal(await next(link), 'to whoever has it')
      second.close()
    })

    test('a bounded number of messages waits for an Opener to come back', async (t) => {
      const server = await start(t)
      const way = await proxy(t, server.url)
      const { opener, here } = await both(t, way.url, 'bounded')
      way.down()
      way.cut()
      await event(opener, 'statechange')
      for (let i = 0; i < 1000; i++) here.send(i)
      assert.throws(() => here.send(1000), failed('CONNECTION_LOST', 0))
      opener.close()
      assert.throws(() => here.send(1), failed('CLOSED', 0))
    })

    test('trace sees every message', async (t) => {
      const { url } = await start(t)
      const seen = []
      const { here, there } = await both(t, url, 'traced', { token: 's', trace: (direction, message) => seen.push({ direction, message }) })
      here.send('x')
      assert.equal(await next(there), 'x')
      const { id } = here
      assert.deepEqual(seen, [
        { direction: 'out', message: { open: 'traced', token: 's' } },
        { direction: 'in', message: { isKeyOk: true } },
        { direction: 'out', message: { join: 'traced' } },
        { direction: 'in', message: { isKeyOk: true } },
        { direction: 'out', message: { data: 'hello' } },
        { direction: 'in', message: { id, data: 'hello' } },
        { direction: 'out', message: { id, data: 'x' } },
        { direction: 'in', message: { data: 'x' } },
      ])
    })

    test('a process ends when all is closed', async (t) => {
      const { url } = await start(t)
      const child = spawn(process.execPath, [fileURLToPath(new URL('ends.mjs', import.meta.url)), url, transport])
      t.after(() => child.kill('SIGKILL'))
      let said = ''
      child.stdout.on('data', (text) => (said += text))
      child.stderr.on('data', (text) => (said += text))
      const [code] = await deadline(once(child, 'close'), () => `the end of the process:\n${said}`)
      assert.deepEqual([code, said], [0, 'done\n'])
    })
  })
}

test('one with WebSocket, one with Server-Sent Events', async (t) => {
  const { url } = await start(t)
  for (const [one, other] of [['websocket', 'sse'], ['sse', 'websocket']]) {
    const opener = await open(url, one, { transport: one, WebSocket })
    t.after(() => opener.close())
    const there = await join(url, one, { transport: other, WebSocket })
    there.send(1)
    const here = await next(opener)
    here.send(2)
    assert.deepEqual([await next(here), await next(there)], [1, 2])
    opener.close()
  }
})

describe('left to choose', () => {
  test('it takes WebSocket', async (t) => {
    const { url } = await start(t)
    const opener = await open(url.replace('ws:', 'http:'), 'auto', { WebSocket })
    t.after(() => opener.close())
    assert.equal(opener.transport, 'websocket')
    await assert.rejects(join(url, 'nobody', { WebSocket }), failed('KEY_UNKNOWN', 4011))
    opener.close()
  })

  test('it takes Server-Sent Events where no WebSocket gets through', async (t) => {
    const { url } = await start(t)
    // A proxy as there are some: it knows nothing of Upgrade.
    const forward = http.createServer((request, response) => {
      const { 'upgrade': _, connection: __, ...headers } = request.headers
      const on = http.request(url.replace('ws:', 'http:') + request.url, { method: request.method, headers }, (answer) => {
        response.writeHead(answer.statusCode, answer.headers)
        response.flushHeaders()
        answer.pipe(response)
      })
      on.on('error', () => response.destroy())
      response.on('close', () => on.destroy())
      request.pipe(on)
    })
    const by = await listen(t, forward)
    const opener = await open(by, 'auto', { WebSocket })
    t.after(() => opener.close())
    assert.equal(opener.transport, 'sse')
    const there = await join(by, 'auto', { WebSocket })
    there.send('hello')
    assert.equal(await next(await next(opener)), 'hello')
    opener.close()
    const without = await open(by, 'auto', { WebSocket: undefined })
    assert.equal(without.transport, 'sse')
    without.close()
  })

  test('an Opener that comes to where no WebSocket gets through takes Server-Sent Events', async (t) => {
    const { url } = await start(t)
    const way = await proxy(t, url)
    const opener = await open(way.url, 'moves', { WebSocket, timeout: 3000 })
    t.after(() => opener.close())
    assert.equal(opener.transport, 'websocket')
    way.plain()
    way.cut()
    while (opener.state !== 'open' || opener.transport !== 'sse') await event(opener, 'statechange')
    const there = await join(url, 'moves', { WebSocket })
    t.after(() => there.close())
    there.send('hello')
    assert.equal(await next(await next(opener)), 'hello')
  })

  test('it is told when the server is full', async (t) => {
    const { url } = await start(t, '--max-connections', '1')
    const opener = await open(url, 'full', { WebSocket })
    t.after(() => opener.close())
    await assert.rejects(join(url, 'full', { WebSocket }), failed('TRY_AGAIN_LATER', 1013))
    opener.close()
  })

  test('it is told when its address has guessed too many keys', async (t) => {
    const { url } = await start(t, '--max-guesses', '1')
    await assert.rejects(join(url, 'nobody', { WebSocket }), failed('KEY_UNKNOWN', 4011))
    await assert.rejects(join(url, 'nobody', { WebSocket }), failed('TRY_AGAIN_LATER', 1013))
  })
})

test('a POST that is not answered is a lost connection', async (t) => {
  const server = http.createServer((request, response) => {
    if (request.method === 'POST') {
      let body = ''
      request.on('data', (part) => (body += part))
      request.on('end', () => body.includes('join') && response.end())
      return
    }
    response.writeHead(200, { 'Content-Type': 'text/event-stream' })
    response.write('event: auth\ndata: t\n\ndata: {"isKeyOk":true}\n\n')
  })
  const url = await listen(t, server)
  const link = await join(url, 'key', { transport: 'sse', timeout: 1000 })
  link.send('into nothing')
  await assert.rejects(next(link), failed('CONNECTION_LOST', 1006))
})

test('bad arguments are named before there is a connection', async () => {
  const nowhere = 'ws://127.0.0.1:1'
  for (const key of ['', 'x'.repeat(513), 5, undefined, null]) {
    await assert.rejects(open(nowhere, key), failed('BAD_KEY', 0))
    await assert.rejects(join(nowhere, key), failed('BAD_KEY', 0))
  }
  await assert.rejects(open(nowhere, 'key', { token: '' }), failed('BAD_TOKEN', 0))
  await assert.rejects(open('ftp://somewhere', 'key'), TypeError)
  await assert.rejects(open('nothing', 'key'), TypeError)
  await assert.rejects(open(nowhere, 'key', { transport: 'pigeon' }), TypeError)
})

test('512 characters of any kind are a key', async (t) => {
  const { url } = await start(t)
  const key = '🎈'.repeat(512)
  const opener = await open(url, key, { WebSocket })
  t.after(() => opener.close())
  const there = await join(url, key, { WebSocket })
  there.close()
  opener.close()
})

test('without WebRTC there is an error that says so', async (t) => {
  const { url } = await start(t)
  const opener = await open(url, 'no WebRTC', { WebSocket })
  t.after(() => opener.close())
  const link = await join(url, 'no WebRTC', { WebSocket })
  await assert.rejects(connect(link), failed('UNSUPPORTED', 0))
  opener.close()
})
