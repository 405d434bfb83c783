import type { Duplex } from 'node:stream'
import type { MqttError } from '../protocol/mqtt-error'
import type { Clock } from './clock'
import type { Logger } from './logger'
import type { PeerCertificate, TlsOptions, TlsSettings } from './tls'

/** Where a listener listens. */
export interface ListenerAddress {
  /** `mqtt`, `mqtts`, or a name of the listener's own. */
  protocol: string
  host: string
  port: number
}

/** The other end of a channel. */
export interface Peer {
  remoteAddress: string | undefined
  remotePort: number | undefined
  /** The name that the client asked for in its TLS handshake. */
  servername?: string | undefined
  /** The client's certificate, if it sent one. */
  certificate?: PeerCertificate | undefined
  /** The TLS version, as Node names it: `TLSv1.3`. */
  tlsVersion?: string | undefined
  /** The path of the WebSocket request, without its query. */
  path?: string | undefined
}

/** One accepted byte stream, before and after its CONNECT. */
export interface Channel {
  /** Written to, ended and destroyed by the broker; read by the broker only through `read`. */
  readonly stream: Duplex
  readonly peer: Peer
  /** `clock.now()` when the peer was let in, before any handshake. */
  readonly acceptedAt: number
  /** True when written bytes may be used again once the write is done, as with sockets: the broker then pools its buffers. */
  readonly releasesWrites: boolean
  /** Bytes that were written and that the system has not taken yet, where that is known while a write is under way. */
  readonly unsentBytes?: number | undefined
  /**
   * Starts reading. `bytes` holds `length` bytes from offset 0 and is valid only during the call, unless `isLasting` says that nobody else
   * writes to it later. Called once. What has arrived before the stream ends, closes or breaks comes before its 'end', 'close' or 'error',
   * also while paused.
   */
  read(onBytes: (bytes: Buffer, length: number, isLasting?: boolean) => void): void
  /** Stops reading until `resume`. Bytes that are already on their way may still arrive. */
  pause(): void
  resume(): void
}

/** A peer that a listener wants to serve. */
export interface WaitingPeer {
  readonly remoteAddress: string | undefined
  /** Whether the peer has gone already: it takes no place among those that wait. Left out where a listener cannot tell. */
  readonly isGone?: boolean
  /** Closes the connection: there is no room for it. Called once, and then the peer is not served. */
  drop(error: MqttError): void
}

/** What the broker hands to its listeners. */
export interface ListenerContext {
  readonly clock: Clock
  readonly logger: Logger
  /** Milliseconds from the moment when a peer is let in to its CONNECT: a handshake gets no longer than that. */
  readonly connectTimeoutMs: number
  /** Where a plain listener listens that is told no host: on all interfaces only if peers must authenticate. */
  readonly plainHost: 'loopback' | 'all'
  /**
   * Whether a peer without TLS that has come to this address of the machine may connect: beyond the loopback interface only where
   * clients authenticate, or `allowAnonymous` is set. Ask for each peer of a server that may listen anywhere; undefined is a socket of
   * the file system, which no network reaches.
   */
  mayConnectTo(localAddress: string | undefined): boolean
  /** Fills what a listener's TLS options leave open from the broker's, and checks the whole. Throws MqttError. */
  resolveTls(options: TlsOptions): TlsSettings
  /**
   * Calls `open`, which begins to serve a peer, at once or in a later turn: many new peers must not starve those
   * that are connected. Addresses take turns, and those of one address are served as they came. After the listener's
   * `close` it is still called, to drop the peer. Where too many wait, `peer.drop` is called instead; a `peer` that is
   * left out waits with all others that are, and is not bounded.
   */
  admit(open: () => void, peer?: WaitingPeer): void
  /**
   * Counts a peer that is let in and no channel yet, such as one in its TLS handshake, as so many half-open connections; 1 unless
   * said. Answers a function that ends that, or undefined if there is no room: then `drop` has been called. It may be called
   * later as well, when the peer has to give way to others.
   */
  count(peer: WaitingPeer, places?: number): (() => void) | undefined
  accept(channel: Channel): void
  /** A peer that was refused before it became a channel: a failed handshake, a refused certificate. */
  refuse(error: MqttError, peer: Peer): void
}

/** A way into the broker. Implement it to bring any Duplex. */
export interface Listener {
  /** Says whether peers are authenticated or local by nature; a plain network listener is neither. */
  readonly exposure: 'plain' | 'secure' | 'local'
  /** The host that is asked for, if any. */
  readonly host: string | undefined
  /** Begins to accept. Rejects with MqttError; then nothing stays open. `context.accept` is not called before it resolves. */
  listen(context: ListenerContext): Promise<ListenerAddress>
  /** Stops to accept, and drops peers that are not yet channels. Channels stay with the broker. */
  close(): Promise<void>
  /** Serves new TLS settings to new connections. */
  updateTls?(options: TlsOptions): void
}
