// What a web page would do, with the WebSocket that a browser has: an exchange,
// then a key that nobody knows. Prints what arrives, a line each.
const url = process.argv[2]

function connect(name, first, received) {
  const ws = new WebSocket(url)
  ws.onopen = () => ws.send(JSON.stringify(first))
  ws.onmessage = (event) => {
    const { id, ...message } = JSON.parse(event.data)
    console.log(JSON.stringify({ to: name, ...message }))
    received(ws, message, id)
  }
  ws.onerror = () => process.exit(1)
  return ws
}

connect('opener', { open: 'page' }, (opener, message, id) => {
  if (message.isKeyOk) join()
  if (message.data) opener.send(JSON.stringify({ id, data: 'answer' }))
  if (message.unavailable) {
    opener.close()
    lookForNobody()
  }
})

function join() {
  connect('joining', { join: 'page' }, (joining, message) => {
    if (message.isKeyOk) joining.send(JSON.stringify({ data: 'offer' }))
    if (message.data) joining.close()
  })
}

function lookForNobody() {
  const stranger = connect('stranger', { join: 'nobody' }, () => {})
  stranger.onclose = ({ code }) => console.log(JSON.stringify({ to: 'stranger', code }))
}
