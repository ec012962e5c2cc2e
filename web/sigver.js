// sigver's client: two that know a common key find each other through a sigver
// server, and are then connected by WebRTC. One module for browsers and Node.js,
// without dependencies. What the server says and expects is in docs/PROTOCOL.md.
//
//   Opener:   for await (const link of await open(url, key)) accept(link).then(…, …)
//   Joining:  const { channel } = await connect(await join(url, key))

const LONGEST = 512 // code points of a key or a token
const MOST_WAITING = 1000 // messages that an Opener keeps while it reconnects, and a Link until somebody takes them
const AT_ONCE = 250 // of these that it sends in one go, half of what a server lets it
const BREATH = 2500 // milliseconds from one go to the next, which a server allows as many in
const LINGER = 1000 // milliseconds for what is under way when an event stream ends

// Names of closes that come without one: those of RFC 6455 §7.4.1.
const CLOSES = {
  1000: 'NORMAL',
  1001: 'GOING_AWAY',
  1002: 'PROTOCOL_ERROR',
  1003: 'UNSUPPORTED_DATA',
  1006: 'CONNECTION_LOST',
  1007: 'INVALID_PAYLOAD',
  1008: 'SLOW_CONSUMER',
  1009: 'MESSAGE_TOO_BIG',
  1013: 'TRY_AGAIN_LATER',
}

// Closes after which the same again would only bring the same again.
const FINAL = new Set([1002, 1003, 1007, 1009, 4000, 4001, 4010, 4012, 4013, 4022, 4023])

/** What went wrong: the name and code of the server's close, or a name of this library's and code 0. */
export class SigverError extends Error {
  constructor(name, message, code = 0) {
    super(message)
    this.name = name
    this.code = code
  }
}

/** Waits under key for others to join. Resolves when the server has accepted the key. */
export async function open(url, key, options = {}) {
  const token = options.token ?? randomToken()
  check(key, 'BAD_KEY')
  check(token, 'BAD_TOKEN')
  const dialer = new Dialer(url, { open: key, token }, options)
  return new Opener(INSIDE, dialer, await dialer.first(), options.reconnect ?? true)
}

/** Joins the Opener of key. Resolves when the server has accepted the key. */
export async function join(url, key, options = {}) {
  check(key, 'BAD_KEY')
  const dialer = new Dialer(url, { join: key }, options)
  const wire = await dialer.first()
  const link = new Link(INSIDE, null, {
    transport: () => wire.transport,
    send: (data) => wire.send({ data }),
    close: () => wire.close(),
  })
  link.addEventListener('close', () => dialer.end())
  wire.listen({ // and may be at its end
    message: ({ data }) => data !== undefined && link[GIVE](data),
    close: (error) => link[END](error.code === 1000 ? null : error),
  })
  dialer.onabort(() => link.close())
  return link
}

// Who may call constructors and the members below: this module.
const INSIDE = Symbol('inside')
const GIVE = Symbol('give')
const TAKE = Symbol('take')
const END = Symbol('end')
const OVERFLOW = Symbol('overflow')

// Source is something that brings things one after the other, to event listeners
// if there are any, and else to whoever iterates. Until then they are kept. What
// somebody inside takes does not get to those who iterate.
class Source extends EventTarget {
  #type
  #event
  #takers = new Set()
  #listeners = [] // { listener, capture, once, signal }, of this type
  #kept = []
  #waiting = []
  #ended = false
  #error = null

  constructor(inside, type, event) {
    if (inside !== INSIDE) throw new TypeError('use open() and join()')
    super()
    this.#type = type
    this.#event = event
  }

  addEventListener(type, listener, options) {
    super.addEventListener(type, listener, options)
    if (type !== this.#type || !listener) return
    const { capture = options === true, once = false, signal } = Object(options)
    if (signal?.aborted) return
    if (!this.#listeners.some((l) => l.listener === listener && l.capture === capture)) {
      this.#listeners.push({ listener, capture, once, signal })
    }
    queueMicrotask(() => {
      while (this.#kept.length > 0 && this.#hasListeners()) this.#dispatch(this.#kept.shift())
    })
  }

  removeEventListener(type, listener, options) {
    super.removeEventListener(type, listener, options)
    if (type !== this.#type) return
    const { capture = options === true } = Object(options)
    this.#listeners = this.#listeners.filter((l) => l.listener !== listener || l.capture !== capture)
  }

  // An EventTarget itself does not say whether anybody would hear.
  #hasListeners() {
    this.#listeners = this.#listeners.filter(({ signal }) => !signal?.aborted)
    return this.#listeners.length > 0
  }

  #dispatch(thing) {
    this.#listeners = this.#listeners.filter(({ once }) => !once)
    this.dispatchEvent(this.#event(thing))
  }

  // Whatever take says true of is taken, until the function that is returned is called.
  [TAKE](take) {
    this.#kept = this.#kept.filter((thing) => !take(thing) || this.#hasListeners())
    this.#takers.add(take)
    return () => this.#takers.delete(take)
  }

  [GIVE](thing) {
    let taken = false
    for (const take of this.#takers) taken = take(thing) || taken
    if (this.#hasListeners() && this.#kept.length === 0) this.#dispatch(thing)
    else if (this.#hasListeners()) this.#kept.push(thing)
    else if (taken) return
    else if (this.#waiting.length > 0) this.#waiting.shift().resolve({ value: thing, done: false })
    else if (this.#kept.length >= MOST_WAITING && this[OVERFLOW]) this[OVERFLOW]()
    else this.#kept.push(thing)
  }

  // The iteration ends; with an error it throws it, once.
  [END](error) {
    this.#ended = true
    const [first, ...others] = this.#waiting.splice(0)
    if (first && error) first.reject(error)
    else if (first) first.resolve({ value: undefined, done: true })
    else this.#error = error
    for (const { resolve } of others) resolve({ value: undefined, done: true })
  }

  [Symbol.asyncIterator]() {
    return {
      next: () => {
        if (this.#kept.length > 0) return Promise.resolve({ value: this.#kept.shift(), done: false })
        if (!this.#ended) return new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }))
        const error = this.#error
        this.#error = null
        return error ? Promise.reject(error) : Promise.resolve({ value: undefined, done: true })
      },
      return: () => Promise.resolve({ value: undefined, done: true }),
    }
  }
}

/** The way through the server to one other client. */
export class Link extends Source {
  #way
  #state = 'open'
  #error = null

  constructor(inside, id, way) {
    super(inside, 'message', (data) => new MessageEvent('message', { data }))
    this.id = id
    this.#way = way
  }

  get transport() {
    return this.#way.transport()
  }
  get state() {
    return this.#state
  }
  get error() {
    return this.#error
  }

  send(data) {
    if (this.#state === 'closed') throw this.#error ?? new SigverError('CLOSED', 'this link is closed')
    if (JSON.stringify(data) === undefined) throw new TypeError('data must have a JSON form')
    this.#way.send(data)
  }

  close() {
    if (this.#state === 'closed') return
    this.#way.close()
    this[END](null)
  }

  // Whoever takes nothing is not made to keep all that somebody else sends.
  [OVERFLOW]() {
    this.#way.close()
    this[END](new SigverError('UNREAD', 'too many messages came that nobody took'))
  }

  [END](error) {
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#error = error
    super[END](error)
    this.dispatchEvent(new Event('close'))
  }
}

/** Brings the link to somebody who has joined. */
export class JoiningEvent extends Event {
  constructor(link) {
    super('joining')
    this.link = link
  }
}

/** Has a key, and a Link to each that has joined it and said something. */
export class Opener extends Source {
  #dialer
  #wire
  #reconnects
  #state = 'open'
  #error = null
  #links = new Map() // by id; null is one that was closed, whose Joining may still send
  #waiting = [] // messages, while there is no connection or those before them are not sent
  #breath // the timer until more of them are sent
  #wake = () => {}

  constructor(inside, dialer, wire, reconnects) {
    super(inside, 'joining', (link) => new JoiningEvent(link))
    this.#dialer = dialer
    this.#reconnects = reconnects
    this.key = dialer.message.open
    this.token = dialer.message.token
    this.#use(wire)
    dialer.onabort(() => this.close())
  }

  get transport() {
    return this.#wire.transport
  }
  get state() {
    return this.#state
  }
  get error() {
    return this.#error
  }

  close() {
    if (this.#state === 'closed') return
    this.#wire.close()
    this.#end(null)
  }

  #use(wire) {
    this.#wire = wire
    wire.listen({
      message: (message) => this.#receive(message),
      close: (error) => this.#lost(error),
    })
    this.#flush()
  }

  // Sends what has waited, no faster than a server with its usual limits allows.
  #flush() {
    clearTimeout(this.#breath)
    if (this.#state !== 'open') return
    for (const message of this.#waiting.splice(0, AT_ONCE)) this.#wire.send(message)
    if (this.#waiting.length > 0) this.#breathe()
  }

  #breathe() {
    this.#breath = setTimeout(() => (this.#wire.idle ? this.#flush() : this.#breathe()), BREATH)
  }

  #receive({ id, data, unavailable }) {
    if (typeof id !== 'number') return
    let link = this.#links.get(id)
    if (unavailable) {
      this.#links.delete(id)
      link?.[END](null)
      return
    }
    if (link === null) return
    const isNew = !link
    if (isNew) {
      link = new Link(INSIDE, id, {
        transport: () => this.transport,
        send: (data) => this.#send({ id, data }),
        close: () => this.#links.has(id) && this.#links.set(id, null),
      })
      this.#links.set(id, link)
    }
    link[GIVE](data)
    if (isNew) this[GIVE](link)
  }

  #send(message) {
    if (this.#state === 'open' && this.#waiting.length === 0) {
      this.#wire.send(message)
    } else if (this.#waiting.length < MOST_WAITING) {
      this.#waiting.push(JSON.parse(JSON.stringify(message))) // as it is now
    } else {
      throw new SigverError('CONNECTION_LOST', 'the server was not reached, and too many messages wait for it')
    }
  }

  #lost(error) {
    if (this.#state === 'closed') return
    if (!this.#reconnects || FINAL.has(error.code)) this.#end(error)
    else this.#reconnect()
  }

  // Tries until it has the key again. Its token takes the key over if the server
  // has not noticed yet that the old connection is gone. The transport is the one
  // that has worked, as long as it reaches something.
  async #reconnect() {
    this.#become('reconnecting')
    let known = this.transport
    for (let attempt = 0; this.#state === 'reconnecting'; attempt++) {
      await this.#pause(backOff(attempt))
      if (this.#state !== 'reconnecting') return
      try {
        const wire = await this.#dialer.dial(known)
        if (this.#state !== 'reconnecting') return wire.close()
        this.#state = 'open'
        this.#use(wire) // and may lose it at once
        if (this.#wire === wire && this.#state === 'open') this.#become('open')
        return
      } catch (error) {
        if (FINAL.has(error?.code)) this.#end(error)
        if (error?.name === 'UNREACHABLE') known = undefined
      }
    }
  }

  // Waits, but not when the network is back or somebody looks again.
  #pause(milliseconds) {
    return new Promise((resolve) => {
      const page = globalThis.document
      const stop = () => {
        clearTimeout(timer)
        globalThis.removeEventListener?.('online', stop)
        page?.removeEventListener('visibilitychange', stop)
        resolve()
      }
      const timer = setTimeout(stop, milliseconds)
      globalThis.addEventListener?.('online', stop)
      page?.addEventListener('visibilitychange', stop)
      this.#wake = stop
    })
  }

  #become(state) {
    this.#state = state
    this.dispatchEvent(new Event('statechange'))
  }

  #end(error) {
    if (this.#state === 'closed') return
    this.#error = error
    this.#state = 'closed' // before what follows from it
    this.#dialer.end()
    clearTimeout(this.#breath)
    this.#wake()
    this.#become('closed')
    for (const link of this.#links.values()) link?.[END](error)
    this.#links.clear()
    this[END](error)
  }
}

// backOff is how long to wait before a further attempt, in milliseconds: longer
// each time, and at random, so that not all clients of a server that comes back
// are there at once.
function backOff(attempt) {
  return Math.random() * Math.min(250 * 2 ** attempt, 10_000)
}

// Dialer makes connections on which the server has accepted the first message.
class Dialer {
  #over = new AbortController() // of the caller's signal, or of end

  constructor(url, message, options) {
    const { transport = 'auto', timeout = 15_000, signal, trace, WebSocket = globalThis.WebSocket } = options
    if (!['auto', 'websocket', 'sse'].includes(transport)) throw new TypeError(`no such transport: ${transport}`)
    this.message = message
    this.transport = transport
    this.timeout = timeout
    this.trace = trace
    this.WebSocket = WebSocket
    this.url = { websocket: address(url, 'ws'), sse: address(url, 'http') }
    const abort = () => this.#over.abort(signal.reason)
    this.forget = () => signal?.removeEventListener('abort', abort)
    signal?.addEventListener('abort', abort)
    if (signal?.aborted) abort()
  }

  // callback is called when the caller's signal is aborted, or at the end.
  onabort(callback) {
    const { signal } = this.#over
    if (signal.aborted) callback()
    else signal.addEventListener('abort', callback)
  }

  // What is still being dialed is given up, and nothing follows.
  end() {
    this.forget()
    this.#over.abort()
  }

  // first is dial for the one who decides whether there will be anything to end.
  async first() {
    try {
      return await this.dial()
    } catch (error) {
      this.forget()
      throw error
    }
  }

  // Without a transport that has worked before, and left to choose, it takes SSE
  // if there is no WebSocket to be had.
  async dial(known) {
    const transport = known ?? this.transport
    if (transport !== 'auto') return this.#attempt(transport, this.timeout, this.timeout)
    const begun = Date.now()
    try {
      if (!this.WebSocket) throw unreachable()
      return await this.#attempt('websocket', this.timeout / 3, this.timeout)
    } catch (error) {
      if (error.name !== 'UNREACHABLE') throw error
    }
    const left = this.timeout - (Date.now() - begun)
    return this.#attempt('sse', left, left)
  }

  // Resolves with a Wire. UNREACHABLE means that there was not even a connection,
  // for which toOpen milliseconds are allowed.
  #attempt(transport, toOpen, toAnswer) {
    const { trace, message: first } = this
    const { signal } = this.#over
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      let opened = false
      let refused = false
      const wire = new Wire(transport, trace)
      const settle = (outcome, value) => {
        clearTimeout(opening)
        clearTimeout(answering)
        signal.removeEventListener('abort', abort)
        outcome(value)
      }
      const fail = (error) => {
        wire.close()
        settle(reject, error)
      }
      const abort = () => fail(signal.reason)
      const opening = setTimeout(() => opened || fail(unreachable()), toOpen)
      const answering = setTimeout(() => fail(new SigverError('TIMEOUT', 'the server did not answer in time')), toAnswer)
      signal.addEventListener('abort', abort)
      wire.start(TRANSPORTS[transport], this, {
        open: () => {
          opened = true
          wire.send(first)
        },
        message: ({ isKeyOk }) => {
          if (isKeyOk === true) settle(resolve, wire)
          else if (isKeyOk === false) refused = true // the close says why
        },
        close: (error) => settle(reject, opened || refused || error.code === 1013 ? error : unreachable()),
      })
    })
  }
}

function unreachable() {
  return new SigverError('UNREACHABLE', 'the server cannot be reached')
}

// Wire is one connection to the server. What comes before anybody listens is kept.
class Wire {
  #way
  #trace
  #on
  #kept = []
  #closed = false

  constructor(transport, trace) {
    this.transport = transport
    this.#trace = trace
  }

  start(connect, dialer, on) {
    this.#on = on
    try {
      this.#way = connect(dialer, {
        open: () => this.#closed || this.#on.open(),
        message: (text) => this.#receive(text),
        close: (code, reason) => this.#end(closeError(code, reason)),
      })
    } catch (error) {
      this.#end(new SigverError('UNREACHABLE', error.message))
    }
  }

  // From the acceptance on, messages are for somebody else.
  listen(on) {
    this.#on = on
    for (const message of this.#kept.splice(0)) on.message(message)
    if (this.#closed) on.close(this.#closed)
  }

  send(message) {
    if (this.#closed) return
    this.#show('out', message)
    this.#way.send(JSON.stringify(message))
  }

  // Whether all that was sent is on its way, as far as can be known here.
  get idle() {
    return this.#way.idle()
  }

  close() {
    if (this.#closed) return
    this.#closed = closeError(1000, '')
    this.#way?.close()
  }

  // An error of the one who watches is reported as a listener's is, and stops nothing.
  #show(direction, message) {
    try {
      this.#trace?.(direction, message)
    } catch (error) {
      queueMicrotask(() => {
        throw error
      })
    }
  }

  #receive(text) {
    if (this.#closed) return
    const message = parse(text)
    if (!message) {
      this.#way.close()
      return this.#end(new SigverError('PROTOCOL_ERROR', 'what answered is no sigver server', 1002))
    }
    this.#show('in', message)
    if ('isKeyOk' in message || !this.#on.open) this.#on.message(message)
    else this.#kept.push(message) // right behind the acceptance
  }

  #end(error) {
    if (this.#closed) return
    this.#closed = error
    this.#on.close(error)
  }
}

// parse returns the object that text is, if it is one.
function parse(text) {
  try {
    return Object(JSON.parse(text))
  } catch {
    return null
  }
}

// closeError reads what the server says when it closes: "NAME: what was wrong".
function closeError(code, reason) {
  const [, name, message] = /^([A-Z][A-Z_]*)(?:: (.*))?$/s.exec(reason) ?? []
  const known = name ?? CLOSES[code] ?? `CODE_${code}`
  return new SigverError(known, message ?? (code === 1006 ? 'the connection to the server was lost' : known), code)
}

// A transport connects, calls on.open, on.message(text) and in the end
// on.close(code, reason), and can send, close and say whether it is idle.
const TRANSPORTS = {
  websocket({ url, WebSocket }, on) {
    if (!WebSocket) throw new Error('there is no WebSocket here: pass the class as the option WebSocket')
    const socket = new WebSocket(url.websocket)
    socket.onopen = () => on.open()
    socket.onmessage = ({ data }) => on.message(data)
    socket.onerror = () => {} // a close follows
    socket.onclose = ({ code, reason }) => on.close(code, reason)
    return {
      send: (text) => socket.readyState === 1 && socket.send(text), // else its close is under way
      idle: () => socket.bufferedAmount === 0,
      close: () => socket.close(1000),
    }
  },

  sse({ url, timeout }, on) {
    const gone = new AbortController()
    const common = { cache: 'no-store', credentials: 'omit', signal: gone.signal }
    let token
    let posts = Promise.resolve()
    let unposted = 0
    let ended = false
    let lingering
    const end = (code, reason = '') => {
      if (ended) return
      ended = true
      clearTimeout(lingering)
      gone.abort()
      on.close(code, reason)
    }
    const events = eventParser((name, data) => {
      if (ended) return
      if (name === 'auth') {
        token = data
        on.open()
      } else if (name === 'close') {
        const { code, reason } = JSON.parse(data)
        end(code, reason)
      } else if (name === '') {
        on.message(data)
      }
    })
    const stream = async () => {
      const answer = await fetch(url.sse, { ...common, headers: { Accept: 'text/event-stream' } })
      if (answer.status === 503) return end(1013, 'TRY_AGAIN_LATER: the server is full')
      if (answer.status === 429) return end(1013, 'TRY_AGAIN_LATER: too much came from this address')
      if (!answer.ok || !answer.headers.get('Content-Type')?.startsWith('text/event-stream')) return end(1006)
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
      for (let part = await reader.read(); !part.done; part = await reader.read()) events(part.value)
      end(1006)
    }
    const post = async (text) => {
      if (gone.signal.aborted) return
      // Without an answer in time nothing that follows would get there either.
      const late = setTimeout(end, timeout, 1006)
      const answer = await fetch(url.sse, {
        ...common,
        method: 'POST',
        headers: { 'Content-Type': 'text/plain' },
        body: `${token}@${text}`,
      }).finally(() => clearTimeout(late))
      if (answer.status === 413) end(1009, 'MESSAGE_TOO_BIG: the message is over the size limit')
      else if (!answer.ok) lingering ??= setTimeout(end, LINGER, 1006) // the stream may be about to say more
    }
    const lost = () => end(1006)
    stream().catch(lost)
    return {
      // One at a time: requests can overtake each other.
      send: (text) => {
        unposted++
        posts = posts.then(() => post(text)).catch(lost).finally(() => unposted--)
      },
      idle: () => unposted === 0,
      close: () => {
        ended = true
        clearTimeout(lingering)
        // What was sent just before still goes out, if it can.
        const late = setTimeout(() => gone.abort(), LINGER)
        posts.finally(() => {
          clearTimeout(late)
          gone.abort()
        })
      },
    }
  },
}

/** Returns a function to feed an event stream to, in any pieces (HTML Living Standard §9.2.6). */
export function eventParser(dispatch) {
  let rest = ''
  let name = ''
  let data = []
  const line = (text) => {
    if (text === '') {
      if (data.length > 0) dispatch(name, data.join('\n'))
      name = ''
      data = []
      return
    }
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(text)
    if (field === 'event') name = value
    else if (field === 'data') data.push(value)
  }
  return (piece) => {
    // A carriage return at the very end may be half of a line's end.
    const lines = (rest + piece).split(/\r\n|\n|\r(?!$)/)
    rest = lines.pop()
    lines.forEach(line)
  }
}

// address is url, which may be relative to the page, as one of ws: or http:.
function address(url, scheme) {
  const absolute = new URL(url, globalThis.location?.href)
  const secure = { 'ws:': '', 'http:': '', 'wss:': 's', 'https:': 's' }[absolute.protocol]
  if (secure === undefined) throw new TypeError(`not an address of a server: ${url}`)
  absolute.protocol = scheme + secure
  absolute.hash = ''
  return absolute.href
}

function check(text, name) {
  if (typeof text === 'string' && text !== '' && [...text].length <= LONGEST && text.isWellFormed?.() !== false) return
  throw new SigverError(name, `must be a string of 1 to ${LONGEST} characters`)
}

function randomToken() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (b) => b.toString(16).padStart(2, '0')).join('')
}

/** The Joining's half of a WebRTC connection. Resolves when its data channel is open. */
export function connect(link, options) {
  return new Negotiation(link, options, true).peer
}

/** The Opener's half of a WebRTC connection. Resolves when its data channel is open. */
export function accept(link, options) {
  return new Negotiation(link, options, false).peer
}

// Negotiation is offer, answer and candidates, until there is a data channel.
class Negotiation {
  #link
  #options
  #offers
  #connection
  #unsent = [] // candidates of ours, until our description has been sent
  #early = [] // candidates of theirs, until their description is there
  #described = false // whether their description has arrived
  #over = new AbortController() // takes away what listens for the time of the negotiation

  constructor(link, options = {}, offers) {
    this.#link = link
    this.#options = options
    this.#offers = offers
    this.peer = new Promise((resolve, reject) => {
      this.#start(resolve, reject).catch((error) => this.#fail(reject, error))
    })
  }

  async #start(resolve, reject) {
    const { configuration, label, channelOptions, prepare, onstatechange, timeout = 30_000, signal } = this.#options
    signal?.throwIfAborted()
    if (!globalThis.RTCPeerConnection) throw new SigverError('UNSUPPORTED', 'there is no WebRTC here')
    const connection = new RTCPeerConnection(configuration)
    this.#connection = connection
    const during = { signal: this.#over.signal }
    const fail = (error) => this.#fail(reject, error)

    // What arrives is dealt with one after the other, from when all is prepared.
    // It is taken from now on: others may listen or iterate.
    let prepared
    let turn = new Promise((resolve) => (prepared = resolve))
    const leave = this.#link[TAKE]((data) => {
      if (!data?.description && data?.candidate === undefined) return false
      if (data.description) this.#described = true
      turn = turn.then(() => this.#receive(data)).catch(fail)
      return true
    })
    this.#over.signal.addEventListener('abort', leave)

    const timer = setTimeout(() => fail(new SigverError('TIMEOUT', 'the other side was not connected in time')), timeout)
    this.#over.signal.addEventListener('abort', () => clearTimeout(timer))
    signal?.addEventListener('abort', () => fail(signal.reason), during)

    connection.addEventListener('connectionstatechange', () => {
      onstatechange?.(connection.connectionState)
      if (connection.connectionState === 'failed') fail(iceFailed())
    })
    connection.addEventListener('icecandidate', ({ candidate }) => this.#sendCandidate(candidate?.toJSON() ?? null), during)
    const opens = (channel, opened) => {
      if (channel.readyState === 'open') opened()
      else channel.addEventListener('open', opened, during)
    }
    if (this.#offers) {
      const channel = connection.createDataChannel(label ?? 'sigver', channelOptions)
      opens(channel, () => resolve(this.#finish(channel)))
    } else {
      let found = false
      const wanted = (channel) => !found && (label === undefined || channel.label === label)
      connection.addEventListener('datachannel', ({ channel }) => {
        if (!wanted(channel)) return
        found = true
        const met = this.#keep(channel, resolve)
        channel.addEventListener('close', () => fail(peerLeft()), during)
        opens(channel, async () => {
          // Chromium says open a moment too early, once in some 80 times, and drops what is
          // sent until then. What getStats asks is where the channel then is open.
          try {
            await connection.getStats()
          } catch {}
          met()
        })
      }, during)
    }

    await prepare?.(connection)
    if (this.#over.signal.aborted) return
    const left = () => {
      // Once both have said what they are, the server is not needed any more.
      if (this.#unsent || !this.#described) fail(this.#link.error ?? peerLeft())
    }
    this.#link.addEventListener('close', left, during)
    if (this.#link.state === 'closed') left()
    prepared()
    if (this.#offers) await this.#describe()
  }

  async #describe() {
    await this.#connection.setLocalDescription()
    if (this.#over.signal.aborted) return
    const { type, sdp } = this.#connection.localDescription
    this.#send({ description: { type, sdp } })
    const unsent = this.#unsent ?? [] // it may have been described before
    this.#unsent = null
    for (const candidate of unsent) this.#send({ candidate })
  }

  #sendCandidate(candidate) {
    if (this.#unsent) this.#unsent.push(candidate)
    else this.#send({ candidate })
  }

  // Late candidates of somebody whose connection stands are no use to anybody.
  #send(data) {
    if (this.#link.state === 'open') this.#link.send(data)
  }

  async #receive({ description, candidate }) {
    if (this.#over.signal.aborted) return
    if (description) {
      await this.#connection.setRemoteDescription(description)
      if (description.type === 'offer') await this.#describe()
      for (const candidate of this.#early.splice(0)) await this.#addCandidate(candidate)
    } else if (this.#connection.remoteDescription) {
      await this.#addCandidate(candidate)
    } else {
      this.#early.push(candidate)
    }
  }

  // One that is of no use here is one way less.
  async #addCandidate(candidate) {
    await this.#connection.addIceCandidate(candidate).catch(() => {})
  }

  // What the Joining says is kept until who waits for the channel can listen to it.
  // Returns what to call when that one may have it.
  #keep(channel, resolve) {
    const kept = []
    const usual = channel.binaryType
    channel.binaryType = 'arraybuffer' // can be made what is wanted then
    const met = () => {
      if (this.#over.signal.aborted) return
      channel.binaryType = usual
      resolve(this.#finish(channel))
      setTimeout(() => {
        channel.removeEventListener('message', keep)
        for (const data of kept) {
          const wanted = channel.binaryType === 'blob' && data instanceof ArrayBuffer ? new Blob([data]) : data
          channel.dispatchEvent(new MessageEvent('message', { data: wanted }))
        }
      })
    }
    const keep = (event) => {
      event.stopImmediatePropagation()
      kept.push(event.data)
      met()
    }
    channel.addEventListener('message', keep)
    return met
  }

  #finish(channel) {
    const connection = this.#connection
    const link = this.#link
    this.#over.abort()
    if (this.#offers) link.close()
    const close = () => {
      channel.close()
      connection.close()
      link.close()
    }
    return { connection, channel, link, close }
  }

  #fail(reject, error) {
    if (this.#over.signal.aborted) return
    this.#over.abort()
    this.#connection?.close()
    this.#link.close()
    reject(error)
  }
}

function peerLeft() {
  return new SigverError('PEER_LEFT', 'the other side left before it was connected')
}

function iceFailed() {
  return new SigverError(
    'ICE_FAILED',
    'no way to the other side was found: across networks, pass STUN and TURN servers as configuration.iceServers',
  )
}
