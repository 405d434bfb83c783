import type { ListenerAddress } from './listener'

/** Whether a host name or an address is of this machine alone. An IPv6 address may stand in brackets, as in URLs. */
export function isLoopback(host: string): boolean {
  const name = host.toLowerCase().replace(/^\[(.*)\]$/, '$1')
  if (name === 'localhost' || name.endsWith('.localhost') || name === '::1') return true
  return /^(::ffff:)?127(\.\d{1,3}){3}$/.test(name)
}

/** The warning about a listener that admits every client. */
export function anonymousText({ protocol, host, port }: ListenerAddress): string {
  const at = `${protocol}://${host.includes(':') ? `[${host}]` : host}:${port}`
  return `every client that reaches ${at} may connect: give an authenticate hook or ca, or allowAnonymous: true if that is meant`
}
