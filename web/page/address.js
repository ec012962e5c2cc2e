// What the address of the page says: #room=KEY&via=sse.

/** The room of this address, if any, and the transport to signal over. */
export function readAddress(address = location.href) {
  const said = new URLSearchParams(new URL(address, location.href).hash.slice(1))
  return { key: said.get('room') ?? '', via: said.get('via') === 'sse' ? 'sse' : 'websocket' }
}

/** The address of a room; without a transport it is the one to send to others. */
export function addressOf(key, via) {
  const said = new URLSearchParams()
  if (key) said.set('room', key)
  if (via === 'sse') said.set('via', via)
  const address = new URL(location.href)
  address.hash = said.toString()
  return address.href
}

/** Whether this address means another machine to each machine (RFC 6761 §6.3, RFC 1122 §3.2.1.3). */
export const isLocal = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(location.hostname)

/** The server is where the page comes from. */
export const server = new URL('.', location.href).href
