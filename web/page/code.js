// The few lines that it takes to do the same elsewhere.

export function openerCode(server, key) {
  return `import { open, accept } from '${server}sigver.js'

const opener = await open('${server}', ${quote(key)})
for await (const link of opener) {
  accept(link).then(({ channel }) => channel.send('hello')).catch(console.error)
}`
}

export function joiningCode(server, key) {
  return `import { join, connect } from '${server}sigver.js'

const link = await join('${server}', ${quote(key)})
const { channel } = await connect(link)
channel.onmessage = ({ data }) => console.log(data)`
}

function quote(text) {
  return `'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`
}
