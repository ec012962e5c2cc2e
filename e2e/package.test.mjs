// The client library as a package: what npm would publish, and its types.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import * as library from '../web/sigver.js'
import { start } from './sigver.mjs'

const web = fileURLToPath(new URL('../web', import.meta.url))

// installed is a folder in which the package is installed as npm would do it.
function installed(t) {
  const folder = mkdtempSync(join(tmpdir(), 'sigver-client-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const [{ filename, files }] = JSON.parse(execFileSync('npm', ['pack', web, '--json', '--pack-destination', folder], { stdio: ['ignore', 'pipe', 'ignore'], timeout: 60_000 }))
  mkdirSync(join(folder, 'node_modules/sigver-client'), { recursive: true })
  execFileSync('tar', ['xzf', filename, '--strip-components=1', '-C', 'node_modules/sigver-client'], { cwd: folder })
  return { folder, files: files.map(({ path }) => path).sort() }
}

test('what is published, and that it can be imported', async (t) => {
  const { folder, files } = installed(t)
  assert.deepEqual(files, ['LICENSE', 'README.md', 'package.json', 'sigver.d.ts', 'sigver.js'])
  const script = `import * as library from 'sigver-client'; console.log(Object.keys(library).sort().join())`
  const names = execFileSync(process.execPath, ['--input-type=module', '-e', script], { cwd: folder, encoding: 'utf8', timeout: 60_000 })
  assert.equal(names.trim(), Object.keys(library).sort().join())
  assert.deepEqual(readFileSync(join(web, 'LICENSE')), readFileSync(join(web, '../LICENSE')))
})

test('the server has the same files', async (t) => {
  const { url } = await start(t)
  for (const name of ['sigver.js', 'sigver.d.ts']) {
    const answer = await fetch(`${url.replace('ws', 'http')}/${name}`)
    assert.equal(await answer.text(), readFileSync(join(web, name), 'utf8'))
  }
})

const right = `
import { SigverError, accept, connect, eventParser, join, open } from 'sigver-client'
import type { JoiningEvent, Json, Link, Opener, OpenOptions, Peer, PeerOptions, SignalingOptions, Transport } from 'sigver-client'

declare const peerConnection: RTCPeerConnection
const options: OpenOptions = { transport: 'sse', token: 't', reconnect: false, signal: AbortSignal.timeout(1), timeout: 5 }
const opener: Opener = await open(new URL('wss://x'), 'key', options)
opener.addEventListener('joining', ({ link }) => link.send({ a: [1, null, 'x'] }))
opener.addEventListener('statechange', () => console.log(opener.state === 'reconnecting', opener.error?.code))
opener.removeEventListener('joining', ({ link }: JoiningEvent) => console.log(link))
for await (const link of opener) {
  const peer: Peer = await accept(link, { prepare: (connection) => connection.addTransceiver('audio') && undefined })
  peer.channel.send('x')
  const id: number | null = link.id
  for await (const data of link) {
    const json: Json = data
    console.log(json, id)
  }
}
const link: Link = await join('/', 'key', { trace: (direction: 'in' | 'out', message) => console.log(direction, message) })
link.addEventListener('message', ({ data }) => console.log(data))
link.removeEventListener('message', ({ data }: MessageEvent<Json>) => console.log(data))
link.send({ description: peerConnection.localDescription?.toJSON() })
const transport: Transport = link.transport
const { connection, close }: Peer = await connect(link, { label: 'x', channelOptions: { ordered: false } } satisfies PeerOptions)
const error = new SigverError('NAME', 'why', 4000)
const [name, code]: [string, number] = [error.name, error.code]
eventParser((name, data) => console.log(name.length, data.length))('data: x')
export { transport, connection, close, name, code }
export const signaling: SignalingOptions = {}
`

const wrong = [
  `import { open } from 'sigver-client'; open('/', 5)`,
  `import { open } from 'sigver-client'; open('/', 'key', { transport: 'pigeon' })`,
  `import { join } from 'sigver-client'; join('/', 'key', { token: 'x' })`,
  `import { join } from 'sigver-client'; (await join('/', 'key')).send()`,
  `import { Link } from 'sigver-client'; new Link()`,
  `import { nothing } from 'sigver-client'`,
]

test('its types', (t) => {
  const { folder } = installed(t)
  const check = (name, text) => {
    writeFileSync(join(folder, name), text)
    const tsc = fileURLToPath(new URL('node_modules/typescript/bin/tsc', import.meta.url))
    const flags = ['--noEmit', '--strict', '--target', 'es2022', '--module', 'nodenext', '--lib', 'es2022,dom', '--types', '']
    try {
      execFileSync(process.execPath, [tsc, ...flags, name], { cwd: folder, encoding: 'utf8', timeout: 60_000 })
      return ''
    } catch (error) {
      if (error.code === 'ETIMEDOUT') throw error
      return error.stdout
    }
  }
  assert.equal(check('right.mts', right), '')
  wrong.forEach((text, i) => assert.match(check(`wrong${i}.mts`, text), new RegExp(`wrong${i}.mts\\(1,`), text))
})
