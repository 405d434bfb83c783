import { isIP } from 'node:net'
import { hostname, networkInterfaces } from 'node:os'

const hostName = /^(?=.{1,64}$)[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?)*$/i

/** The names and addresses that clients may reach this machine by; `host` is the one that the broker listens on. */
export function hostNames(host: string | undefined): string[] {
  const names = ['localhost', '127.0.0.1', '::1']
  if (hostName.test(hostname()) && isIP(hostname()) === 0) names.push(hostname().toLowerCase())
  for (const addresses of Object.values(networkInterfaces())) {
    // An IPv6 address of the link alone holds on one interface, which a certificate cannot name.
    names.push(...(addresses ?? []).map(({ address }) => address).filter((address) => !/^fe80:/i.test(address)))
  }
  if (host !== undefined && !isWildcard(host)) names.push(host)
  return [...new Set(names)]
}

/** Whether a listener on this host listens on every interface. */
export const isWildcard = (host: string): boolean => host === '0.0.0.0' || host === '::'

/** Whether only clients of this machine reach a listener on this address. */
export const isLoopback = (address: string): boolean => address === '::1' || address.startsWith('127.')
