import { execFileSync } from 'node:child_process'
import type { ProtocolVersion, QoS } from '../../src/protocol/packet'

/** What the interoperability tests want of a client that others have written. */
export interface ForeignClients {
  name: string
  /** Why these clients cannot run on this machine; undefined when they can. */
  missing: string | undefined
  /** Resolves once the client has ended with success. */
  publish(target: Target, message: Publication): Promise<void>
  /** Begins to connect and subscribe; the broker's own events tell when it is done. */
  subscribe(target: Target, options: SubscriberOptions): Subscriber
}

/** Where a client connects, and in which version. */
export interface Target {
  version: ProtocolVersion
  host: string
  port: number
  /** A file with the CA to trust: then it is TLS, with the host name checked. */
  caFile: string | undefined
}

export interface Publication {
  topic: string
  payload: string
  qos: QoS
  retain?: boolean
  clientId?: string
}

export interface SubscriberOptions {
  filters: string[]
  qos: QoS
  clientId: string
  /** Default: a session that ends with its connection. */
  persistent?: boolean
  will?: Publication
  /** Ends with DISCONNECT as soon as its filters are acknowledged. Default: stays until it is killed. */
  leaves?: boolean
}

/** A message as the client reports it. */
export interface Received {
  topic: string
  payload: string
  qos: number
  retain: boolean
}

export interface Subscriber {
  readonly received: Received[]
  /** Ends the network connection without DISCONNECT. */
  kill(): Promise<void>
}

/** Why a command cannot be run; undefined when it can. */
export function missingCommand(command: string, ...probe: string[]): string | undefined {
  try {
    execFileSync(command, probe, { stdio: 'ignore' })
    return undefined
  } catch (error) {
    // mosquitto's clients end their --help with status 1
    if ((error as { code?: string }).code !== 'ENOENT' && probe[0] === '--help') return undefined
    return `${command} ${probe.join(' ')} does not work on this machine`
  }
}

/**
 * What to put before a suite whose clients may be missing: says so, and skips. In CI nothing is skipped: the suite
 * runs, and fails.
 */
export function skipped(name: string, missing: string | undefined): boolean {
  if (missing === undefined || process.env.CI === 'true') return false
  console.warn(`skipped, ${name}: ${missing}`)
  return true
}

export const versionName = { 3: 'MQTT 3.1', 4: 'MQTT 3.1.1', 5: 'MQTT 5.0' } as const
