// The page that the server shows a browser, as people use it. Pictures of it
// are left in dist/screenshots.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { after, before, describe, test } from 'node:test'
import jsQR from 'jsqr'
import { launch, visit } from './browser.mjs'
import { dial, start } from './sigver.mjs'

const wide = { viewport: { width: 1280, height: 900 } }
const narrow = { viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true }
const lost = { expected: [/ERR_/] } // of a server that is gone, a browser speaks for itself

let browser
before(async () => (browser = await launch()))
after(() => browser.close())

const file = (name) => fileURLToPath(new URL(`../${name}`, import.meta.url))

// What the following do and look for is what a person sees.
const button = (page, name) => page.getByRole('button', { name, exact: true })
const sees = (page, text) => page.getByText(text).first().waitFor()
const problem = (page, title) => page.getByRole('alert').getByRole('heading', { name: title }).waitFor()
const noProblem = (page) => page.getByRole('alert').waitFor({ state: 'hidden' })

// makeRoom returns the link to a new room of page's.
async function makeRoom(page) {
  await button(page, 'Make a room').click()
  await sees(page, 'Waiting for somebody to open the link.')
  return page.getByLabel(/^Open this link/).inputValue()
}

// roomOf is the room that a link leads to.
const roomOf = (link) => new URLSearchParams(new URL(link).hash.slice(1)).get('room')

// roundTrips waits until page has shown three times how long there and back takes.
const roundTrips = (page) =>
  page.locator('#people').evaluate(
    (people) =>
      new Promise((resolve) => {
        let left = 3
        new MutationObserver(() => --left || resolve()).observe(people, { childList: true })
      }),
  )

async function say(page, text) {
  await page.getByLabel('Message', { exact: true }).fill(text)
  await page.getByLabel('Message', { exact: true }).press('Enter')
}

const chat = (page) =>
  page.locator('#chat li').evaluateAll((entries) =>
    entries.map((entry) => Array.from(entry.childNodes, (node) => node.textContent).join(': ')),
  )

const messages = (page) => page.locator('#messages li').evaluateAll((entries) => entries.map((e) => e.innerText.replaceAll('\n', ' ')))

// waitFor fails with what got shows instead.
async function waitFor(page, got, want) {
  const end = Date.now() + 20_000
  for (;;) {
    try {
      return assert.deepEqual(await got(page), want)
    } catch (error) {
      if (Date.now() > end) throw error
      await page.waitForTimeout(50)
    }
  }
}

for (const via of ['WebSocket', 'Server-Sent Events']) {
  test(`a room, a link, a chat: ${via}`, async (t) => {
    const { url } = await start(t)
    const open = async () => {
      const page = await visit(t, browser, url, wide)
      page.sockets = 0
      page.on('websocket', () => page.sockets++)
      if (via !== 'WebSocket') await page.getByText(via).click()
      return page
    }
    const [host, guest] = [await open(), await open()]
    const begun = Date.now()
    const link = await makeRoom(host)
    assert.match(link, /#room=[a-z]+-[a-z]+-\d{4}$/)
    // With the switch as it is: a link in the address would be a new beginning.
    await guest.getByPlaceholder('link or name of the room').fill(link)
    await button(guest, 'Join').click()
    await sees(guest, 'Connected with the host, directly.')
    await sees(host, 'Connected with 1 guest, directly.')
    assert.ok(Date.now() - begun < 10_000, 'within ten seconds')
    assert.deepEqual([host.sockets, guest.sockets], via === 'WebSocket' ? [1, 1] : [0, 0])

    await sees(guest, 'You are Guest 1')
    await say(guest, 'hello from the other side')
    await sees(host, 'hello from the other side')
    await say(host, '<b>hello</b>')
    await sees(guest, '<b>hello</b>')
    for (const page of [host, guest]) await page.locator('#people b', { hasText: /^\d+(\.\d)? ms$/ }).waitFor()

    const third = await visit(t, browser, link, wide)
    await sees(third, 'Connected with the host, directly.')
    await sees(host, 'Connected with 2 guests, directly.')
    await say(third, 'me too')
    await waitFor(guest, chat, [
      'You are Guest 1',
      'You: hello from the other side',
      'Host: <b>hello</b>',
      'Guest 2 is here',
      'Guest 2: me too',
    ])
    await third.close()
    await sees(guest, 'Guest 2 has left')
    await waitFor(host, chat, [
      'Guest 1 is here',
      'Guest 1: hello from the other side',
      'You: <b>hello</b>',
      'Guest 2 is here',
      'Guest 2: me too',
      'Guest 2 has left',
    ])

    // The protocol at work, on both sides.
    const key = roomOf(link)
    const [one, two, three, ...rest] = await messages(host)
    assert.match(one, new RegExp(`^↑ May I wait under the key “${key}”\\? \\d+ B$`))
    assert.equal(two, '↓ Yes, the key is yours. 16 B')
    assert.match(three, /^↓ Offer from Guest 1: .* \d+ B$/)
    assert.ok(rest.some((text) => /^↑ Answer to Guest 1: /.test(text)))
    assert.ok(rest.some((text) => /^↓ Candidate from Guest 1: .*:\d+, UDP/.test(text)), rest.join('\n'))
    assert.ok(rest.includes('↓ Guest 1 is not at the server any more. ' + /\d+ B/.exec(rest.find((r) => /any more/.test(r)))))
    const here = await messages(guest)
    assert.match(here[0], new RegExp(`^↑ May I join whoever waits under “${key}”\\? \\d+ B$`))
    assert.ok(here.some((text) => /^↑ Offer to Host: /.test(text)))
    assert.match(here.at(-1), /this page has left the server/)
    await host.locator('#messages summary').first().click()
    const shown = await host.locator('#messages details[open] pre').innerText()
    assert.deepEqual(JSON.parse(shown), { open: key, token: '(secret)' })
    await host.locator('#messages summary').nth(2).click()
    await sees(host, 'a=fingerprint:')
    await button(host, 'Clear').click()
    await sees(host, 'Nothing yet.')

    await button(guest, 'Leave').click()
    await sees(guest, 'Open a room, send the link, talk')
    await sees(host, 'Guest 1 has left')
    await button(host, 'Leave').click()
    await guest.goto(link)
    await problem(guest, 'Nobody is in this room')
  })
}

test('two tabs of one browser', async (t) => {
  const { url } = await start(t)
  const host = await visit(t, browser, url)
  await makeRoom(host)
  const opened = host.context().waitForEvent('page')
  await host.getByRole('link', { name: 'Open it in another tab' }).click()
  await sees(await opened, 'Connected with the host, directly.')
  await sees(host, 'Connected with 1 guest, directly.')
  await noProblem(host)
})

test('the switch while there are guests: they stay, and others come', async (t) => {
  const { url } = await start(t)
  const host = await visit(t, browser, url)
  const link = await makeRoom(host)
  const first = await visit(t, browser, link)
  await sees(host, 'Connected with 1 guest, directly.')
  const requests = []
  host.on('request', (request) => requests.push(request.method()))
  await host.getByText('Server-Sent Events').click()
  await host.waitForFunction(() => location.hash.endsWith('&via=sse'))
  await host.locator('#picture[data-signaling=open]').waitFor()
  const second = await visit(t, browser, link)
  await sees(second, 'Connected with the host, directly.')
  assert.ok(requests.includes('POST'))
  await say(first, 'still here')
  await sees(second, 'still here')
  await host.reload()
  assert.equal(await host.getByLabel('Server-Sent Events').isChecked(), true)
  await problem(first, 'The host is gone')
})

test('nobody there, and what to do about it', async (t) => {
  const { url } = await start(t)
  const [early, other] = [await visit(t, browser, `${url}/#room=meeting`), await visit(t, browser, `${url}/#room=meeting`)]
  await problem(early, 'Nobody is in this room')
  await sees(early, /KEY_UNKNOWN \(4011\)/)
  await button(early, 'Open it yourself').click()
  await sees(early, 'Waiting for somebody to open the link.')
  await noProblem(early)
  await button(other, 'Try again').click()
  await sees(other, 'Connected with the host, directly.')
  await noProblem(other)
})

test('a room that is taken', async (t) => {
  const { url } = await start(t)
  const host = await visit(t, browser, url)
  await host.getByPlaceholder('link or name of the room').fill('our room')
  await button(host, 'Open').click()
  await sees(host, 'Waiting for somebody to open the link.')
  const late = async () => {
    const page = await visit(t, browser, url)
    await page.getByPlaceholder('link or name of the room').fill('our room')
    await button(page, 'Open').click()
    await problem(page, 'This room is taken')
    await sees(page, /KEY_EXISTS \(4010\)/)
    return page
  }
  const one = await late()
  await button(one, 'Join theirs').click()
  await sees(one, 'Connected with the host, directly.')
  const two = await late()
  await button(two, 'Make another room').click()
  await sees(two, 'Waiting for somebody to open the link.')
  await noProblem(two)
})

test('a reload takes the room over, and so does another tab', async (t) => {
  const server = await start(t)
  const host = await visit(t, browser, server.url)
  const link = await makeRoom(host)
  await host.reload()
  await sees(host, 'Waiting for somebody to open the link.')
  const guest = await visit(t, browser, link)
  await sees(guest, 'Connected with the host, directly.')
  await host.reload()
  await problem(guest, 'The host is gone')
  await sees(host, 'Waiting for somebody to open the link.')
  await button(guest, 'Try again').click()
  await sees(guest, 'Connected with the host, directly.')

  const [copy] = await Promise.all([host.context().waitForEvent('page'), host.evaluate(() => void window.open(location.href))])
  await sees(copy, 'Waiting for somebody to open the link.')
  await problem(host, 'This room went on in another tab')
  await sees(host, /KEY_TAKEN_OVER \(4012\)/)
  await button(host, 'Try again').click()
  await problem(copy, 'This room went on in another tab')
  await noProblem(host)
  await say(host, 'nobody has to go')
  await sees(guest, 'nobody has to go')
})

test('the server is stopped, and started again', async (t) => {
  const server = await start(t)
  const host = await visit(t, browser, server.url, lost)
  const link = await makeRoom(host)
  const guest = await visit(t, browser, link, lost)
  await sees(guest, 'Connected with the host, directly.')
  const late = await visit(t, browser, server.url, lost)
  server.kill('SIGTERM')
  await problem(host, 'The server is gone')
  await say(guest, 'we do not need it')
  await sees(host, 'we do not need it')
  await server.ended()
  await late.getByPlaceholder('link or name of the room').fill(link)
  await button(late, 'Join').click()
  await problem(late, 'The server cannot be reached')
  await roundTrips(host)
  await problem(host, 'The server is gone')
  await server.again()
  await noProblem(host)
  await button(late, 'Try again').click()
  await sees(late, 'Connected with the host, directly.')
  await say(host, 'welcome')
  await sees(late, 'welcome')
  await sees(guest, 'welcome')
})

test('what went wrong with one guest stays in sight beside another', async (t) => {
  const server = await start(t)
  const host = await visit(t, browser, server.url)
  const link = await makeRoom(host)
  await visit(t, browser, link)
  await sees(host, 'Connected with 1 guest, directly.')
  const hasty = await dial(t, server)
  await hasty.join(roomOf(link))
  hasty.send({ data: {} })
  await sees(host, 'Guest 2')
  hasty.drop()
  await problem(host, 'Guest 2 left before you were connected')
  await roundTrips(host)
  await problem(host, 'Guest 2 left before you were connected')
  await visit(t, browser, link)
  await noProblem(host)
})

test('a room that has no room for more', async (t) => {
  const server = await start(t, '--max-joinings', '1')
  const opener = await dial(t, server)
  await opener.open('small')
  const joining = await dial(t, server)
  await joining.join('small')
  const page = await visit(t, browser, `${server.url}/#room=small`)
  await problem(page, 'This room is full')
})

test('no way to the other side, and what to do about it', async (t) => {
  const { url } = await start(t)
  // The host's answer leads to where nobody is any more.
  const host = await visit(t, browser, url)
  await host.evaluate(async () => {
    const { open } = await import('/sigver.js')
    const opener = await open('/', 'no way')
    opener.addEventListener('joining', ({ link }) => {
      const connection = new RTCPeerConnection()
      const gathered = new Promise((resolve) => (connection.onicecandidate = ({ candidate }) => candidate || resolve()))
      link.addEventListener('message', async ({ data }) => {
        if (!data.description) return
        await connection.setRemoteDescription(data.description)
        await connection.setLocalDescription()
        await gathered
        const { type, sdp } = connection.localDescription
        connection.close()
        link.send({ description: { type, sdp } })
      })
    })
  })
  const guest = await visit(t, browser, `${url}/#room=no%20way`)
  await guest.getByRole('alert').getByRole('heading', { name: 'No way to the other side was found' }).waitFor({ timeout: 50_000 })
  await sees(guest, /ICE_FAILED: .*STUN/)
  await sees(guest, 'try it within one network')
  await button(guest, 'Try again').waitFor()
})

test('a browser without WebRTC is told so', async (t) => {
  const server = await start(t)
  const opener = await dial(t, server)
  await opener.open('k')
  const page = await visit(t, browser, server.url)
  await page.addInitScript(() => delete window.RTCPeerConnection)
  await page.goto(server.url.replace('ws', 'http') + '/#room=k')
  await page.reload()
  await problem(page, 'This browser has no WebRTC')
})

test('strange names are names like others', async (t) => {
  const { url } = await start(t)
  const name = `<img src=x>&via=sse#"'ü 🎈 ${'x'.repeat(200)}`
  const host = await visit(t, browser, url, narrow)
  await host.getByPlaceholder('link or name of the room').fill(name)
  await button(host, 'Open').click()
  await host.getByRole('heading', { name }).waitFor()
  assert.equal(await host.evaluate(() => document.documentElement.scrollWidth), 360)
  const guest = await visit(t, browser, await host.getByLabel(/^Open this link/).inputValue())
  await sees(guest, 'Connected with the host, directly.')
  for (const long of ['x', 'ü']) {
    await guest.goto(`${url.replace('ws', 'http')}/#room=${long.repeat(600)}`)
    await problem(guest, 'This is no name for a room')
  }
})

test('a name whose link fits into no QR code', async (t) => {
  const { url } = await start(t)
  const host = await visit(t, browser, url)
  await host.getByPlaceholder('link or name of the room').fill('🎈'.repeat(512))
  await button(host, 'Open').click()
  await sees(host, 'Waiting for somebody to open the link.')
  await host.getByRole('img', { name: 'The link as a QR code' }).waitFor({ state: 'hidden' })
  const guest = await visit(t, browser, await host.getByLabel(/^Open this link/).inputValue())
  await sees(guest, 'Connected with the host, directly.')
  await button(host, 'Leave').click()
  await host.getByText('Server-Sent Events').click()
  const link = await makeRoom(host)
  await host.getByRole('img', { name: 'The link as a QR code' }).waitFor()
  assert.match(link, /#room=/)
})

test('a stranger who says odd things disturbs nobody', async (t) => {
  const server = await start(t)
  const host = await visit(t, browser, server.url)
  await host.getByText('Server-Sent Events').click()
  const link = await makeRoom(host)
  const odd = await dial(t, server)
  await odd.join(roomOf(link))
  const data = [null, 5, [], {}, { candidate: 7 }, { candidate: {} }, { candidate: { candidate: null } }, { candidate: { candidate: { x: [] } } }]
  for (const one of data) odd.send({ data: one })
  await waitFor(host, (page) => page.locator('#messages li.in').count(), 1 + data.length)
  const guest = await visit(t, browser, link)
  await sees(guest, 'Connected with the host, directly.')
  assert.equal(await host.locator('#messages li.out').count() > 1, true)
  await host.locator('#picture[data-signaling=open]').waitFor()
})

test('link, copy button and QR code say the same', async (t) => {
  const { url } = await start(t)
  const host = await visit(t, browser, url, { permissions: ['clipboard-read', 'clipboard-write'] })
  const link = await makeRoom(host)
  await button(host, 'Copy').click()
  await sees(host, 'Copied')
  assert.equal(await host.evaluate(() => navigator.clipboard.readText()), link)
  assert.equal(await host.getByRole('link', { name: 'Open it in another tab' }).getAttribute('href'), link)
  const { data, width, height } = await host.getByRole('img', { name: 'The link as a QR code' }).evaluate(async (element) => {
    const svg = element.querySelector('svg').cloneNode(true)
    svg.setAttribute('width', 300)
    svg.setAttribute('height', 300)
    const image = new Image()
    image.src = `data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(svg))}`
    await image.decode()
    const context = Object.assign(document.createElement('canvas'), { width: 300, height: 300 }).getContext('2d')
    context.fillStyle = 'white'
    context.fillRect(0, 0, 300, 300)
    context.drawImage(image, 0, 0)
    return { data: Array.from(context.getImageData(0, 0, 300, 300).data), width: 300, height: 300 }
  })
  assert.equal(jsQR(Uint8ClampedArray.from(data), width, height)?.data, link)
})

test('the lines to copy work as they are', async (t) => {
  const { url } = await start(t)
  const pages = [await visit(t, browser, url, { bypassCSP: true }), await visit(t, browser, url, { bypassCSP: true })]
  const [opener, joining] = await Promise.all(['#opener-code', '#joining-code'].map((id) => pages[0].locator(id).innerText()))
  for (const code of [opener, joining]) assert.ok(code.split('\n').length < 15)
  const heard = pages[1].waitForEvent('console')
  await pages[0].addScriptTag({ type: 'module', content: opener.replace('for await', 'window.ready = true\nfor await') })
  await pages[0].waitForFunction(() => window.ready)
  await pages[1].addScriptTag({ type: 'module', content: joining })
  assert.equal((await heard).text(), 'hello')
})

describe('how it looks', () => {
  const looks = [
    ['wide-light', { ...wide, colorScheme: 'light' }],
    ['wide-dark', { ...wide, colorScheme: 'dark' }],
    ['narrow-light', { ...narrow, colorScheme: 'light' }],
    ['narrow-dark', { ...narrow, colorScheme: 'dark' }],
  ]
  for (const [name, options] of looks) {
    test(name, async (t) => {
      const { url } = await start(t)
      const page = await visit(t, browser, url, { ...options, bypassCSP: true, reducedMotion: 'reduce' })
      const looksRight = async (state) => {
        await page.screenshot({ path: file(`dist/screenshots/${name}-${state}.png`), fullPage: true })
        const { scroll, client } = await page.evaluate(() => ({
          scroll: document.documentElement.scrollWidth,
          client: document.documentElement.clientWidth,
        }))
        assert.equal(scroll, client, `${state}: nothing is wider than the window`)
        await page.addScriptTag({ path: file('e2e/node_modules/axe-core/axe.min.js') })
        const violations = await page.evaluate(async () => {
          const { violations } = await window.axe.run()
          return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, failureSummary }) => `${html} ${failureSummary}`).join('; ')}`)
        })
        assert.deepEqual(violations, [], state)
      }
      await looksRight('start')
      const link = await makeRoom(page)
      await looksRight('room')
      const guest = await visit(t, browser, link, options)
      await sees(page, 'Connected with 1 guest, directly.')
      await say(guest, 'Can you see me?')
      await say(page, 'I can see what you write, and that is all that goes this way.')
      await page.locator('#people b').waitFor()
      await page.locator('#messages summary').nth(1).click()
      await looksRight('connected')
      await guest.close()
      await button(page, 'Leave').click()
      await page.goto(`${url.replace('ws', 'http')}/#room=nobody`)
      await problem(page, 'Nobody is in this room')
      await looksRight('problem')
    })
  }
})

test('the QR code library is the published one', () => {
  assert.deepEqual(readFileSync(file('web/page/vendor/uqr.mjs')), readFileSync(file('e2e/node_modules/uqr/dist/index.mjs')))
  assert.deepEqual(readFileSync(file('web/page/vendor/LICENSE')), readFileSync(file('e2e/node_modules/uqr/LICENSE')))
})
