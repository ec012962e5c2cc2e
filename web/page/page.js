// The page: it reads the address, is a host or a guest accordingly, and shows
// what happens.
import { addressOf, isLocal, readAddress, server } from './address.js'
import { Guest } from './guest.js'
import { Host } from './host.js'
import { Messages } from './messages.js'
import { randomName } from './names.js'
import * as mine from './mine.js'
import { explainProblem } from './problems.js'
import { qrCode } from './qr.js'
import { joiningCode, openerCode } from './code.js'

const $ = (id) => document.getElementById(id)

let room = null
const state = { host: false, signaling: '', direct: '', people: [] }

const messages = new Messages($('messages'), (count) => {
  $('messages').hidden = $('clear').hidden = count === 0
  $('no-messages').hidden = count > 0
})

/** Shows what the address says, from the beginning. */
function arrive() {
  room?.leave()
  room = null
  hideProblem()
  const { key, via } = readAddress()
  document.querySelector(`[name=via][value=${via}]`).checked = true
  showCode(key)
  $('start').hidden = key !== ''
  $('room').hidden = key === ''
  if (key !== '') enter(key, via)
}

function enter(key, via) {
  const token = mine.token(key)
  const link = addressOf(key)
  Object.assign(state, { host: token !== null, signaling: 'connecting', direct: 'no', people: [] })
  $('room-title').textContent = key
  $('invitation').hidden = true
  $('talk').hidden = true
  $('chat').replaceChildren()
  $('link').value = $('another-tab').href = link
  const code = qrCode(link)
  $('qr').replaceChildren(code ?? '')
  $('qr').hidden = code === null
  const show = showOf(() => room === entered)
  const entered = state.host
    ? new Host(server, key, { transport: via, token }, show)
    : new Guest(server, key, { transport: via }, show)
  room = entered
  room.start()
}

// What a room calls when something happens; not any more once it has been left.
function showOf(isPresent) {
  const show = {
    signaling(now) {
      state.signaling = now
      if (now === 'reconnecting') showProblem({ name: 'RECONNECTING', message: 'trying again' })
      else if (now === 'connecting' || now === 'open') hideProblem()
      if (now === 'done') messages.note('Connected. From here on you talk directly, so this page has left the server.')
      drawState()
    },
    direct(now) {
      state.direct = now
      drawState()
    },
    // One more is connected directly. What is wrong with the server still is.
    connected() {
      if (['open', 'done'].includes(state.signaling)) hideProblem()
    },
    people(people) {
      state.people = people
      drawState()
    },
    message: (direction, message, other) => messages.add(direction, message, other),
    chat: addToChat,
    // What is wrong with the server stays in sight, whatever else there is.
    problem(error, who) {
      if (who && state.signaling !== 'open') noteProblem(explainProblem(error, who))
      else showProblem(error, who)
    },
  }
  return Object.fromEntries(Object.entries(show).map(([name, call]) => [name, (...args) => isPresent() && call(...args)]))
}

function drawState() {
  const { host, signaling, direct, people } = state
  const picture = $('picture')
  picture.dataset.signaling = { reconnecting: 'connecting', done: 'closed' }[signaling] ?? signaling
  picture.dataset.direct = direct
  const connected = people.map(({ name }) => name.toLowerCase())
  $('other-side').textContent = host ? { 0: 'nobody yet', 1: connected[0] }[connected.length] ?? `${connected.length} guests` : 'host'
  const times = people.map(({ roundTrip }) => roundTrip).filter((time) => time !== undefined)
  $('time-on-line').textContent = times.length === 1 ? `${milliseconds(times[0])} there and back` : ''
  $('status').textContent = statusText()
  $('invitation').hidden = !host || signaling === 'connecting' || signaling === 'closed'
  if (direct === 'yes') $('talk').hidden = false
  $('say').hidden = direct !== 'yes'
  $('people').replaceChildren(
    ...people.map(({ name, roundTrip }) => {
      const item = document.createElement('li')
      item.append(`${name} `)
      if (roundTrip !== undefined) {
        item.append(Object.assign(document.createElement('b'), { textContent: milliseconds(roundTrip), title: 'there and back' }))
      }
      return item
    }),
  )
}

function milliseconds(time) {
  return `${time < 10 ? time.toFixed(1) : Math.round(time)} ms`
}

function statusText() {
  const { host, signaling, direct, people } = state
  if (direct === 'yes') {
    const number = people.length || 1
    const whom = host ? `${number} ${number === 1 ? 'guest' : 'guests'}` : 'the host'
    return `Connected with ${whom}, directly.`
  }
  if (direct === 'trying') return 'Found each other. Looking for a direct way…'
  if (signaling === 'connecting') return host ? 'Asking the server for the room…' : 'Looking for the room…'
  if (signaling === 'reconnecting') return 'Trying to reach the server again…'
  if (signaling === 'open' && host) return 'Waiting for somebody to open the link.'
  return 'Not connected.'
}

function addToChat({ who, text, note, mine }) {
  const entry = document.createElement('li')
  entry.className = note ? 'note' : mine ? 'mine' : ''
  if (!note) entry.append(Object.assign(document.createElement('span'), { className: 'who', textContent: who }))
  entry.append(note ?? text)
  $('chat').append(entry)
  $('chat').scrollTop = $('chat').scrollHeight
}

function showProblem(error, who) {
  const problem = explainProblem(error, who)
  const { title, advice, actions, code } = problem
  const [heading] = $('problem').getElementsByTagName('h2')
  const [words, codeLine] = $('problem').getElementsByTagName('p')
  heading.textContent = title
  words.textContent = advice
  codeLine.textContent = code
  $('problem').querySelector('.actions').replaceChildren(...(who ? [] : actions.map(actionButton)))
  $('problem').hidden = false
  noteProblem(problem)
}

function noteProblem({ title, code }) {
  messages.note(`${title}. ${code}`)
}

function hideProblem() {
  $('problem').hidden = true
}

function actionButton(action) {
  const { key } = readAddress()
  const [text, act] = {
    again: ['Try again', signalAgain],
    another: ['Make another room', () => (mine.forget(key), makeRoom(randomName()))],
    join: ['Join theirs', () => (mine.forget(key), arrive())],
    own: ['Open it yourself', () => makeRoom(key)],
  }[action]
  const button = Object.assign(document.createElement('button'), { type: 'button', textContent: text })
  button.addEventListener('click', act)
  return button
}

// Whoever is connected directly stays so: that does not need the server.
function signalAgain() {
  if (room && state.direct === 'yes') room.use?.(via())
  else arrive()
}

function makeRoom(key) {
  mine.make(key)
  goTo(key)
}

/** Goes to a room, or with an empty key to the start. */
function goTo(key) {
  history.pushState(null, '', addressOf(key, via()))
  arrive()
}

function via() {
  return document.querySelector('[name=via]:checked').value
}

function showCode(key) {
  $('opener-code').textContent = openerCode(server, key || 'some-key')
  $('joining-code').textContent = joiningCode(server, key || 'some-key')
}

$('make').addEventListener('click', () => makeRoom(randomName()))

$('join').addEventListener('submit', (event) => {
  event.preventDefault()
  const text = $('join-key').value.trim()
  if (text === '') return
  const key = /^https?:\/\//.test(text) && URL.canParse(text) ? readAddress(text).key : text
  if (key === '') return showProblem({ name: 'BAD_KEY', message: 'this link leads to no room' })
  if (event.submitter?.value === 'open') makeRoom(key)
  else goTo(key)
})

$('leave').addEventListener('click', () => {
  mine.forget(room.key)
  goTo('')
})

$('say').addEventListener('submit', (event) => {
  event.preventDefault()
  const text = $('words').value.trim()
  if (text === '') return
  $('words').value = ''
  room.say(text)
})

$('copy').addEventListener('click', async () => {
  $('link').select()
  try {
    await navigator.clipboard.writeText($('link').value)
  } catch {
    document.execCommand('copy') // where the address is no secure one there is no clipboard
  }
  $('copy').textContent = 'Copied'
  setTimeout(() => ($('copy').textContent = 'Copy'), 2000)
})

$('clear').addEventListener('click', () => messages.clear())

$('via').addEventListener('change', () => {
  history.replaceState(null, '', addressOf(readAddress().key, via()))
  signalAgain()
})

$('only-here').hidden = !isLocal

addEventListener('hashchange', arrive)
// The other side hears at once that this one is gone.
addEventListener('pagehide', () => room?.leave())
addEventListener('pageshow', ({ persisted }) => persisted && arrive())

arrive()
