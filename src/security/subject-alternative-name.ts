import { isIP } from 'node:net'
import { domainToASCII } from 'node:url'
import { MqttError } from '../protocol/mqtt-error'

/** One name that a server certificate is good for. */
export interface SubjectAlternativeName {
  type: 'dns' | 'ip'
  value: string
}

const dnsName = /^(\*\.)?([a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?$/

/**
 * The subjectAltName of host names and addresses, each of them once, in the order given.
 * Throws GNATMQ_OPTION_INVALID for what is neither.
 */
export function subjectAlternativeNames(hosts: readonly string[]): SubjectAlternativeName[] {
  const names = new Map<string, SubjectAlternativeName>()
  for (const host of hosts) {
    const name = subjectAlternativeName(host)
    names.set(`${name.type}:${name.value}`, name)
  }
  return [...names.values()]
}

function subjectAlternativeName(host: string): SubjectAlternativeName {
  // A zone such as %eth0 names an interface of one machine; a certificate cannot hold it.
  if (isIP(host) !== 0 && !host.includes('%')) return { type: 'ip', value: host }
  const wildcard = host.startsWith('*.')
  const ascii = domainToASCII(wildcard ? host.slice(2) : host).replace(/\.$/, '')
  const value = wildcard ? `*.${ascii}` : ascii
  // domainToASCII reads "1.2.3" as an address in an old notation.
  if (isIP(ascii) === 0 && value.length <= 253 && dnsName.test(value)) return { type: 'dns', value }
  throw new MqttError('GNATMQ_OPTION_INVALID', `"${host}" is neither a host name nor an IP address`)
}
