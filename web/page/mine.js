// Which rooms this tab has made: the token of each. With it a reload takes its
// room over. Where nothing may be stored it is kept until then.

const kept = new Map()

/** The token of a room, or null if this tab has not made it. */
export function token(key) {
  try {
    return sessionStorage.getItem(name(key))
  } catch {
    return kept.get(key) ?? null
  }
}

/** Makes a room this tab's own. */
export function make(key) {
  const bytes = crypto.getRandomValues(new Uint8Array(16))
  const secret = Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('')
  try {
    sessionStorage.setItem(name(key), secret)
  } catch {
    kept.set(key, secret)
  }
}

/** Makes a room nobody's. */
export function forget(key) {
  kept.delete(key)
  try {
    sessionStorage.removeItem(name(key))
  } catch {
    // nor could it be stored
  }
}

function name(key) {
  return `room ${key}`
}
