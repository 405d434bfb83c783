import type { Server } from 'node:net'
import type { Peer } from '../ports/listener'

/**
 * What Node has beneath a TCP socket. It is not documented, hence every part of it is optional here, and code that uses it
 * goes the documented way where it is other than known.
 */
export interface TcpHandle {
  /** Node's note of whether the handle reads. */
  reading?: boolean
  readStart?: unknown
  readStop?: unknown
  useUserBuffer?: unknown
  /** Bytes of writes that are under way. */
  writeQueueSize?: unknown
  setNoDelay?(on: boolean): unknown
  /** Seconds. */
  setKeepAlive?(on: boolean, initialDelay: number): unknown
  getpeername?(out: { address?: string; port?: number }): unknown
  close?(): void
  /** Of a server's handle: gets a status, 0 for success, and the handle of the peer. */
  onconnection?: (this: unknown, status: number, handle?: TcpHandle) => void
}

export interface HandleOwner {
  _handle?: TcpHandle | null
}

/** Whether a socket of our own can be put on it that reads into a buffer of our own. */
export const isReadable = (handle: TcpHandle): boolean =>
  typeof handle.readStart === 'function' &&
  typeof handle.readStop === 'function' &&
  typeof handle.useUserBuffer === 'function'

/** Before another socket is put on a handle that has read. */
export function stopReading(handle: TcpHandle): void {
  if (!handle.reading) return
  handle.reading = false
  ;(handle as { readStop(): unknown }).readStop()
}

/** Bytes that were written to a socket and that the system has not taken yet. */
export function unsentBytesOf(socket: object): number | undefined {
  const size = (socket as HandleOwner)._handle?.writeQueueSize
  return typeof size === 'number' ? size : undefined
}

/** How long a connection is silent before the system asks whether the peer is still there: a peer that has lost power does not close. */
export const keepAliveSeconds = 60

/** The other end of a handle; undefined if the connection was reset: the system knows no peer of it any more. */
export function peerOfHandle(handle: TcpHandle): Peer | undefined {
  if (typeof handle.getpeername !== 'function') return nobody
  const out: { address?: string; port?: number } = {}
  if (handle.getpeername(out) !== 0) return undefined
  return { remoteAddress: out.address, remotePort: out.port }
}

/** What is known of a peer that the system tells nothing of. */
export const nobody: Peer = Object.freeze({ remoteAddress: undefined, remotePort: undefined })

/** Whether the connection of a socket was reset. Its own `remoteAddress` would not tell: once asked for, it stays. */
export function isClosed(socket: object): boolean {
  const handle = (socket as HandleOwner)._handle
  return !handle || peerOfHandle(handle) === undefined
}

/** What a server of ours sets on its sockets. */
export function setOptions(handle: TcpHandle): void {
  handle.setNoDelay?.(true)
  handle.setKeepAlive?.(true, keepAliveSeconds)
}

/**
 * Sets the same on a server that listens, where what it accepts from now on inherits it: five system calls less for each peer. Linux
 * copies the options of the socket that listens. False where they have to be set on each handle.
 */
export function setInheritedOptions(server: Server): boolean {
  const handle = (server as HandleOwner)._handle
  // under node:cluster it may be no handle of the system
  if (process.platform !== 'linux' || handle?.setNoDelay === undefined || handle.setKeepAlive === undefined)
    return false
  return handle.setNoDelay(true) === 0 && handle.setKeepAlive(true, keepAliveSeconds) === 0
}

/**
 * Has a server that listens pass on the handles of its peers, before a socket is made for them, which costs more than all else while they
 * wait; `makeSocket` makes it, and brings the server's 'connection'. What it cannot pass on becomes a 'connection' as ever.
 */
export function takeHandles(server: Server, onHandle: (handle: TcpHandle, makeSocket: () => void) => void): void {
  const listening = (server as HandleOwner)._handle
  const usual = listening?.onconnection
  if (!listening || typeof usual !== 'function') return
  listening.onconnection = function (status, handle) {
    if (status !== 0 || !handle || !isReadable(handle) || typeof handle.close !== 'function')
      usual.call(this, status, handle)
    else onHandle(handle, () => usual.call(this, 0, handle))
  }
}
