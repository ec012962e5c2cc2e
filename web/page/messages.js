// The list of signaling messages as they pass, each with what it means.

const MOST = 300 // entries kept

export class Messages {
  #list
  #changed
  #asked = '' // what the last question to the server was: open or join

  /** changed(count) is called when entries come or go. */
  constructor(list, changed) {
    this.#list = list
    this.#changed = changed
  }

  /** A message, in or out; other is the name of the client that it is to or from. */
  add(direction, message, other) {
    const text = JSON.stringify(message)
    if (direction === 'out') this.#asked = ['open', 'join'].find((name) => name in message) ?? this.#asked
    const shown = 'token' in message ? { ...message, token: '(secret)' } : message
    const entry = element('details', {}, [
      element('summary', {}, [
        element('span', { className: 'arrow', textContent: direction === 'out' ? '↑' : '↓', title: direction === 'out' ? 'to the server' : 'from the server' }),
        element('span', { className: 'meaning', textContent: meaning(direction, message, other, this.#asked) }),
        element('span', { className: 'bytes', textContent: `${new TextEncoder().encode(text).length} B` }),
      ]),
      element('pre', { tabIndex: 0, textContent: JSON.stringify(shown, null, 2).replaceAll('\\r\\n', '\n') }),
    ])
    this.#append(element('li', { className: direction }, [entry]))
  }

  /** Something else that is worth knowing between the messages. */
  note(text) {
    this.#append(
      element('li', {}, [
        element('div', { className: 'note' }, [
          element('span', { className: 'arrow', textContent: '·' }),
          element('span', { textContent: text }),
        ]),
      ]),
    )
  }

  clear() {
    this.#list.replaceChildren()
    this.#changed(0)
  }

  #append(entry) {
    const list = this.#list
    const following = list.scrollHeight - list.scrollTop - list.clientHeight < 40
    list.append(entry)
    while (list.childElementCount > MOST) list.firstElementChild.remove()
    this.#changed(list.childElementCount)
    if (following) list.scrollTop = list.scrollHeight
  }
}

// What a message of the protocol means, in a sentence.
function meaning(direction, message, other, asked) {
  const { data } = message
  const mine = direction === 'out'
  if ('open' in message) return `May I wait under the key “${message.open}”?`
  if ('join' in message) return `May I join whoever waits under “${message.join}”?`
  if (message.isKeyOk === true) return asked === 'open' ? 'Yes, the key is yours.' : 'Yes, somebody does.'
  if (message.isKeyOk === false) return 'No.' // the close that follows says why
  if (message.unavailable) return `${other} is not at the server any more.`
  const whose = mine ? `to ${other}` : `from ${other}`
  if (data?.description?.type === 'offer') return `Offer ${whose}: a connection with these abilities and this fingerprint.`
  if (data?.description?.type === 'answer') return `Answer ${whose}: agreed, and this is the fingerprint here.`
  if (data?.candidate) return `Candidate ${whose}: perhaps reachable at ${place(data.candidate.candidate)}.`
  if (data?.candidate === null) return `No further candidates ${whose}.`
  return `Data ${whose}.`
}

// place is the address in a candidate-attribute (RFC 8839 §5.1).
function place(candidate) {
  const [, , protocol, , address, port, , type] = String(candidate ?? '').split(' ')
  if (!address) return 'nowhere else'
  const kinds = { host: 'its own', srflx: 'seen by a STUN server', prflx: 'seen by the peer', relay: 'of a TURN server' }
  const shown = address.endsWith('.local') ? 'a hidden local address' : `${address.includes(':') ? `[${address}]` : address}:${port}`
  return `${shown}, ${protocol.toUpperCase()}, ${kinds[type] ?? type}`
}

function element(name, properties, children = []) {
  const made = Object.assign(document.createElement(name), properties)
  made.append(...children)
  return made
}
