// sigver behind nginx, Caddy and HAProxy, with the files of deploy/ as they are but
// for ports, names and the paths of certificates; and systemd's opinion of the unit.
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import http from 'node:http'
import https from 'node:https'
import net from 'node:net'
import { tmpdir } from 'node:os'
import { join as path } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import WebSocket from 'ws'
import { join, open } from '../web/sigver.js'
import { certificate } from './certificate.mjs'
import { afterwards, deadline, dial, start } from './sigver.mjs'

process.env.NODE_TLS_REJECT_UNAUTHORIZED = '0' // nobody trusts this certificate
process.removeAllListeners('warning') // which Node.js repeats

const deploy = (name) => readFileSync(fileURLToPath(new URL(`../deploy/${name}`, import.meta.url)), 'utf8')

// replaced is text with each of the changes, which all have to apply.
function replaced(text, changes) {
  for (const [from, to] of changes) {
    assert.ok(text.includes(from), `${from} in:\n${text}`)
    text = text.replaceAll(from, to)
  }
  return text
}

const packages = { nginx: 'nginx-light', caddy: 'caddy', haproxy: 'haproxy', 'redis-server': 'redis-server', 'systemd-analyze': 'systemd' }

// checked runs a program to its end, which must be a good one, and returns what it said.
function checked([program, ...args]) {
  const { error, status, stdout, stderr } = spawnSync(program, args, { encoding: 'utf8', timeout: 20_000 })
  if (error?.code === 'ENOENT') assert.fail(`${program} is not installed: apt-get install ${packages[program]}`)
  assert.equal(error, undefined)
  assert.equal(status, 0, stdout + stderr)
  return stdout + stderr
}

// freePort is one that no connection to elsewhere takes in the meantime, since the
// system gives those ports from 32768 on.
async function freePort() {
  for (;;) {
    const port = randomInt(20_000, 32_768)
    const listener = net.createServer().listen(port)
    const free = await once(listener, 'listening').then(() => true, () => false)
    await new Promise((resolve) => listener.close(resolve))
    if (free) return port
  }
}

function temporary(t) {
  const folder = mkdtempSync(path(tmpdir(), 'sigver-proxy-'))
  afterwards(t, () => rmSync(folder, { recursive: true, force: true }))
  return folder
}

// For each: its file in deploy/, made fit for a test, how it is checked and run.
const proxies = {
  nginx: ({ folder, port, plain, server, key, cert }) => {
    const inside = replaced(deploy('nginx.conf'), [
      ['listen 443 ssl', `listen 127.0.0.1:${port} ssl`],
      ['listen 80;', `listen 127.0.0.1:${plain};`],
      ['/etc/ssl/signal.example.org.pem', cert],
      ['/etc/ssl/private/signal.example.org.pem', key],
      ['127.0.0.1:8000', server],
    ])
    const paths = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${folder}/${name};`).join('\n')
    const file = path(folder, 'nginx.conf')
    writeFileSync(
      file,
      `pid ${folder}/pid;\ndaemon off;\nuser root;\nerror_log stderr;\nevents {}\nhttp {\naccess_log off;\n${paths}\n${inside}\n}\n`,
    )
    return { check: ['nginx', '-t', '-c', file], run: ['nginx', '-c', file], stop: 'SIGTERM' }
  },
  caddy: ({ folder, port, plain, server, key, cert }) => {
    const file = path(folder, 'Caddyfile')
    const inside = replaced(deploy('Caddyfile'), [
      ['\nsignal.example.org {', `\nhttps://127.0.0.1:${port} {\n\tbind 127.0.0.1\n\ttls ${cert} ${key}`],
      ['http://signal.example.org {', `http://127.0.0.1:${plain} {\n\tbind 127.0.0.1`],
      ['127.0.0.1:8000', server],
    ])
    writeFileSync(file, `{\n\tadmin off\n\tauto_https disable_redirects\n\tstorage file_system ${folder}\n}\n${inside}`)
    const flags = ['--config', file, '--adapter', 'caddyfile']
    return { check: ['caddy', 'validate', ...flags], run: ['caddy', 'run', ...flags], stop: 'SIGKILL' }
  },
  haproxy: ({ folder, port, plain, server, key, cert }) => {
    const both = path(folder, 'both.pem')
    writeFileSync(both, readFileSync(cert, 'utf8') + readFileSync(key, 'utf8'))
    const file = path(folder, 'haproxy.cfg')
    writeFileSync(
      file,
      replaced(deploy('haproxy.cfg'), [
        ['bind :443', `bind 127.0.0.1:${port}`],
        ['bind :80', `bind 127.0.0.1:${plain}`],
        ['/etc/ssl/private/signal.example.org.pem', both],
        ['127.0.0.1:8000', server],
      ]),
    )
    return { check: ['haproxy', '-c', '-f', file], run: ['haproxy', '-f', file], stop: 'SIGTERM' }
  },
}

// The one that leaves TLS to sigver.
proxies['haproxy in mode tcp'] = ({ folder, port, server }) => {
  const file = path(folder, 'haproxy.cfg')
  writeFileSync(
    file,
    replaced(deploy('haproxy-tcp.cfg'), [
      ['bind :443', `bind 127.0.0.1:${port}`],
      ['127.0.0.1:8000', server],
    ]),
  )
  return { check: ['haproxy', '-c', '-f', file], run: ['haproxy', '-f', file], stop: 'SIGTERM' }
}

// running starts a proxy and waits until it takes connections.
async function running(t, [program, ...args], port, stop) {
  const process = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  const exit = once(process, 'exit')
  let said = ''
  for (const stream of [process.stdout, process.stderr]) stream.on('data', (text) => (said += text))
  afterwards(t, () => {
    process.kill(stop)
    return exit
  })
  await deadline(
    (async () => {
      for (;;) {
        assert.equal(process.exitCode, null, said)
        const socket = net.connect(port, '127.0.0.1')
        const connected = await once(socket, 'connect').then(() => true, () => false)
        socket.destroy()
        if (connected) return
        await new Promise((resolve) => setTimeout(resolve, 50))
      }
    })(),
    () => `${program} to listen:\n${said}`,
  )
}

async function next(source) {
  const { value } = await deadline(source[Symbol.asyncIterator]().next(), () => 'a message through the proxy')
  return value
}

// transmit sends something both ways between a new Opener and a new Joining.
async function transmit(url, one, other) {
  const opener = await open(url, `${one} ${other}`, { transport: one, WebSocket })
  const there = await join(url, `${one} ${other}`, { transport: other, WebSocket })
  there.send('x'.repeat(20_000))
  const here = await next(opener)
  assert.equal((await next(here)).length, 20_000)
  here.send('answer')
  assert.equal(await next(there), 'answer')
  // Longer than two heartbeats: nothing is held back or cut off.
  await new Promise((resolve) => setTimeout(resolve, 2500))
  here.send('still there')
  assert.equal(await next(there), 'still there')
  opener.close()
  await assert.rejects(next(there), { name: 'OPENER_NO_LONGER_AVAILABLE' })
}

// keepsAlive waits for two keep-alive comments on a stream that is silent otherwise.
async function keepsAlive(t, url) {
  const { get } = url.startsWith('wss:') ? https : http
  const request = get(url.replace(/^ws/, 'http'), { headers: { Accept: 'text/event-stream' } })
  t.after(() => request.destroy())
  const [answer] = await deadline(once(request, 'response'), () => 'an event stream')
  assert.equal(answer.statusCode, 200)
  answer.on('error', () => {}) // follows destroy
  let text = ''
  const comments = new Promise((resolve) => {
    answer.setEncoding('utf8').on('data', (part) => {
      text += part
      if (/^event: auth\ndata: \S+\n\n: \n\n: \n\n/.test(text)) resolve()
    })
  })
  await deadline(comments, () => `two comments after:\n${text}`)
}

// countsAddresses checks that a client is known by its address, whatever it says.
// It needs two addresses that nobody else uses, from 127.0.0.first on.
async function countsAddresses(t, url, most, refused, first) {
  const from = (localAddress, i) => ({
    localAddress,
    headers: { 'X-Forwarded-For': `192.0.2.${i}`, Forwarded: `for=192.0.2.${i}` },
  })
  const [one, other] = [`127.0.0.${first}`, `127.0.0.${first + 1}`]
  for (let i = 1; i <= most; i++) await dial(t, { url }, from(one, i))
  await assert.rejects(dial(t, { url }, from(one, most + 1)), refused)
  await dial(t, { url }, from(other, 1))
}

for (const [name, prepare] of Object.entries(proxies)) {
  test(`behind ${name}`, async (t) => {
    const most = 8 // the library's requests over event streams need a few
    const flags = ['--heartbeat', '1s', '--trusted-proxy', '127.0.0.1', '--max-per-ip', most]
    const [, key, , cert] = certificate(t)
    const bytes = name === 'haproxy in mode tcp'
    const server = await start(t, ...flags, ...(bytes ? ['--proxy-protocol', '--key', key, '--cert', cert] : []))
    const [port, plain] = [await freePort(), await freePort()]
    const { check, run, stop } = prepare({ folder: temporary(t), port, plain, server: new URL(server.url).host, key, cert })
    checked(check)
    await running(t, run, port, stop)

    const urls = [`wss://127.0.0.1:${port}`, ...(bytes ? [] : [`ws://127.0.0.1:${plain}`])]
    for (const [i, url] of urls.entries()) {
      await transmit(url, 'websocket', 'websocket')
      await transmit(url, 'sse', 'sse')
      await transmit(url, 'websocket', 'sse')
      await keepsAlive(t, url)
      // Before TLS there is no answer to give.
      await countsAddresses(t, url, most, bytes ? /ECONNRESET|hang up|disconnected/ : /429/, 2 * i + 2)
    }
  })
}

test('a cluster behind haproxy', async (t) => {
  const engine = await freePort()
  await running(t, ['redis-server', '--port', engine, '--bind', '127.0.0.1', '--save', ''], engine, 'SIGKILL')
  const flags = ['--cluster', `redis://127.0.0.1:${engine}`, '--heartbeat', '1s', '--trusted-proxy', '127.0.0.1']
  const nodes = [await start(t, ...flags), await start(t, ...flags)]
  const [, key, , cert] = certificate(t)
  const folder = temporary(t)
  const port = await freePort()
  const [both, file] = [path(folder, 'both.pem'), path(folder, 'haproxy.cfg')]
  writeFileSync(both, readFileSync(cert, 'utf8') + readFileSync(key, 'utf8'))
  const inside = replaced(deploy('haproxy-cluster.cfg'), [
    ['bind :443', `bind 127.0.0.1:${port}`],
    ['/etc/ssl/private/signal.example.org.pem', both],
    ['10.0.0.1:8000', new URL(nodes[0].url).host],
    ['10.0.0.2:8000', new URL(nodes[1].url).host],
  ])
  writeFileSync(file, inside)
  checked(['haproxy', '-c', '-f', file])
  await running(t, ['haproxy', '-f', file], port, 'SIGTERM')

  const url = `wss://127.0.0.1:${port}`
  const ways = ['websocket', 'sse']
  await Promise.all(ways.flatMap((one) => ways.map((other) => transmit(url, one, other))))
  const keys = [1, 2, 3, 4].map((i) => `stay ${i}`)
  const openers = []
  for (const key of keys) openers.push(await open(url, key, { WebSocket }))
  nodes[0].kill('SIGKILL')
  await nodes[0].ended() // one that is dying still takes connections, which nobody answers
  await transmit(url, 'websocket', 'websocket')
  await transmit(url, 'sse', 'sse')
  // Those of the node that is gone have their keys at the other one.
  for (const [i, key] of keys.entries()) {
    const there = await deadline(joined(url, key), () => `${key} to be joined`)
    there.send('hello')
    assert.equal(await next(await next(openers[i])), 'hello')
    openers[i].close()
  }
})

// joined joins key as soon as that is possible.
async function joined(url, key) {
  for (;;) {
    try {
      return await join(url, key, { WebSocket })
    } catch (error) {
      assert.ok(['KEY_UNKNOWN', 'TRY_AGAIN_LATER', 'OPENER_NO_LONGER_AVAILABLE'].includes(error.name), error)
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
}

test('the systemd unit', (t) => {
  const unit = path(temporary(t), 'sigver.service')
  const program = fileURLToPath(new URL('../dist/sigver', import.meta.url))
  writeFileSync(unit, replaced(deploy('sigver.service'), [['ExecStart=/usr/local/bin/sigver', `ExecStart=${program}`]]))
  // Of this unit alone: those that it wants are not installed everywhere.
  assert.equal(checked(['systemd-analyze', 'verify', '--recursive-errors=no', unit]), '')
  // How much it could do to the machine, of 10; a unit without any of it has 9.6.
  const [, exposure] = /Overall exposure level for .*: ([0-9.]+)/.exec(checked(['systemd-analyze', 'security', '--no-pager', '--offline=true', unit]))
  assert.ok(Number(exposure) <= 1.5, `exposure ${exposure}`)
})
