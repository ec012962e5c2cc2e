// Types of sigver.js.

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json | undefined }

export type Transport = 'websocket' | 'sse'

export interface SignalingOptions {
  /**
   * How to talk to the server. 'auto', the default, is WebSocket, and Server-Sent Events where no
   * WebSocket gets through.
   */
  transport?: 'auto' | Transport
  /** Milliseconds until the server must have answered. Default 15000. */
  timeout?: number
  /** Ends everything: what is still waited for is rejected with its reason, what is open is closed. */
  signal?: AbortSignal
  /** Sees every message to and from the server, tokens included, which are secrets. */
  trace?: (direction: 'in' | 'out', message: Json) => void
  /** The class to use. Default `globalThis.WebSocket`; Node.js has none before version 22. */
  WebSocket?: new (url: string) => object
}

export interface OpenOptions extends SignalingOptions {
  /**
   * The right to take the key over from an older connection: 1 to 512 characters that nobody else
   * knows. Default: 128 random bits.
   */
  token?: string
  /**
   * Whether to come back after the connection is lost, until it succeeds, with growing random pauses
   * of at most 10 seconds. Default true.
   */
  reconnect?: boolean
}

/**
 * Waits under a key for others to join.
 *
 * @param url of the server: ws:, wss:, http: or https:, or relative to the page.
 * @param key 1 to 512 characters.
 * @returns when the server has accepted the key.
 * @throws SigverError: KEY_EXISTS, BAD_KEY, BAD_TOKEN, UNREACHABLE, TIMEOUT, or another close of the server.
 */
export function open(url: string | URL, key: string, options?: OpenOptions): Promise<Opener>

/**
 * Joins the Opener of a key, which hears of it with the first message.
 *
 * @returns when the server has accepted the key.
 * @throws SigverError: KEY_UNKNOWN, TOO_MANY_JOININGS, BAD_KEY, UNREACHABLE, TIMEOUT, or another close of the server.
 */
export function join(url: string | URL, key: string, options?: SignalingOptions): Promise<Link>

type Listener<T, E> = ((this: T, event: E) => void) | { handleEvent(event: E): void } | null

/**
 * Has a key. Iterate it, or listen to `joining`, to get a Link to each that has joined and sent its
 * first message; those that come earlier are kept. The iteration ends with `close()`, and throws
 * what else has ended it.
 */
export class Opener extends EventTarget implements AsyncIterable<Link> {
  private constructor()
  readonly key: string
  /** Gives `open()` the right to take the key over. */
  readonly token: string
  /** Of the present connection, or the last one. */
  readonly transport: Transport
  readonly state: 'open' | 'reconnecting' | 'closed'
  /** Why it is closed, if nobody closed or aborted it. */
  readonly error: SigverError | null
  /** Gives the key back, and closes all its Links. */
  close(): void
  [Symbol.asyncIterator](): AsyncIterator<Link>
  addEventListener(type: 'joining', listener: Listener<this, JoiningEvent>, options?: boolean | AddEventListenerOptions): void
  addEventListener(type: 'statechange', listener: Listener<this, Event>, options?: boolean | AddEventListenerOptions): void
  removeEventListener(type: 'joining', listener: Listener<this, JoiningEvent>, options?: boolean | EventListenerOptions): void
  removeEventListener(type: 'statechange', listener: Listener<this, Event>, options?: boolean | EventListenerOptions): void
}

/** Somebody has joined and sent a first message. */
export class JoiningEvent extends Event {
  constructor(link: Link)
  readonly link: Link
}

/**
 * The way through the server to one other client. Iterate it, or listen to `message`, to get what
 * that one sends; what comes earlier is kept, up to 1000 messages, with one more of which the Link is
 * closed: UNREAD. Descriptions and candidates do not come to who iterates while `connect` or `accept` is
 * at work with them. The iteration ends when the Link is closed or the other side has left, and throws
 * what else has ended it.
 */
export class Link extends EventTarget implements AsyncIterable<Json> {
  private constructor()
  /** The Joining's number at its Opener; null at the Joining. */
  readonly id: number | null
  readonly transport: Transport
  readonly state: 'open' | 'closed'
  /** Why it is closed, if nobody closed or aborted it and the other side did not just leave. */
  readonly error: SigverError | null
  /**
   * Sends data to the other side, in order. There is no receipt. While an Opener reconnects, up to
   * 1000 messages wait, and then go out by and by, as the server's usual limits of the rate allow.
   * A Joining that has left meanwhile is noticed when something is sent to it.
   *
   * @param data whatever JSON.stringify takes.
   * @throws SigverError: CLOSED or what has closed the Link, CONNECTION_LOST if too many messages wait.
   * @throws TypeError if data has no JSON form.
   */
  send(data: unknown): void
  /** Ends a Joining's connection, after what was sent before. An Opener hears no more of the Joining. */
  close(): void
  [Symbol.asyncIterator](): AsyncIterator<Json>
  addEventListener(type: 'message', listener: Listener<this, MessageEvent<Json>>, options?: boolean | AddEventListenerOptions): void
  addEventListener(type: 'close', listener: Listener<this, Event>, options?: boolean | AddEventListenerOptions): void
  removeEventListener(type: 'message', listener: Listener<this, MessageEvent<Json>>, options?: boolean | EventListenerOptions): void
  removeEventListener(type: 'close', listener: Listener<this, Event>, options?: boolean | EventListenerOptions): void
}

export interface PeerOptions {
  /** Of the RTCPeerConnection. Default: no STUN or TURN server, which does within one network. */
  configuration?: RTCConfiguration
  /** Of the data channel. A Joining's default is 'sigver'; an Opener's is whatever comes first. */
  label?: string
  /** How the Joining makes the data channel. */
  channelOptions?: RTCDataChannelInit
  /** Adds tracks or listeners before there is an offer or an answer. */
  prepare?: (connection: RTCPeerConnection) => void | Promise<void>
  /** Hears of every state of the connection, also later on. */
  onstatechange?: (state: RTCPeerConnectionState) => void
  /** Milliseconds until the data channel must be open. Default 30000. */
  timeout?: number
  /** Gives up while the data channel is not open yet. */
  signal?: AbortSignal
}

/** A connection to the other side that needs no server any more. */
export interface Peer {
  readonly connection: RTCPeerConnection
  readonly channel: RTCDataChannel
  readonly link: Link
  /** Closes all three. */
  close(): void
}

/**
 * The Joining's half: makes the offer. The Link is closed as soon as the data channel is open, and
 * when it fails.
 *
 * @returns when the data channel is open.
 * @throws SigverError: ICE_FAILED, TIMEOUT, PEER_LEFT, UNSUPPORTED, or what has closed the Link.
 */
export function connect(link: Link, options?: PeerOptions): Promise<Peer>

/**
 * The Opener's half: answers the offer. The Link stays open for what else there is to say through the
 * server, and is closed when it fails. Otherwise like `connect`.
 */
export function accept(link: Link, options?: PeerOptions): Promise<Peer>

/**
 * What went wrong: name and code of the server's close, such as KEY_EXISTS and 4010. With code 0 it
 * is one of this library's own: UNREACHABLE, TIMEOUT, ICE_FAILED, PEER_LEFT, UNSUPPORTED, CLOSED,
 * UNREAD, CONNECTION_LOST, BAD_KEY, BAD_TOKEN.
 */
export class SigverError extends Error {
  constructor(name: string, message: string, code?: number)
  readonly code: number
}

/** Reads an event stream (HTML Living Standard §9.2.6) from pieces that are cut anywhere. */
export function eventParser(dispatch: (name: string, data: string) => void): (piece: string) => void
