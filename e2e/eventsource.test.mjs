// Server-Sent Events as others speak them: npm's eventsource, a browser's own
// EventSource on a page of another origin, and curl.
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import http from 'node:http'
import { test } from 'node:test'
import { EventSource } from 'eventsource'
import { launch, visit } from './browser.mjs'
import { certificate } from './certificate.mjs'
import { afterwards, deadline, dial, start, startNodes } from './sigver.mjs'

// exchange is run here and in a page: a pair over EventSource and fetch. Where there
// are several servers, each client is at another one, and posts to yet another.
async function exchange(urls, EventSource) {
  const heard = []
  let clients = 0
  const client = (name, first) =>
    new Promise((resolve, reject) => {
      const source = new EventSource(urls[clients++ % urls.length])
      const url = urls[clients % urls.length]
      let token
      const send = async (message) => {
        const answer = await fetch(url, { method: 'POST', body: `${token}@${JSON.stringify(message)}` })
        if (answer.status !== 200 || (await answer.text()) !== '') reject(new Error(`${answer.status}`))
      }
      source.addEventListener('auth', ({ data }) => {
        token = data
        send(first)
      })
      source.addEventListener('message', ({ data }) => {
        const { id, ...message } = JSON.parse(data)
        heard.push({ to: name, ...message })
        if (message.isKeyOk) resolve({ send, source })
        if (message.data === 'offer') send({ id, data: 'answer' })
      })
      source.addEventListener('close', ({ data }) => {
        const { code, reason } = JSON.parse(data)
        heard.push({ to: name, code, name: reason.split(':')[0] })
        source.close() // or it would begin anew
        resolve()
      })
    })
  const until = async (number) => {
    for (const end = Date.now() + 15_000; heard.length < number && Date.now() < end; ) {
      await new Promise((resolve) => setTimeout(resolve, 10))
    }
  }
  const opener = await client('opener', { open: 'events' })
  const joining = await client('joining', { join: 'events' })
  await joining.send({ data: 'offer' })
  await until(4)
  await client('stranger', { join: 'nobody' })
  opener.source.close()
  await until(7)
  return heard
}

const want = [
  { to: 'opener', isKeyOk: true },
  { to: 'joining', isKeyOk: true },
  { to: 'opener', data: 'offer' },
  { to: 'joining', data: 'answer' },
  { to: 'stranger', isKeyOk: false },
  { to: 'stranger', code: 4011, name: 'KEY_UNKNOWN' },
  { to: 'joining', code: 4020, name: 'OPENER_NO_LONGER_AVAILABLE' },
]

for (const begin of [start, startNodes]) {
  test(`npm’s eventsource${begin === startNodes ? ', over two nodes' : ''}`, async (t) => {
    const server = await begin(t)
    const urls = (server.nodes ?? [server]).map(({ url }) => url.replace('ws', 'http'))
    class Ending extends EventSource {
      constructor(url) {
        super(url)
        t.after(() => this.close())
      }
    }
    assert.deepEqual(await deadline(exchange(urls, Ending), () => 'the exchange'), want)
  })
}

test('a browser’s EventSource, from another origin', async (t) => {
  const { url } = await start(t)
  const browser = await launch()
  t.after(() => browser.close())
  const elsewhere = http.createServer((_, response) => response.end()).listen(0, '127.0.0.1')
  afterwards(t, () => elsewhere.close())
  await once(elsewhere, 'listening')
  const expected = [/404.*favicon|favicon.*404/]
  const page = await visit(t, browser, `http://127.0.0.1:${elsewhere.address().port}/`, { expected })
  const heard = page.evaluate(`(${exchange})(['${url.replace('ws', 'http')}'], EventSource)`)
  assert.deepEqual(await deadline(heard, () => 'the exchange'), want)
})

for (const secure of [false, true]) {
  test(`curl${secure ? ' over TLS' : ''}`, async (t) => {
    const server = await start(t, '--heartbeat', '1s', ...(secure ? certificate(t) : []))
    const url = server.url.replace('ws', 'http') + '/'
    const curl = (...args) => spawn('curl', ['-sS', '--insecure', '--max-time', '20', ...args, url])
    const post = async (body) => {
      const child = curl('--data', body, '-w', '%{http_code}')
      let said = ''
      child.stdout.on('data', (text) => (said += text))
      await deadline(once(child, 'close'), () => `curl --data ${body}`)
      return said
    }
    const stream = curl('-N', '-i', '-H', 'Accept: text/event-stream')
    afterwards(t, () => stream.kill('SIGKILL'))
    const ended = once(stream, 'close')
    let said = ''
    let more = () => {}
    stream.stdout.on('data', (text) => {
      said += text
      more()
    })
    const told = (what) => {
      const arrived = new Promise((resolve) => {
        more = () => what.test(said) && resolve(what.exec(said))
        more()
      })
      return deadline(arrived, () => `${what} in:\n${said}`)
    }
    const [, token] = await told(/event: auth\ndata: ([\w-]{22})\n\n/)
    assert.match(said, /^HTTP\/1.1 200 OK\r\n(.+\r\n)*Content-Type: text\/event-stream/)
    assert.equal(await post(`${token}@{"open":"curl"}`), '200')
    await told(/\n\ndata: {"isKeyOk":true}\n\n/)

    // The other side has a WebSocket.
    const joining = await dial(t, server, { rejectUnauthorized: false })
    await joining.join('curl')
    joining.send({ data: 'offer' })
    const [, id] = await told(/\n\ndata: {"id":(\d+),"data":"offer"}\n\n/)
    assert.equal(await post(`${token}@{"id":${id},"data":"answer"}`), '200')
    await joining.want({ data: 'answer' })

    await told(/\n:.*\n/) // a sign of life
    assert.match(await post('guess@{}'), /401$/)
    assert.match(await post(`${token}@${'x'.repeat(70_000)}`), /413$/)
    await post(`${token}@nonsense`)
    const [, code] = await told(/event: close\ndata: {"code":(\d+),"reason":".+"}\n\n$/)
    assert.equal(code, '4000')
    assert.deepEqual(await deadline(ended, () => 'the end of the stream'), [0, null])
    await joining.wantClose(4020, 'OPENER_NO_LONGER_AVAILABLE')
  })
}
