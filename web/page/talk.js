// What two connected pages say to each other over the data channel: JSON
// objects, and pings that tell how long there and back takes.

const EVERY = 2000 // milliseconds between pings

export class Talk {
  #peer
  #timer
  #on

  /** on.message(object), on.roundTrip(milliseconds) and, once, on.end(). */
  constructor(peer, on) {
    this.#peer = peer
    this.#on = on
    peer.channel.addEventListener('message', ({ data }) => this.#receive(data))
    peer.channel.addEventListener('close', () => this.#end())
    peer.connection.addEventListener('connectionstatechange', () => {
      if (peer.connection.connectionState === 'failed') this.#end()
    })
    const ping = () => this.say({ ping: performance.now() })
    this.#timer = setInterval(ping, EVERY)
    ping()
  }

  say(message) {
    if (this.#peer.channel.readyState === 'open') this.#peer.channel.send(JSON.stringify(message))
  }

  close() {
    this.#end()
  }

  #receive(text) {
    if (!this.#on) return // arrived before the end, and comes after it
    let message
    try {
      message = JSON.parse(text)
    } catch {
      return // not of this page
    }
    if (typeof message?.ping === 'number') this.say({ pong: message.ping })
    else if (typeof message?.pong === 'number') this.#on.roundTrip(performance.now() - message.pong)
    else if (message) this.#on.message(message)
  }

  #end() {
    if (!this.#on) return
    const { end } = this.#on
    this.#on = null
    clearInterval(this.#timer)
    this.#peer.close()
    end()
  }
}
