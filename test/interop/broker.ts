import { MqttBroker, ServerCertificate, tcp, tls } from '../../src/index'
import type { ProtocolVersion } from '../../src/protocol/packet'
import { SimulatedClock } from '../../src/testing/simulated-clock'
import { TestAuthority, temporaryFile } from '../support/certificates'
import type { Target } from './foreign-clients'

export type Transport = 'TCP' | 'TLS'

/** A broker that listens on TCP and TLS, and what clients need to find it. */
export interface InteropBroker {
  broker: MqttBroker
  /** The broker's time stands still until a test moves it: delays and expiries, keep alive. */
  clock: SimulatedClock
  target(version: ProtocolVersion, transport: Transport): Target
  /** A CA that did not sign the broker's certificate. */
  otherCaFile: string
  /** Resolves when this client has as many subscriptions acknowledged. Call it before the client starts. */
  subscribed(clientId: string, count: number): Promise<void>
  /** Resolves when this client's connection has ended. Call it before it ends. */
  disconnected(clientId: string): Promise<void>
  stop(): Promise<void>
}

export async function startInteropBroker(): Promise<InteropBroker> {
  const authority = new TestAuthority('MyCARoot', { key: 'rsa' })
  const other = new TestAuthority('Other CA')
  // Only the name: 127.0.0.1 must fail the host-name check.
  const issued = authority.server('localhost', { key: 'rsa', names: 'DNS:localhost' })
  const clock = new SimulatedClock(Date.now())
  const broker = await MqttBroker.start({
    certificate: ServerCertificate.fromPem(issued),
    clock,
    listeners: [tcp({ port: 0 }), tls({ port: 0, host: '127.0.0.1' })],
  })
  const [plain, secure] = broker.addresses
  const authorityFile = temporaryFile(authority.cert)
  return {
    broker,
    clock,
    otherCaFile: temporaryFile(other.cert),
    target: (version, transport) => ({
      version,
      host: 'localhost',
      port: transport === 'TCP' ? plain!.port : secure!.port,
      caFile: transport === 'TCP' ? undefined : authorityFile,
    }),
    subscribed: (clientId, count) =>
      new Promise((resolve) => {
        let left = count
        const listener: Parameters<typeof broker.on<'subscribed'>>[1] = (client) => {
          if (client.clientId !== clientId || --left > 0) return
          broker.off('subscribed', listener)
          resolve()
        }
        broker.on('subscribed', listener)
      }),
    disconnected: (clientId) =>
      new Promise((resolve) => {
        const listener: Parameters<typeof broker.on<'clientDisconnected'>>[1] = (client) => {
          if (client.clientId !== clientId) return
          broker.off('clientDisconnected', listener)
          resolve()
        }
        broker.on('clientDisconnected', listener)
      }),
    stop: () => broker.stop(),
  }
}
