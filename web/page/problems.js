// What can go wrong, in words for people: what happened and what to do.

const again = 'again' // the same once more
const another = 'another' // a room of another name
const own = 'own' // open this room oneself

/** Title, advice and the actions to offer, for a SigverError or any other error. */
export function explainProblem(error, who) {
  const other = who ?? 'the other side'
  const problems = {
    KEY_EXISTS: [
      'This room is taken',
      'Somebody else has opened a room of this name. Make one of another name, or join theirs.',
      [another, 'join'],
    ],
    KEY_UNKNOWN: [
      'Nobody is in this room',
      'Whoever sent you the link must keep the page open. Ask them to open it again and then try again, or open the room yourself.',
      [again, own],
    ],
    KEY_TAKEN_OVER: [
      'This room went on in another tab',
      'You have opened it there, and a room can only be in one place. Close this tab, or bring the room back here.',
      [again],
    ],
    OPENER_NO_LONGER_AVAILABLE: [
      'The host left while you were being connected',
      'Their page was closed or lost its network. Try again when they are back.',
      [again],
    ],
    HOST_LEFT: [
      'The host is gone',
      'They closed their page, or one of you lost the network. Join again when they are back.',
      [again],
    ],
    PEER_LEFT: [`${capital(other)} left before you were connected`, 'Nothing to do here: they may open the link again.', []],
    ICE_FAILED: [
      `No way to ${other} was found`,
      'You are in different networks that let nothing in directly. This page uses no STUN or TURN server: try it within one network, ' +
        'or give your own application some, as configuration.iceServers.',
      [again],
    ],
    TIMEOUT: [
      'That took too long',
      who
        ? `${who} did not become connected. A firewall between you may be the reason; let them open the link again.`
        : 'The server or the other side did not answer in time. Try again, or signal over the other transport.',
      [again],
    ],
    TRY_AGAIN_LATER: ['The server is full', 'It takes no more connections at the moment. Wait a little and try again.', [again]],
    TOO_MANY_JOININGS: ['This room is full', 'Too many are joining it at once. Try again in a moment.', [again]],
    RATE_LIMITED: ['Too many messages', 'The server ended the connection, because too many messages came at once. Try again.', [again]],
    KEY_ERROR: ['This is no name for a room', 'It must have 1 to 512 characters.', [another]],
    BAD_KEY: ['This is no name for a room', 'It must have 1 to 512 characters.', [another]],
    UNSUPPORTED: ['This browser has no WebRTC', 'It may be switched off in its settings, or by an extension. Try another browser.', []],
    RECONNECTING: [
      'The server is gone',
      'This page keeps trying to reach it. Who is connected already stays connected; others cannot find you until it is back.',
      [],
    ],
  }
  const gone = [
    'The server cannot be reached',
    'It may be down, or your network may be. If other pages work, something on the way may block this kind of connection: switch to the other transport above.',
    [again],
  ]
  for (const name of ['UNREACHABLE', 'CONNECTION_LOST', 'GOING_AWAY', 'HEARTBEAT_TIMEOUT']) problems[name] = gone
  const [title, advice, actions] = problems[error.name] ?? ['Something went wrong', 'Try again.', [again]]
  return { title, advice, actions, code: `${error.name}${error.code ? ` (${error.code})` : ''}: ${error.message}` }
}

function capital(text) {
  return text[0].toUpperCase() + text.slice(1)
}
