// A TCP proxy before the server, whose connections a test can break.
import { once } from 'node:events'
import net from 'node:net'
import { afterwards } from './sigver.mjs'

// proxy listens on a free port of the loopback until the test t ends.
export async function proxy(t, target) {
  const made = new Proxy(new URL(target))
  afterwards(t, () => made.close())
  await once(made.listener.listen(0, '127.0.0.1'), 'listening')
  return made
}

class Proxy {
  #pairs = new Set()
  #down = false
  #plain = false

  constructor({ hostname, port, protocol }) {
    this.scheme = protocol
    this.listener = net.createServer((client) => {
      client.on('error', () => {})
      if (this.#down) return client.destroy()
      const server = net.connect(port, hostname)
      server.on('error', () => {})
      const pair = { client, server }
      this.#pairs.add(pair)
      if (this.#plain) client.once('data', (first) => /^upgrade:/im.test(first) && client.destroy())
      client.pipe(server)
      server.pipe(client)
      server.on('close', () => {
        client.destroy()
        this.#pairs.delete(pair)
      })
      client.on('close', () => pair.cut || server.destroy())
    })
  }

  get url() {
    return `${this.scheme}//127.0.0.1:${this.listener.address().port}`
  }

  // cut ends what the clients have. The server does not hear of it.
  cut() {
    for (const pair of this.#pairs) {
      pair.cut = true
      pair.client.unpipe()
      pair.client.destroy()
      pair.server.unpipe()
      pair.server.resume()
    }
  }

  // down refuses new connections, until up.
  down() {
    this.#down = true
  }
  up() {
    this.#down = false
  }

  // plain lets no WebSocket through any more.
  plain() {
    this.#plain = true
  }

  close() {
    this.listener.close()
    for (const { client, server } of this.#pairs) {
      client.destroy()
      server.destroy()
    }
  }
}
