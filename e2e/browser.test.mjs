// Two pages of a real browser find each other through sigver and are connected
// by an RTCDataChannel, with nothing but what a browser has.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { launch, visit } from './browser.mjs'
import { start } from './sigver.mjs'

// openKey runs in the page of the Opener. window.told becomes true when the
// server says that the Joining has left.
function openKey(url) {
  const ws = new WebSocket(url)
  const pc = new RTCPeerConnection()
  let id
  const send = (data) => ws.send(JSON.stringify({ id, data }))
  pc.onicecandidate = (e) => e.candidate && send({ candidate: e.candidate })
  pc.ondatachannel = ({ channel }) => {
    channel.onmessage = (e) => channel.send(`pong to ${e.data}`)
  }
  ws.onopen = () => ws.send(JSON.stringify({ open: 'browser' }))
  return new Promise((resolve, reject) => {
    ws.onclose = (e) => reject(new Error(`closed: ${e.code} ${e.reason}`))
    ws.onmessage = async (e) => {
      const message = JSON.parse(e.data)
      if ('isKeyOk' in message) return resolve(message.isKeyOk)
      if (message.unavailable) return (window.told = true)
      id = message.id
      if (message.data.candidate) return pc.addIceCandidate(message.data.candidate)
      await pc.setRemoteDescription(message.data)
      await pc.setLocalDescription()
      send(pc.localDescription)
    }
  })
}

// joinKey runs in the page of the Joining and resolves with what the other page
// answers over the channel. By then the Joining has left the server.
function joinKey(url) {
  const ws = new WebSocket(url)
  const pc = new RTCPeerConnection()
  const channel = pc.createDataChannel('chat')
  const send = (data) => ws.send(JSON.stringify({ data }))
  pc.onicecandidate = (e) => e.candidate && send({ candidate: e.candidate })
  ws.onopen = () => ws.send(JSON.stringify({ join: 'browser' }))
  return new Promise((resolve, reject) => {
    setTimeout(() => reject(new Error(`no channel: ${pc.iceConnectionState}`)), 15_000)
    ws.onclose = (e) => e.code !== 1000 && reject(new Error(`closed: ${e.code} ${e.reason}`))
    ws.onmessage = async (e) => {
      const message = JSON.parse(e.data)
      if (message.isKeyOk) {
        await pc.setLocalDescription()
        send(pc.localDescription)
      } else if (message.data?.candidate) {
        await pc.addIceCandidate(message.data.candidate)
      } else if (message.data) {
        await pc.setRemoteDescription(message.data)
      }
    }
    channel.onopen = () => {
      ws.onclose = (e) => e.wasClean && e.code === 1000 && channel.send('ping')
      ws.close(1000)
    }
    channel.onmessage = (e) => resolve(e.data)
  })
}

test('two pages are connected by an RTCDataChannel', async (t) => {
  const server = await start(t)
  const browser = await launch()
  t.after(() => browser.close())
  // Browsers let pages of the same address space through, so the page is what
  // the server answers to a visit.
  const [opener, joining] = [await visit(t, browser, server.url), await visit(t, browser, server.url)]

  assert.equal(await opener.evaluate(openKey, server.url), true)
  assert.equal(await joining.evaluate(joinKey, server.url), 'pong to ping')
  await opener.waitForFunction(() => window.told)
})
