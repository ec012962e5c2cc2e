// The client of sigver, a signaling server for WebRTC.

export type Json = null | boolean | number | string | Json[] | { [name: string]: Json | undefined }

export type Transport = 'websocket' | 'sse'

/** The part of a WebSocket class that is used here. */
export type WebSocketClass = new (url: string) => {
  addEventListener(type: 'open' | 'message' | 'error' | 'close', listener: (event: any) => void): void
  send(text: string): void
  close(code: number): void
}

export interface SignalingOptions {
  /**
   * How to talk to the server. `'auto'`, the default, is WebSocket, and Server-Sent Events if a
   * WebSocket cannot be opened at all.
   */
  transport?: 'auto' | Transport
  /** Milliseconds within which the server must have answered. Default 15000. */
  timeout?: number
  /**
   * Ends everything, at any time: what waits (`open`, `join`, iterators) is rejected with
   * `signal.reason`, and the connection is closed.
   */
  signal?: AbortSignal
  /** Is called with every signaling message as it passes; with tokens, which are secrets. */
  trace?: (direction: 'in' | 'out', message: Json) => void
  /** Default `globalThis.WebSocket`. Node.js before 22 has none: pass that of the package `ws`. */
  WebSocket?: WebSocketClass
}

export interface OpenOptions extends SignalingOptions {
  /**
   * The right to take the key over from another connection, so that it is not lost with the network.
   * 1 to 512 characters that others cannot guess. Default: 128 random bits.
   */
  token?: string
  /**
   * Whether to come back when the connection is lost. Default true: as often as it takes, at
   * growing random intervals of up to 10 seconds.
   */
  reconnect?: boolean
}

/**
 * Opens a key and waits for others to join it.
 *
 * @param url of the server: `wss:`, `ws:`, `https:` or `http:`, or relative to the page.
 * @param key any string of 1 to 512 characters. Clients of one server share its keys.
 * @throws SigverError `BAD_KEY`, `BAD_TOKEN`, `UNREACHABLE`, `TIMEOUT`, `KEY_EXISTS`, or whatever
 *   else the server closes the connection with; `signal.reason`; TypeError or RangeError for options
 *   that are none.
 */
export function open(url: string | URL, key: string, options?: OpenOptions): Promise<Opener>

/**
 * Joins a key that somebody has opened. The Opener hears of it with the first message.
 *
 * @throws SigverError as `open`, and `KEY_UNKNOWN`, `TOO_MANY_JOININGS`.
 */
export function join(url: string | URL, key: string, options?: SignalingOptions): Promise<Link>

export interface OpenerEventMap {
  joining: JoiningEvent
  statechange: Event
}

/**
 * Waits for Joinings. Iterate it (`for await`) or listen to `joining` to get a Link for each; those
 * that come before you do either are kept.
 *
 * The iterator ends after `close()`, and throws what else ends the Opener: `error`, or the reason of
 * an aborted signal. To leave the loop does not close the Opener.
 */
export class Opener extends EventTarget implements AsyncIterable<Link> {
  private constructor()
  readonly key: string
  /** With it, `open()` elsewhere takes the key over. */
  readonly token: string
  /** Of the present connection, or of the last one. */
  readonly transport: Transport
  readonly state: 'open' | 'reconnecting' | 'closed'
  /** Why it is closed; null if `close()` was called, the signal was aborted, or it is not closed. */
  readonly error: SigverError | null
  /** Frees the key. The iterator ends, and every Link of it closes. */
  close(): void
  [Symbol.asyncIterator](): AsyncGenerator<Link, void, undefined>
  addEventListener<K extends keyof OpenerEventMap>(type: K, listener: (this: Opener, event: OpenerEventMap[K]) => unknown, options?: boolean | AddEventListenerOptions): void
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void
  removeEventListener<K extends keyof OpenerEventMap>(type: K, listener: (this: Opener, event: OpenerEventMap[K]) => unknown, options?: boolean | EventListenerOptions): void
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | EventListenerOptions): void
}

/** The event `joining` of an Opener: a Joining has sent its first message. */
export class JoiningEvent extends Event {
  constructor(link: Link)
  readonly link: Link
}

export interface LinkEventMap {
  message: MessageEvent<Json>
  close: Event
}

/**
 * The way to one other client through the server: for an Opener a Joining, for a Joining its Opener.
 * Iterate it (`for await`) or listen to `message`; messages that come before you do either are kept,
 * in order.
 *
 * The iterator ends when the Link ends normally, and throws what else ends it: `error`, or the reason
 * of an aborted signal. To leave the loop does not close the Link.
 */
export class Link extends EventTarget implements AsyncIterable<Json> {
  private constructor()
  /** The Joining's number at its Opener; null at the Joining's own side. */
  readonly id: number | null
  readonly transport: Transport
  readonly state: 'open' | 'closed'
  /**
   * Why it is closed, e.g. `OPENER_NO_LONGER_AVAILABLE`. Null for a normal end: `close()`, an aborted
   * signal, the Joining left.
   */
  readonly error: SigverError | null
  /**
   * Sends any JSON value to the other side. There is no receipt: what is sent shortly before the
   * Link closes may be lost. While an Opener reconnects, up to 1000 messages wait for it.
   *
   * @throws SigverError `CLOSED`, `QUEUE_FULL`; TypeError if data is no JSON value.
   */
  send(data: Json): void
  /**
   * At the Joining: closes its connection, after what was sent has gone out. At the Opener: forgets
   * the Joining, which does not hear of it.
   */
  close(): void
  [Symbol.asyncIterator](): AsyncGenerator<Json, void, undefined>
  addEventListener<K extends keyof LinkEventMap>(type: K, listener: (this: Link, event: LinkEventMap[K]) => unknown, options?: boolean | AddEventListenerOptions): void
  addEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | AddEventListenerOptions): void
  removeEventListener<K extends keyof LinkEventMap>(type: K, listener: (this: Link, event: LinkEventMap[K]) => unknown, options?: boolean | EventListenerOptions): void
  removeEventListener(type: string, listener: EventListenerOrEventListenerObject | null, options?: boolean | EventListenerOptions): void
}

export interface PeerOptions {
  /**
   * Of the RTCPeerConnection. Default `{}`: no STUN or TURN server, which is enough within one
   * network only.
   */
  configuration?: RTCConfiguration
  /**
   * Of the data channel. `connect` calls it `'sigver'` by default. `accept` takes the first channel
   * unless this names another.
   */
  label?: string
  /** Of the data channel, which `connect` makes; with `negotiated`, both sides do. */
  channelOptions?: RTCDataChannelInit
  /** To add tracks or listeners before the offer or the answer is made. */
  prepare?: (connection: RTCPeerConnection) => void | Promise<void>
  /** Is called with every new state of the connection, also after it is set up. */
  onstatechange?: (state: RTCPeerConnectionState) => void
  /** Milliseconds within which the channel must be open. Default 30000. */
  timeout?: number
  /** Gives up, if the channel is not open yet. */
  signal?: AbortSignal
}

/** What a Joining and its Opener have in the end: an open data channel. */
export interface Peer {
  readonly connection: RTCPeerConnection
  readonly channel: RTCDataChannel
  readonly link: Link
  /** Closes the channel, the connection and the Link. */
  close(): void
}

/**
 * Makes an offer over the Link of a Joining and resolves when the data channel is open. The Link is
 * closed then, since the server is not needed any more.
 *
 * @throws SigverError `TIMEOUT`, `ICE_FAILED`, `PEER_LEFT`, or what closed the Link before offer and
 *   answer were exchanged; `signal.reason`; what `prepare` throws. The RTCPeerConnection is closed
 *   then, and the Link is left as it is.
 */
export function connect(link: Link, options?: PeerOptions): Promise<Peer>

/** Answers the offer that comes over the Link of an Opener; otherwise as `connect`. */
export function accept(link: Link, options?: PeerOptions): Promise<Peer>

/**
 * What the server closed a connection with, by name: `KEY_EXISTS` 4010, `KEY_UNKNOWN` 4011,
 * `KEY_TAKEN_OVER` 4012, `OPENER_NO_LONGER_AVAILABLE` 4020, `GOING_AWAY` 1001, `MESSAGE_TOO_BIG`
 * 1009, `TRY_AGAIN_LATER` 1013, `CONNECTION_LOST` 1006 and so on. Or, with code 0, what failed on
 * this side: `UNREACHABLE`, `TIMEOUT`, `ICE_FAILED`, `PEER_LEFT`, `CLOSED`, `QUEUE_FULL`, `BAD_KEY`,
 * `BAD_TOKEN`.
 */
export class SigverError extends Error {
  constructor(name: string, message: string, options?: { code?: number; cause?: unknown })
  readonly name: string
  readonly code: number
}
