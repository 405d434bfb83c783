import { isIP } from 'node:net'

const GROUPS = 8
/** Groups of an IPv6 address that name the network: a single customer usually gets at least a /64. */
const NETWORK_GROUPS = 4

/**
 * The key that limits by address count under: an IPv4 address as it is, also where a socket for both versions shows it as
 * `::ffff:a.b.c.d`, and an IPv6 address by its /64 network. What is no address, such as the path of a Unix socket, stays
 * as it is; undefined stays undefined.
 */
export function addressKey(remoteAddress: string | undefined): string | undefined {
  // without a colon it is no IPv6 address
  if (remoteAddress === undefined || !remoteAddress.includes(':')) return remoteAddress
  const zone = remoteAddress.indexOf('%')
  const address = zone < 0 ? remoteAddress : remoteAddress.slice(0, zone)
  if (isIP(address) !== 6) return remoteAddress
  const groups = groupsOf(address)
  if (isMappedIPv4(groups)) return [groups[6]! >> 8, groups[6]! & 255, groups[7]! >> 8, groups[7]! & 255].join('.')
  const network = groups.slice(0, NETWORK_GROUPS).map((group) => group.toString(16))
  return `${network.join(':')}::/64`
}

/** `::ffff:0:0/96` (RFC 4291 section 2.5.5.2). */
function isMappedIPv4(groups: readonly number[]): boolean {
  return groups[5] === 0xffff && groups.slice(0, 5).every((group) => group === 0)
}

/** The eight groups of a valid IPv6 address. */
function groupsOf(address: string): number[] {
  const [head = '', tail] = address.split('::')
  const front = groupsOfPart(head)
  if (tail === undefined) return front
  const back = groupsOfPart(tail)
  return [...front, ...new Array<number>(GROUPS - front.length - back.length).fill(0), ...back]
}

function groupsOfPart(part: string): number[] {
  if (part === '') return []
  return part.split(':').flatMap((group) => {
    if (!group.includes('.')) return [Number.parseInt(group, 16)]
    const [a = 0, b = 0, c = 0, d = 0] = group.split('.').map(Number)
    return [(a << 8) | b, (c << 8) | d]
  })
}
