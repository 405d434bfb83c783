import { addressKey } from '../../ports/remote-address'
import { MqttError } from '../../protocol/mqtt-error'

/** Connections by remote address, so that none has more than its share. Peers without an address are not counted. */
export class AddressCounts {
  private readonly counts = new Map<string, number>()
  private readonly maximum: number

  /** `maximum` is the number of connections that one address may have; Infinity counts nothing. */
  constructor(maximum: number) {
    this.maximum = maximum
  }

  /** Why the address may not have another connection; undefined if it may. */
  refusal(remoteAddress: string | undefined): MqttError | undefined {
    const count = this.counts.get(this.key(remoteAddress) ?? '') ?? 0
    if (count < this.maximum) return undefined
    const text = `${remoteAddress} has ${count} connections, and more are not allowed`
    return new MqttError('GNATMQ_SERVER_BUSY', text)
  }

  add(remoteAddress: string | undefined): void {
    const key = this.key(remoteAddress)
    if (key !== undefined) this.counts.set(key, (this.counts.get(key) ?? 0) + 1)
  }

  remove(remoteAddress: string | undefined): void {
    const key = this.key(remoteAddress)
    if (key === undefined) return
    const left = this.counts.get(key)! - 1
    if (left === 0) this.counts.delete(key)
    else this.counts.set(key, left)
  }

  private key(remoteAddress: string | undefined): string | undefined {
    return this.maximum === Number.POSITIVE_INFINITY ? undefined : addressKey(remoteAddress)
  }
}
