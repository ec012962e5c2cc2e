// A process that uses the library and then has nothing left to do: it must end
// by itself. Run with the address of the server and the transport.
import WebSocket from 'ws'
import { join, open } from '../web/sigver.js'

const [url, transport] = process.argv.slice(2)
const options = { transport, WebSocket }

const opener = await open(url, 'ends', options)
const there = await join(url, 'ends', options)
there.send(1)
for await (const link of opener) {
  link.send(2)
  break
}
for await (const data of there) {
  if (data !== 2) throw new Error(`got ${data}`)
  break
}
there.close()
opener.close()
console.log('done')
