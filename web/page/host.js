// The page of whoever makes the room: it opens the key, is connected with each
// guest, and passes on what they write to each other.
import { accept, open } from '../sigver.js'
import { Talk } from './talk.js'

export class Host {
  #url
  #options
  #show
  #over = new AbortController()
  #signaling = null // the AbortController of the present connection to the server
  #names = new Map() // of guests, by their id at the server
  #guests = new Map() // name -> { talk, roundTrip }
  #trying = 0 // guests that are being connected

  constructor(url, key, options, show) {
    this.key = key
    this.#url = url
    this.#options = options
    this.#show = show
  }

  async start() {
    this.#show.signaling('connecting')
    this.#signaling = new AbortController()
    const { signal } = this.#signaling
    const trace = (direction, message) => this.#show.message(direction, message, this.#nameOf(message.id))
    try {
      const opener = await open(this.#url, this.key, { ...this.#options, trace, signal })
      this.#show.signaling('open')
      opener.addEventListener('statechange', () => signal.aborted || this.#show.signaling(opener.state))
      for await (const link of opener) this.#welcome(link)
    } catch (error) {
      if (signal.aborted) return
      this.#show.signaling('closed')
      this.#show.problem(error)
    }
  }

  say(text) {
    this.#show.chat({ who: 'You', text, mine: true })
    this.#tell({ who: 'Host', text })
  }

  /** Goes on over another transport, with the same room and the same guests. */
  use(transport) {
    this.#options = { ...this.#options, transport }
    this.#signaling.abort()
    this.start()
  }

  leave() {
    this.#over.abort()
    this.#signaling.abort()
    for (const { talk } of this.#guests.values()) talk.close()
  }

  #nameOf(id) {
    if (id === undefined) return undefined
    if (!this.#names.has(id)) this.#names.set(id, `Guest ${this.#names.size + 1}`)
    return this.#names.get(id)
  }

  async #welcome(link) {
    const name = this.#nameOf(link.id)
    const { signal } = this.#over
    this.#trying++
    this.#count()
    try {
      const peer = await accept(link, { signal })
      link.close() // all else goes directly
      const guest = {}
      guest.talk = new Talk(peer, {
        message: ({ text }) => typeof text === 'string' && this.#said(name, text),
        roundTrip: (time) => {
          guest.roundTrip = time
          this.#count()
        },
        end: () => {
          this.#guests.delete(name)
          this.#count()
          this.#note(`${name} has left`)
        },
      })
      guest.talk.say({ you: name })
      this.#note(`${name} is here`)
      this.#guests.set(name, guest)
      this.#show.connected()
    } catch (error) {
      if (!signal.aborted) this.#show.problem(error, name)
    }
    this.#trying--
    this.#count()
  }

  #count() {
    if (this.#over.signal.aborted) return
    const people = Array.from(this.#guests, ([name, { roundTrip }]) => ({ name, roundTrip }))
    this.#show.direct(people.length > 0 ? 'yes' : this.#trying > 0 ? 'trying' : 'no')
    this.#show.people(people)
  }

  #said(who, text) {
    this.#show.chat({ who, text })
    this.#tell({ who, text }, who)
  }

  #note(note) {
    if (this.#over.signal.aborted) return
    this.#show.chat({ note })
    this.#tell({ note })
  }

  #tell(message, except) {
    for (const [name, { talk }] of this.#guests) if (name !== except) talk.say(message)
  }
}
