// The page of somebody who comes by a link: it joins the key and is connected
// with its host.
import { SigverError, connect, join } from '../sigver.js'
import { Talk } from './talk.js'

export class Guest {
  #url
  #options
  #show
  #talk
  #over = new AbortController()

  constructor(url, key, options, show) {
    this.key = key
    this.#url = url
    this.#options = options
    this.#show = show
  }

  async start() {
    const { signal } = this.#over
    this.#show.signaling('connecting')
    try {
      const trace = (direction, message) => this.#show.message(direction, message, 'Host')
      const link = await join(this.#url, this.key, { ...this.#options, trace, signal })
      this.#show.signaling('open')
      this.#show.direct('trying')
      const peer = await connect(link, { signal })
      this.#talk = new Talk(peer, {
        message: (message) => this.#receive(message),
        roundTrip: (roundTrip) => this.#show.people([{ name: 'Host', roundTrip }]),
        end: () => this.#ended(),
      })
      this.#show.signaling('done')
      this.#show.direct('yes')
      this.#show.connected()
      this.#show.people([{ name: 'Host' }])
    } catch (error) {
      if (signal.aborted) return
      this.#show.signaling('closed')
      this.#show.direct('no')
      this.#show.problem(error)
    }
  }

  say(text) {
    this.#show.chat({ who: 'You', text, mine: true })
    this.#talk?.say({ text })
  }

  leave() {
    this.#over.abort()
    this.#talk?.close()
  }

  #receive({ who, text, note, you }) {
    if (typeof text === 'string') this.#show.chat({ who: String(who), text })
    else if (typeof note === 'string') this.#show.chat({ note })
    else if (typeof you === 'string') this.#show.chat({ note: `You are ${you}` })
  }

  #ended() {
    if (this.#over.signal.aborted) return
    this.#show.direct('no')
    this.#show.people([])
    this.#show.problem(new SigverError('HOST_LEFT', 'the direct connection to the host has ended'))
  }
}
