// The client library in a real browser: pages that are connected by WebRTC.
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { launch, visit } from './browser.mjs'
import { certificate } from './certificate.mjs'
import { proxy } from './proxy.mjs'
import { deadline, start } from './sigver.mjs'

let browser
before(async () => (browser = await launch()))
after(() => browser.close())

// The following run in pages. An Opener's page answers what it hears, with the
// number of those that it has been connected with.
async function openPage({ key, transport, options }) {
  const { open, accept } = await import('/sigver.js')
  const opener = await open('/', key, { transport })
  Object.assign(window, { opener, accepted: 0, ended: 0, failed: [], states: [] })
  opener.addEventListener('joining', async ({ link }) => {
    try {
      const { channel } = await accept(link, { ...options, onstatechange: (state) => window.states.push(state) })
      window.accepted++
      channel.onclose = () => window.ended++
      channel.onmessage = ({ data }) => channel.send(`${window.accepted}: ${data}`)
    } catch ({ name, message }) {
      window.failed.push(name)
    }
  })
  return opener.transport
}

async function joinPage({ key, transport, say, options }) {
  const { join, connect } = await import('/sigver.js')
  try {
    const link = await join('/', key, { transport })
    const peer = await connect(link, options)
    window.peer = peer
    return await new Promise((resolve) => {
      peer.channel.onmessage = ({ data }) => resolve({ answer: data, link: link.state, label: peer.channel.label })
      peer.channel.send(say)
    })
  } catch (error) {
    return { name: error.name, code: error.code, message: error.message }
  }
}

const ways = [
  ['ws', 'websocket', 'websocket'],
  ['Server-Sent Events', 'sse', 'sse'],
  ['an Opener on ws, a Joining on Server-Sent Events', 'websocket', 'sse'],
  ['an Opener on Server-Sent Events, a Joining on ws', 'sse', 'websocket'],
]

for (const secure of [false, true]) {
  describe(secure ? 'over TLS' : 'in the clear', () => {
    for (const [name, opens, joins] of ways) {
      test(`two pages are connected: ${name}`, async (t) => {
        const { url } = await start(t, ...(secure ? certificate(t) : []))
        const [one, other] = await Promise.all([visit(t, browser, url), visit(t, browser, url)])
        assert.equal(await one.evaluate(openPage, { key: 'k', transport: opens }), opens)
        assert.deepEqual(await other.evaluate(joinPage, { key: 'k', transport: joins, say: 'hello' }), {
          answer: '1: hello',
          link: 'closed',
          label: 'sigver',
        })
        assert.deepEqual(await one.evaluate(() => [window.failed, window.states.at(-1)]), [[], 'connected'])
        await other.evaluate(() => window.peer.close())
        await one.waitForFunction(() => window.ended === 1)
      })
    }
  })
}

test('five join one', async (t) => {
  const { url } = await start(t)
  const opener = await visit(t, browser, url)
  await opener.evaluate(openPage, { key: 'five', transport: 'auto' })
  const pages = await Promise.all(Array.from({ length: 5 }, () => visit(t, browser, url)))
  const answers = await Promise.all(
    pages.map((page, i) => page.evaluate(joinPage, { key: 'five', transport: i % 2 ? 'sse' : 'websocket', say: `I am ${i}` })),
  )
  answers.forEach(({ answer }, i) => assert.match(answer, new RegExp(`^[1-5]: I am ${i}$`)))
  assert.equal(await opener.evaluate(() => window.accepted), 5)
})

for (const transport of ['websocket', 'sse']) {
  test(`the Opener's connection is cut and it takes its key over: ${transport}`, async (t) => {
    const server = await start(t)
    const way = await proxy(t, server.url)
    const expected = [/ERR_|WebSocket connection/]
    const opener = await visit(t, browser, way.url, { expected })
    await opener.evaluate(openPage, { key: 'cut', transport })
    // It is there before the cut and is connected only after it.
    const joining = await visit(t, browser, server.url)
    await joining.evaluate(async () => {
      const { join, connect } = await import('/sigver.js')
      const link = await join('/', 'cut')
      window.go = () => connect(link).then(({ channel }) => new Promise((resolve) => {
        channel.onmessage = ({ data }) => resolve(data)
        channel.send('after the cut')
      }))
    })
    await opener.evaluate(() => {
      window.seen = []
      window.opener.addEventListener('statechange', () => window.seen.push(window.opener.state))
    })
    way.cut()
    await opener.waitForFunction(() => window.seen.includes('open'))
    assert.deepEqual(await opener.evaluate(() => window.seen), ['reconnecting', 'open'])
    assert.equal(await joining.evaluate(() => window.go()), '1: after the cut')
    const late = await visit(t, browser, server.url)
    assert.equal((await late.evaluate(joinPage, { key: 'cut', say: 'hello' })).answer, '2: hello')
  })
}

test('candidates that come before the offer are kept for it', async (t) => {
  const { url } = await start(t)
  const opener = await visit(t, browser, url)
  const joining = await visit(t, browser, url)
  await opener.evaluate(openPage, { key: 'early', transport: 'auto' })
  const answer = await joining.evaluate(async () => {
    const { join } = await import('/sigver.js')
    const link = await join('/', 'early')
    const connection = new RTCPeerConnection()
    const channel = connection.createDataChannel('any name')
    const candidates = []
    const all = new Promise((resolve) => {
      connection.onicecandidate = ({ candidate }) => (candidate ? candidates.push(candidate) : resolve())
    })
    await connection.setLocalDescription()
    await all
    // Its own end listens only to its own candidates' answers, so the other side has to use these.
    for (const candidate of candidates) link.send({ candidate })
    const { type, sdp } = connection.localDescription
    link.send({ description: { type, sdp: sdp.replace(/^a=candidate.*\r\n/gm, '') } })
    link.addEventListener('message', async ({ data }) => {
      if (data.description) await connection.setRemoteDescription(data.description)
    })
    return new Promise((resolve) => {
      channel.onopen = () => channel.send('early')
      channel.onmessage = ({ data }) => resolve(data)
    })
  })
  assert.equal(answer, '1: early')
})

test('what is said first arrives, on both sides', async (t) => {
  const { url } = await start(t)
  const [one, other] = await Promise.all([visit(t, browser, url), visit(t, browser, url)])
  await one.evaluate(async () => {
    const { open, accept } = await import('/sigver.js')
    const opener = await open('/', 'k')
    opener.addEventListener('joining', async ({ link }) => {
      const { channel } = await accept(link)
      for (const word of ['one', 'two', 'three']) channel.send(word)
      channel.onmessage = ({ data }) => channel.send(data)
    })
  })
  // A browser that drops the first does so about once in 80 times.
  const heard = await other.evaluate(async () => {
    const { join, connect } = await import('/sigver.js')
    const all = []
    for (let i = 0; i < 100; i++) {
      const { channel, close } = await connect(await join('/', 'k'))
      channel.send('a')
      channel.send('b')
      const heard = []
      await new Promise((resolve) => {
        channel.onmessage = ({ data }) => heard.push(data) === 5 && resolve()
        setTimeout(resolve, 5000)
      })
      all.push(heard.join(' '))
      close()
    }
    return all
  })
  assert.deepEqual(heard, Array(100).fill('one two three a b'))
})

test('what a Joining says and does before its Opener may use the channel is not lost', async (t) => {
  const { url } = await start(t)
  const page = await visit(t, browser, url)
  const heard = await page.evaluate(async () => {
    const { open, join, accept, connect } = await import('/sigver.js')
    const opener = await open('/', 'slow')
    let answer
    const slow = (connection) => (connection.getStats = () => new Promise((resolve) => (answer = resolve)))
    const meet = async (type, say) => {
      const here = (async () => {
        for await (const link of opener) return accept(link, { prepare: slow })
      })()
      const { channel, close } = await connect(await join('/', 'slow'))
      await say(channel)
      const heard = []
      try {
        const peer = await here
        if (type) peer.channel.binaryType = type
        await new Promise((resolve) => {
          peer.channel.onmessage = ({ data }) => heard.push(typeof data === 'string' ? data : `${data.constructor.name} ${data.byteLength ?? data.size}`) === 3 && resolve()
        })
      } catch ({ name }) {
        heard.push(name)
      }
      close()
      return heard
    }
    const speak = (channel) => {
      for (const message of ['1', new Uint8Array(3), '2']) channel.send(message)
    }
    const leave = async (channel) => {
      while (!answer) await new Promise((resolve) => setTimeout(resolve, 10))
      channel.close()
    }
    const all = [await meet(null, speak), await meet('arraybuffer', speak), await meet('blob', speak)]
    answer = null
    return [...all, await meet(null, leave)]
  })
  assert.deepEqual(heard, [['1', 'ArrayBuffer 3', '2'], ['1', 'ArrayBuffer 3', '2'], ['1', 'Blob 3', '2'], ['PEER_LEFT']])
})

for (const transport of ['websocket', 'sse']) {
  test(`an error of the one who watches is reported and stops nothing: ${transport}`, async (t) => {
    const { url } = await start(t)
    const page = await visit(t, browser, url)
    const { got, errors } = await page.evaluate(async (transport) => {
      const { join, open } = await import('/sigver.js')
      const errors = []
      addEventListener('error', (event) => {
        event.preventDefault()
        errors.push(event.error.message)
      })
      const trace = (direction) => {
        throw new Error(`mine, ${direction}`)
      }
      const opener = await open('/', 'watched', { transport, trace })
      const there = await join('/', 'watched', { transport })
      there.send('through')
      for await (const here of opener) for await (const got of here) return { got, errors }
    }, transport)
    assert.equal(got, 'through')
    assert.deepEqual(errors, ['mine, out', 'mine, in', 'mine, in'])
  })
}

test('what goes wrong on the way has a name', async (t) => {
  const { url } = await start(t)
  const page = await visit(t, browser, url)
  const other = await visit(t, browser, url)
  await page.evaluate(openPage, { key: 'wrong', transport: 'auto', options: { timeout: 1500 } })
  const fails = (options) => other.evaluate(joinPage, { key: 'wrong', say: '', options })

  // Neither finds an address that it may use.
  const nowhere = { configuration: { iceTransportPolicy: 'relay' }, timeout: 1000 }
  assert.deepEqual(await fails(nowhere), { name: 'TIMEOUT', code: 0, message: 'the other side was not connected in time' })

  // The other leaves, or is gone.
  assert.equal(
    await other.evaluate(async () => {
      const { join } = await import('/sigver.js')
      const link = await join('/', 'wrong')
      link.send('that is no offer')
      link.close()
      return link.state
    }),
    'closed',
  )
  await page.waitForFunction(() => window.failed.includes('PEER_LEFT'))
  assert.deepEqual(
    await other.evaluate(async () => {
      const { open, join, connect } = await import('/sigver.js')
      const opener = await open('/', 'leaves')
      const link = await join('/', 'leaves')
      opener.addEventListener('joining', () => opener.close()) // the offer is there, and no answer comes
      return connect(link).catch(({ name, code }) => ({ name, code }))
    }),
    { name: 'OPENER_NO_LONGER_AVAILABLE', code: 4020 },
  )

  // It is given up, before and while it is tried; nothing stays behind.
  for (const when of [0, 50]) {
    assert.deepEqual(
      await other.evaluate(async (when) => {
        const { join, connect } = await import('/sigver.js')
        const giveUp = new AbortController()
        const link = await join('/', 'wrong')
        if (when) setTimeout(() => giveUp.abort(new Error('enough')), when)
        else giveUp.abort(new Error('enough'))
        let made
        const prepare = (connection) => (made = connection)
        const options = { signal: giveUp.signal, prepare, configuration: { iceTransportPolicy: 'relay' } }
        const error = await connect(link, options).catch((error) => error.message)
        return [error, link.state, made?.connectionState ?? 'closed']
      }, when),
      ['enough', 'closed', 'closed'],
    )
  }

  // What prepare throws, and what is no description.
  assert.equal(
    await other.evaluate(async () => {
      const { join, connect } = await import('/sigver.js')
      const prepare = () => Promise.reject(new Error('no camera'))
      return connect(await join('/', 'wrong'), { prepare }).catch(({ message }) => message)
    }),
    'no camera',
  )
  await other.evaluate(async () => {
    const { join } = await import('/sigver.js')
    window.bad = await join('/', 'wrong')
    window.bad.send({ description: { type: 'offer', sdp: 'nonsense' } })
  })
  await page.waitForFunction(() => window.failed.length === 6 || window.failed.some((name) => !['TIMEOUT', 'PEER_LEFT'].includes(name)))
  assert.equal(await page.evaluate(() => window.opener.state), 'open', 'the Opener has nothing to do with that')
})

test('who listens or iterates takes nothing away from a negotiation', async (t) => {
  const { url } = await start(t)
  const page = await visit(t, browser, url)
  assert.deepEqual(
    await page.evaluate(async () => {
      const { open, join, accept, connect } = await import('/sigver.js')
      const opener = await open('/', 'iterates')
      const iterated = []
      const heard = []
      const accepted = new Promise((resolve, reject) => {
        opener.addEventListener('joining', async ({ link }) => {
          link.addEventListener('message', ({ data }) => heard.push(Object.keys(data)[0]), { once: true })
          const prepare = () => new Promise((resolve) => setTimeout(resolve, 100))
          resolve(await accept(link, { prepare }).catch(reject))
        })
      })
      const link = await join('/', 'iterates')
      const iterating = (async () => {
        for await (const data of link) iterated.push(data)
      })()
      const { channel } = await connect(link)
      await accepted
      await iterating
      return [channel.readyState, iterated, heard]
    }),
    ['open', [], ['description']],
  )
})

test('a Link goes on when the negotiation is over', async (t) => {
  const { url } = await start(t)
  const page = await visit(t, browser, url)
  assert.deepEqual(
    await page.evaluate(async () => {
      const { open, join, accept } = await import('/sigver.js')
      const opener = await open('/', 'goes on')
      const link = await join('/', 'goes on')
      const connection = new RTCPeerConnection()
      const channel = connection.createDataChannel('x')
      connection.onicecandidate = ({ candidate }) => link.send({ candidate: candidate?.toJSON() ?? null })
      await connection.setLocalDescription()
      const { type, sdp } = connection.localDescription
      link.addEventListener('message', ({ data }) => {
        if (data.description) connection.setRemoteDescription(data.description)
        else if (data.candidate) connection.addIceCandidate(data.candidate)
      })
      link.send('before it')
      link.send({ description: { type, sdp } })
      link.send({ candidate: { candidate: 'of another kind', sdpMid: 'nowhere' } }) // and is of no use
      const opened = new Promise((resolve) => (channel.onopen = resolve))
      for await (const here of opener) {
        await accept(here)
        await opened
        link.send('after it')
        const got = []
        for await (const data of here) {
          if (typeof data === 'string') got.push(data)
          if (data === 'after it') return got
        }
      }
    }),
    ['before it', 'after it'],
  )
})

test('an answer right before the other side leaves is an answer, and a second offer gets one', async (t) => {
  const { url } = await start(t)
  const page = await visit(t, browser, url)
  assert.deepEqual(
    await page.evaluate(async () => {
      const { open, join, accept, connect } = await import('/sigver.js')
      const opener = await open('/', 'leaves')
      opener.addEventListener('joining', async ({ link }) => {
        const connection = new RTCPeerConnection()
        connection.ondatachannel = ({ channel }) => (window.channel = channel)
        const gathered = new Promise((resolve) => (connection.onicecandidate = ({ candidate }) => candidate || resolve()))
        link.addEventListener('message', async ({ data }) => {
          if (!data.description) return data.candidate && connection.addIceCandidate(data.candidate)
          await connection.setRemoteDescription(data.description)
          await connection.setLocalDescription()
          await gathered
          const { type, sdp } = connection.localDescription
          link.send({ description: { type, sdp } })
          opener.close()
        })
      })
      const { channel } = await connect(await join('/', 'leaves'))

      const other = await open('/', 'offers')
      const accepted = new Promise((resolve) => {
        other.addEventListener('joining', ({ link }) => accept(link, { timeout: 3000 }).then(() => 'connected', ({ name }) => name).then(resolve))
      })
      const link = await join('/', 'offers')
      const connection = new RTCPeerConnection({ iceTransportPolicy: 'relay' })
      connection.createDataChannel('x')
      const answers = []
      let answer
      link.addEventListener('message', ({ data }) => data.description && answer(data.description))
      for (let i = 0; i < 2; i++) {
        await connection.setLocalDescription(await connection.createOffer({ iceRestart: true }))
        const { type, sdp } = connection.localDescription
        const answered = new Promise((resolve) => (answer = resolve))
        link.send({ description: { type, sdp } })
        const description = await Promise.race([answered, accepted])
        if (!description.type) return description
        await connection.setRemoteDescription(description)
        answers.push(description.type)
      }
      return [channel.readyState, ...answers]
    }),
    ['open', 'answer', 'answer'],
  )
})

test('no way between the two is ICE_FAILED, with what to do', async (t) => {
  const { url } = await start(t)
  const page = await visit(t, browser, url)
  const name = page.evaluate(async () => {
    const { open, join, connect } = await import('/sigver.js')
    const opener = await open('/', 'no way')
    const link = await join('/', 'no way')
    // Its answer leads to where nobody is any more: it goes out when all is closed.
    opener.addEventListener('joining', ({ link }) => {
      const connection = new RTCPeerConnection()
      const candidates = []
      link.addEventListener('message', async ({ data }) => {
        if (!data.description) return
        const gathered = new Promise((resolve) => {
          connection.onicecandidate = ({ candidate }) => (candidate ? candidates.push(candidate.toJSON()) : resolve())
        })
        await connection.setRemoteDescription(data.description)
        await connection.setLocalDescription()
        const { type, sdp } = connection.localDescription
        await gathered
        connection.close()
        link.send({ description: { type, sdp } })
        for (const candidate of candidates) link.send({ candidate })
        link.send({ candidate: null })
      })
    })
    return connect(link, { timeout: 60_000 }).catch((error) => `${error.name}: ${error.message}`)
  })
  assert.match(await deadline(name, () => 'the end of ICE', 60_000), /^ICE_FAILED: .*STUN.*TURN.*iceServers/)
})

test('tracks can be added before the offer', async (t) => {
  const { url } = await start(t)
  const page = await visit(t, browser, url)
  assert.deepEqual(
    await page.evaluate(async () => {
      const { open, join, accept, connect } = await import('/sigver.js')
      const opener = await open('/', 'tracks')
      const heard = new Promise((resolve) => {
        opener.addEventListener('joining', ({ link }) =>
          accept(link, { label: 'mine', prepare: (connection) => (connection.ontrack = ({ track }) => resolve(track.kind)) }),
        )
      })
      const stream = document.createElement('canvas').captureStream(1)
      const { channel } = await connect(await join('/', 'tracks'), {
        label: 'mine',
        channelOptions: { ordered: false },
        prepare: (connection) => stream.getTracks().forEach((track) => connection.addTrack(track, stream)),
      })
      return [await heard, channel.label, channel.ordered]
    }),
    ['video', 'mine', false],
  )
})
