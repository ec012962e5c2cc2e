// Starts the built server and talks to it with npm's ws. Everything that waits
// has a deadline, and whatever a test leaves behind goes when the test ends.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { connect, createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import WebSocket from 'ws'

// Servers that run. None outlives this process, not even if the runner ends it
// because its time is over.
const running = new Set()
process.on('exit', () => running.forEach((server) => server.kill('SIGKILL')))
process.once('SIGTERM', () => process.exit(1))

const binary = fileURLToPath(new URL('../dist/sigver', import.meta.url))

// How long to wait for what should come at once, in milliseconds.
const patience = 20_000

// deadline is promise, or a rejection that names what did not come in time.
export async function deadline(promise, what, time = patience) {
  let timer
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`waited too long for ${what()}`)), time)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

const endings = new WeakMap()

// afterwards calls end when t ends, what was asked for last being done first: a
// page is gone before its server is.
export function afterwards(t, end) {
  if (!endings.has(t)) {
    const ends = []
    endings.set(t, ends)
    t.after(async () => {
      const failures = []
      for (const end of ends.reverse()) {
        try {
          await end()
        } catch (error) {
          failures.push(error)
        }
      }
      if (failures.length > 0) throw failures[0]
    })
  }
  endings.get(t).push(end)
}

// start runs the server on a free port of the loopback until the test t ends, or
// with { after } for t the whole file.
export async function start(t, ...flags) {
  const server = new Server(['--host', '127.0.0.1', '--port', '0', ...flags])
  afterwards(t, () => server.kill('SIGKILL'))
  await deadline(server.listening, () => `the server to listen:\n${server.log}`)
  return server
}

// startNodes is start for two servers that share their keys. Each reading of url is
// the other one's.
export async function startNodes(t, ...flags) {
  const port = await freePort()
  const engine = spawn('redis-server', ['--port', port, '--bind', '127.0.0.1', '--save', ''], { stdio: 'ignore' })
  running.add(engine)
  afterwards(t, () => engine.kill('SIGKILL'))
  const failed = once(engine, 'error').then(([error]) => { throw error }) // not installed
  const listens = (async () => {
    while (!(await connects(port))) await new Promise((resolve) => setTimeout(resolve, 20))
  })()
  await deadline(Promise.race([listens, failed]), () => 'redis-server')
  const nodes = []
  for (let i = 0; i < 2; i++) nodes.push(await start(t, '--cluster', `redis://127.0.0.1:${port}`, ...flags))
  let turn = 0
  return {
    nodes,
    get url() {
      return nodes[turn++ % 2].url
    },
  }
}

async function freePort() {
  const listener = createServer().listen(0, '127.0.0.1')
  await once(listener, 'listening')
  const { port } = listener.address()
  listener.close()
  await once(listener, 'close')
  return port
}

function connects(port) {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy()
      resolve(true)
    })
    socket.on('error', () => resolve(false))
  })
}

class Server {
  log = ''
  url = ''
  over = false

  constructor(flags) {
    this.flags = flags
    this.#run(flags)
  }

  // again runs a server that has ended once more, on the port that it had.
  async again() {
    this.over = false
    this.#run([...this.flags, '--port', new URL(this.url).port])
    await deadline(this.listening, () => `the server to listen again:\n${this.log}`)
  }

  #run(flags) {
    this.log = ''
    this.process = spawn(binary, flags, { stdio: ['ignore', 'ignore', 'pipe'] })
    running.add(this)
    this.exit = once(this.process, 'exit').then(([code, signal]) => {
      running.delete(this)
      this.over = true
      return { code, signal }
    })
    this.listening = new Promise((resolve, reject) => {
      this.process.on('error', reject)
      this.exit.then(() => reject(new Error(`the server ended:\n${this.log}`)))
      this.process.stderr.setEncoding('utf8').on('data', (text) => {
        this.log += text
        const found = /wss?:\/\/[^\s"]+(?=[\s"])/.exec(this.log)
        if (found) {
          this.url = found[0]
          resolve()
        }
      })
    })
    this.listening.catch(() => {}) // start awaits it; this is for when nobody does any more
  }

  kill(signal) {
    this.process.kill(signal)
  }

  // ended is { code, signal } of the process.
  ended() {
    return deadline(this.exit, () => `the end of the server:\n${this.log}`)
  }
}

// dial connects a client, which is dropped when t ends.
export async function dial(t, server, options = {}) {
  const client = new Client(new WebSocket(server.url + '/any/path', options))
  t.after(() => client.drop())
  await deadline(once(client.ws, 'open'), () => 'the handshake')
  return client
}

// refused is the HTTP answer to a handshake that must not succeed.
export async function refused(t, server) {
  const ws = new WebSocket(server.url)
  t.after(() => ws.terminate())
  ws.on('error', () => {}) // follows the answer
  const [, answer] = await deadline(once(ws, 'unexpected-response'), () => 'a refusal')
  answer.resume()
  return answer
}

// Client is one connection. What arrives is kept until a test asks for it.
export class Client {
  #arrived = [] // texts, then one { code, reason }
  #waiting = []

  constructor(ws) {
    this.ws = ws
    ws.on('message', (data, isBinary) => this.#arrive(isBinary ? data : data.toString()))
    ws.on('close', (code, reason) => this.#arrive({ code, reason: reason.toString() }))
    ws.on('error', () => {}) // a close follows
  }

  #arrive(what) {
    const waiting = this.#waiting.shift()
    if (waiting) waiting(what)
    else this.#arrived.push(what)
  }

  // next is the next message as text, or the end as { code, reason }.
  next() {
    if (this.#arrived.length > 0) return Promise.resolve(this.#arrived.shift())
    return deadline(new Promise((resolve) => this.#waiting.push(resolve)), () => 'a message or a close')
  }

  // send sends a string as it is and anything else as JSON.
  send(message) {
    this.ws.send(typeof message === 'string' ? message : JSON.stringify(message))
  }

  // want checks that the next message has this value.
  async want(message) {
    const text = await this.next()
    assert.equal(typeof text, 'string', `want a message, got ${JSON.stringify(text)}`)
    assert.deepEqual(JSON.parse(text), message)
  }

  // wantData checks that a Joining's data comes next, and returns its id.
  async wantData(data) {
    const text = await this.next()
    assert.equal(typeof text, 'string', `want data, got ${JSON.stringify(text)}`)
    const { id, ...rest } = JSON.parse(text)
    assert.ok(Number.isInteger(id) && id >= 1 && id < 2 ** 31, text)
    assert.deepEqual(rest, { data })
    return id
  }

  // wantClose checks that the connection ends next, and how. Without a name the
  // reason must be empty.
  async wantClose(code, name) {
    const end = await this.next()
    assert.equal(end.code, code, JSON.stringify(end))
    assert.match(end.reason, name ? new RegExp(`^${name}: \\S`) : /^$/)
  }

  async open(key, token) {
    this.send({ open: key, token })
    await this.want({ isKeyOk: true })
  }

  async join(key) {
    this.send({ join: key })
    await this.want({ isKeyOk: true })
  }

  // close says goodbye and waits for the answer.
  async close(code = 1000) {
    this.ws.close(code)
    await this.wantClose(code)
  }

  // drop breaks the connection without a word.
  drop() {
    this.ws.terminate()
  }
}
