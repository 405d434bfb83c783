import { MqttError } from '../protocol/mqtt-error'
import type { Listener, ListenerAddress } from './listener'

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

/** Secure by default: a plain listener beyond the loopback interface needs authentication. Throws GNATMQ_ANONYMOUS_LISTENER. */
export function checkExposure({ exposure, host }: Listener): void {
  if (exposure !== 'plain' || host === undefined || isLoopback(host)) return
  const text = `a plain listener on ${host} would admit every client: give an authenticate hook, or allowAnonymous: true`
  throw new MqttError('GNATMQ_ANONYMOUS_LISTENER', text)
}

/** The same for listeners that are open already, when authentication is taken away. */
export function checkStillGuarded(addresses: readonly ListenerAddress[]): void {
  const open = addresses.find(({ protocol, host }) => (protocol === 'mqtt' || protocol === 'ws') && !isLoopback(host))
  if (open === undefined) return
  const text = `without userAuth the plain listener on ${open.host} would admit every client: stop the broker first`
  throw new MqttError('GNATMQ_ANONYMOUS_LISTENER', text)
}
