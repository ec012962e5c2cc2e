// The comparison server on Node.js and ws: the protocol as relay/ has it, with
// the values parsed and written anew, as a server in JavaScript does.
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { WebSocketServer } from 'ws'

const MAX_MESSAGE = 64 << 10
const MAX_KEY = 512 // characters

const openers = new Map() // key -> Session

class Session {
  constructor(socket) {
    this.socket = socket
    this.key = undefined // of an Opener
    this.joinings = undefined // of an Opener: id -> Session
    this.opener = undefined // of a Joining
    this.id = 0 // of a Joining
    this.ended = false
  }

  handle(text) {
    if (this.ended) return
    let message
    try {
      message = JSON.parse(text)
    } catch {
      return this.refuse(4000, 'MESSAGE_ERROR: not JSON')
    }
    if (message === null || typeof message !== 'object') {
      return this.refuse(4000, 'MESSAGE_ERROR: not a JSON object')
    }
    const { open, key, join, id, data } = message
    const named = (open !== undefined) + (key !== undefined) + (join !== undefined)
    if (named > 1 || (named === 0 && data === undefined)) {
      this.refuse(4000, 'MESSAGE_ERROR: no known message')
    } else if (join !== undefined) {
      this.join(join, data)
    } else if (named === 1) {
      this.open(open ?? key)
    } else if (id !== undefined) {
      this.toJoining(id, data)
    } else {
      this.toOpener(data)
    }
  }

  open(key) {
    if (!this.mayBind(key)) return
    if (openers.has(key)) {
      this.send({ isKeyOk: false })
      return this.refuse(4010, 'KEY_EXISTS: the key has an Opener')
    }
    this.key = key
    this.joinings = new Map()
    openers.set(key, this)
    this.send({ isKeyOk: true })
  }

  join(key, data) {
    if (!this.mayBind(key)) return
    const opener = openers.get(key)
    if (opener === undefined) {
      this.send({ isKeyOk: false })
      return this.refuse(4011, 'KEY_UNKNOWN: nobody opened the key')
    }
    do {
      this.id = randomInt(1, 2 ** 31)
    } while (opener.joinings.has(this.id))
    this.opener = opener
    opener.joinings.set(this.id, this)
    this.send({ isKeyOk: true })
    if (data !== undefined) this.toOpener(data)
  }

  mayBind(key) {
    if (this.joinings !== undefined || this.opener !== undefined) {
      this.refuse(4013, 'ALREADY_BOUND: the connection has opened or joined a key')
    } else if (typeof key !== 'string' || key === '' || isLong(key)) {
      this.refuse(4001, 'KEY_ERROR: not a string of 1 to 512 characters')
    } else {
      return true
    }
    return false
  }

  toOpener(data) {
    if (this.opener === undefined) {
      return this.refuse(4023, 'TRANSMIT_BEFORE_JOIN: the connection is no Joining')
    }
    this.opener.send({ id: this.id, data })
  }

  toJoining(id, data) {
    if (this.joinings === undefined) {
      return this.refuse(4022, 'TRANSMIT_BEFORE_OPEN: the connection is no Opener')
    }
    const number = Number(id)
    if (!Number.isInteger(number)) {
      return this.refuse(4000, 'MESSAGE_ERROR: id is no whole number')
    }
    const joining = this.joinings.get(number)
    if (joining === undefined) {
      this.send({ id: number, unavailable: 'true' })
    } else {
      joining.send({ data })
    }
  }

  send(message) {
    if (this.ended) return
    this.socket.send(JSON.stringify(message))
  }

  refuse(code, reason) {
    this.socket.close(code, reason)
    this.gone()
  }

  gone() {
    if (this.ended) return
    this.ended = true
    if (this.joinings !== undefined) {
      openers.delete(this.key)
      for (const joining of this.joinings.values()) {
        joining.ended = true
        joining.socket.close(4020, 'OPENER_NO_LONGER_AVAILABLE: the Opener is gone')
      }
      this.joinings.clear()
    } else if (this.opener !== undefined) {
      this.opener.joinings.delete(this.id)
      this.opener.send({ id: this.id, unavailable: 'true' })
    }
  }
}

// A character outside the first plane counts once but has a length of 2.
function isLong(key) {
  return key.length > MAX_KEY && (key.length > 2 * MAX_KEY || [...key].length > MAX_KEY)
}

const { values } = parseArgs({ options: { addr: { type: 'string', default: '127.0.0.1:0' } } })
const colon = values.addr.lastIndexOf(':')
const server = new WebSocketServer({
  host: values.addr.slice(0, colon),
  port: Number(values.addr.slice(colon + 1)),
  backlog: 4096,
  clientTracking: false,
  maxPayload: MAX_MESSAGE,
  perMessageDeflate: false
})

server.on('connection', (socket) => {
  const session = new Session(socket)
  socket.on('message', (data, isBinary) => {
    if (!isBinary) session.handle(data.toString())
  })
  socket.on('close', () => session.gone())
  socket.on('error', () => {}) // a close follows
})
server.on('listening', () => {
  const { address, port } = server.address()
  console.log(`listening ws://${address}:${port}`)
})
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(0))
