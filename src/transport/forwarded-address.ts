import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import type { Peer } from '../ports/listener'

/**
 * The peer of a request that came through reverse proxies: the last address in X-Forwarded-For that is none of them. What
 * a client writes there itself stands before what the proxies add, so it is not believed.
 */
export function forwardedPeer(peer: Peer, { headers }: IncomingMessage, trusted: readonly string[]): Peer {
  if (trusted.length === 0 || !trusted.includes(plainAddress(peer.remoteAddress ?? ''))) return peer
  const given = headers['x-forwarded-for']
  const addresses = (Array.isArray(given) ? given.join(',') : (given ?? '')).split(',').map(plainAddress)
  const address = addresses.findLast((one) => !trusted.includes(one))
  // one that is no address says nothing, and neither does what stands before it
  return address === undefined || isIP(address) === 0
    ? peer
    : { ...peer, remoteAddress: address, remotePort: undefined }
}

/** An address without brackets, port, or the prefix of an IPv4 address in an IPv6 socket. */
export function plainAddress(text: string): string {
  const address = text.trim().toLowerCase()
  const [, bracketed] = /^\[([^\]]*)\](?::\d+)?$/.exec(address) ?? []
  const [, withoutPort] = /^(\d+(?:\.\d+){3}):\d+$/.exec(address) ?? []
  return (bracketed ?? withoutPort ?? address).replace(/^::ffff:(?=\d+\.)/, '')
}
