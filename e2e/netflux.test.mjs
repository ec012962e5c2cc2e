// Netflux as it is on npm, untouched: the versions that speak this protocol with
// `key`. Pages build a web channel through sigver, and talk.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { launch, visit } from './browser.mjs'
import { start } from './sigver.mjs'

// By npm's own sum of the package. As a dependency it would bring a hundred
// packages that a browser has no use for.
const published = {
  '0.10.8': 'sha512-3xBtnQWOsdBtwo7LrVNCyLeJq13HV76HN8oB3zSE8C0yXSDV1ITNuDkFTq6s7rZVDkItOWSFolNWDIvfpjiKMg==',
  '1.0.0-rc.3': 'sha512-XGsdZ37LcZNjp3eZhg/gPUenbZgjfuLUSRGddxivnu3dpToFzzDAKL/q/g5hUvqWNlJMbkZ4KbNt2uzReanQhg==',
}

let folder
let browser
before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'netflux-'))
  browser = await launch()
})
after(async () => {
  rmSync(folder, { recursive: true })
  await browser.close()
})

// library is the path of a version's file for browsers.
function library(version) {
  const output = execFileSync('npm', ['pack', `netflux@${version}`, '--json', '--pack-destination', folder], { stdio: ['ignore', 'pipe', 'ignore'], timeout: 60_000 })
  const [{ filename, integrity }] = JSON.parse(output)
  assert.equal(integrity, published[version])
  execFileSync('tar', ['xzf', join(folder, filename), '-C', folder, '--one-top-level=' + version])
  return join(folder, version, 'package/dist/netflux.es2015.umd.js')
}

// The following run in pages.
//
// Chromium drops what is sent as soon as a channel that came to it is said to be open,
// once in some 80 times. Netflux does that, and would wait for ever.
function sendLater() {
  const { send } = RTCDataChannel.prototype
  const ready = new WeakMap()
  RTCDataChannel.prototype.send = function (data) {
    if (!ready.has(this)) ready.set(this, new Promise((resolve) => setTimeout(resolve, 100)))
    ready.get(this).then(() => send.call(this, data))
  }
}

function makeChannel({ version, url }) {
  const { netflux } = window
  const options = { signaling: url, signalingURL: url, iceServers: [] }
  const channel = version.startsWith('0.') ? new netflux.WebChannel(options) : netflux.create(options)
  Object.assign(window, { channel, heard: [], peers: [] })
  channel.onMessage = (id, message, toAll) => window.heard.push(`${message}${toAll ? '' : ', to me alone'}`)
  channel.onPeerJoin = channel.onJoining = (id) => window.peers.push(id)
}

for (const version of Object.keys(published)) {
  test(`Netflux ${version}`, async (t) => {
    const { url } = await start(t)
    const file = library(version)
    const page = async () => {
      // Netflux is not of this server's origin.
      const page = await visit(t, browser, url, { bypassCSP: true })
      await page.evaluate(sendLater)
      await page.addScriptTag({ path: file })
      await page.evaluate(makeChannel, { version, url })
      return page
    }
    const [a, b, c] = await Promise.all([page(), page(), page()])
    const opened = await a.evaluate(() => window.channel.open({ key: 'web channel' }))
    assert.equal(opened.key, 'web channel')
    assert.match(
      await b.evaluate(() => window.channel.open({ key: 'web channel' }).then(() => 'opened', String)),
      /not suitable|already exists|KEY_EXISTS/,
    )
    assert.match(await b.evaluate(() => window.channel.join('another').then(() => 'joined', String)), /not available|not found|KEY_UNKNOWN/)

    for (const [i, joining] of [b, c].entries()) {
      await joining.evaluate(() => window.channel.join('web channel').then(() => true))
      for (const member of [a, b, c].slice(0, i + 2)) {
        await member.waitForFunction((others) => window.channel.members.length === others, i + 1)
      }
    }
    const heard = (page, ...want) => page.waitForFunction((want) => JSON.stringify(window.heard) === want, JSON.stringify(want))
    await a.evaluate(() => window.channel.send('to all of you'))
    await Promise.all([heard(b, 'to all of you'), heard(c, 'to all of you')])
    await c.evaluate(() => window.channel.send('and back'))
    await Promise.all([heard(a, 'and back'), heard(b, 'to all of you', 'and back')])
    const id = await b.evaluate(() => window.channel.myId)
    await a.evaluate((id) => window.channel.sendTo(id, 'psst'), id)
    await heard(b, 'to all of you', 'and back', 'psst, to me alone')

    assert.equal(await a.evaluate(() => window.channel.isOpen()), true)
    await a.evaluate(() => window.channel.close())
    await c.waitForFunction(() => window.channel.open({ key: 'web channel' }).then(() => true, () => false), null, { polling: 100 })
  })
}
