import type { Packet, QoS } from 'mqtt-packet'
import { Random } from '../model/random'
import { encode, type Version } from '../support/raw-client'

const topics = [
  'a',
  'a/b',
  '__proto__',
  'constructor/toString',
  '/',
  '//',
  'a/'.repeat(100),
  '$SYS/x',
  'slow',
  'é',
  'a/b/c',
]
const filters = [
  '#',
  '+',
  'a/#',
  'a/+',
  '+/b',
  '__proto__',
  '$share/g/#',
  '$share/h/a/+',
  '/',
  '+/'.repeat(50),
  ...topics,
]
const texts = ['', 'a', '__proto__', 'constructor', 'é😀', 'x'.repeat(300)]
const identifiers = ['', 'a', 'b', 'c', 'd', '__proto__', 'hasOwnProperty', 'é']
/** How many packets lie ready in each version. */
const READY = 3000

/** Packets of both sound and unsound kinds, in the order of a seed. */
export class PacketMixer {
  private readonly random: Random
  private readonly ready: Record<Version, Buffer[]>
  private readonly connects: Record<Version, Buffer[]>

  constructor(seed: number) {
    this.random = new Random(seed)
    const make = <T>(count: number, one: () => T): T[] => Array.from({ length: count }, one)
    this.ready = {
      3: make(READY, () => encode(this.packet(4), 3)),
      4: make(READY, () => encode(this.packet(4), 4)),
      5: make(READY, () => encode(this.packet(5), 5)),
    }
    this.connects = {
      3: make(100, () => encode(this.connect(3), 3)),
      4: make(100, () => encode(this.connect(4), 4)),
      5: make(100, () => encode(this.connect(5), 5)),
    }
  }

  /** What one connection sends, and how many packets that is. `unsound` is the probability that a packet is spoilt. */
  stream(length: number, unsound: number): { bytes: Buffer; packets: number } {
    const { random } = this
    const version = random.pick<Version>([3, 4, 5, 5])
    const parts = [this.spoil(random.pick(this.connects[version]), unsound)]
    for (let n = random.below(length); n > 0; n--) parts.push(this.spoil(random.pick(this.ready[version]), unsound))
    return { bytes: Buffer.concat(parts), packets: parts.length }
  }

  private spoil(whole: Buffer, probability: number): Buffer {
    const { random } = this
    if (!random.chance(probability)) return whole
    const bytes = Buffer.from(whole)
    const at = random.below(bytes.length)
    switch (random.below(7)) {
      case 0:
        bytes[at] = bytes[at]! ^ (1 << random.below(8))
        return bytes
      case 1:
        bytes[at] = random.pick([0, 1, 0x7f, 0x80, 0xff])
        return bytes
      case 2:
        return bytes.subarray(0, at)
      case 3:
        return Buffer.concat([bytes.subarray(0, at), bytes.subarray(random.below(bytes.length))])
      case 4:
        return Buffer.concat([bytes.subarray(0, at), Buffer.from([random.below(256)]), bytes.subarray(at)])
      case 5:
        bytes[1] = random.below(256)
        return bytes
      default:
        return Buffer.from(Array.from({ length: random.below(50) }, () => random.below(256)))
    }
  }

  private connect(version: Version): Packet {
    const { random } = this
    const v5 = version === 5
    const properties = {
      sessionExpiryInterval: random.below(3),
      receiveMaximum: 1 + random.below(20),
      maximumPacketSize: random.pick([20, 100, 100_000]),
      topicAliasMaximum: random.below(4),
      requestResponseInformation: random.chance(0.5),
      requestProblemInformation: random.chance(0.5),
      userProperties: { [random.pick(texts)]: random.pick(texts) },
    }
    const will = {
      topic: random.pick(topics),
      payload: Buffer.from(random.pick(texts)),
      qos: this.qos(),
      retain: random.chance(0.1),
    }
    return {
      cmd: 'connect',
      protocolId: version === 3 ? 'MQIsdp' : 'MQTT',
      protocolVersion: version,
      clientId: random.pick(identifiers) || 'e',
      clean: random.chance(0.5),
      keepalive: random.pick([0, 1, 65535]),
      ...(random.chance(0.3) ? { username: random.pick(texts), password: Buffer.from('p') } : {}),
      ...(random.chance(0.4)
        ? { will: v5 ? { ...will, properties: { willDelayInterval: random.below(2) } } : will }
        : {}),
      ...(v5 && random.chance(0.7) ? { properties } : {}),
    }
  }

  private packet(version: 4 | 5): Packet {
    const { random } = this
    const messageId = 1 + random.below(30)
    const kind = random.weighted({
      publish: 12,
      subscribe: 4,
      unsubscribe: 1,
      ack: 8,
      pingreq: 1,
      auth: 0.05,
      end: 0.05,
    })
    switch (kind) {
      case 'publish':
        return this.publish(version, messageId)
      case 'subscribe':
        return this.subscribe(version, messageId)
      case 'unsubscribe':
        return { cmd: 'unsubscribe', messageId, unsubscriptions: [random.pick(filters), random.pick(filters)] }
      case 'ack': {
        const cmd = random.pick(['puback', 'pubrec', 'pubrel', 'pubcomp'] as const)
        const refuses = version === 5 && random.chance(0.1) && (cmd === 'puback' || cmd === 'pubrec')
        return { cmd, messageId, ...(refuses ? { reasonCode: 0x97 } : {}) }
      }
      case 'auth':
        return version === 5 ? { cmd: 'auth', reasonCode: 0x19 } : { cmd: 'pingreq' }
      case 'end':
        return { cmd: 'disconnect' }
      default:
        return { cmd: 'pingreq' }
    }
  }

  private publish(version: 4 | 5, messageId: number): Packet {
    const { random } = this
    const qos = this.qos()
    const properties = {
      ...(random.chance(0.3) ? { topicAlias: 1 + random.below(4) } : {}),
      ...(random.chance(0.3) ? { messageExpiryInterval: random.below(2) } : {}),
      ...(random.chance(0.3)
        ? { userProperties: { ['__proto__']: 'x', [random.pick(texts)]: random.pick(texts) } }
        : {}),
      ...(random.chance(0.1) ? { payloadFormatIndicator: true } : {}),
    }
    return {
      cmd: 'publish',
      topic: random.pick(topics),
      payload: random.chance(0.01) ? Buffer.alloc(20_000) : random.pick(texts),
      qos,
      dup: qos > 0 && random.chance(0.1),
      retain: random.chance(0.05),
      ...(qos > 0 ? { messageId } : {}),
      ...(version === 5 && random.chance(0.5) ? { properties } : {}),
    }
  }

  private subscribe(version: 4 | 5, messageId: number): Packet {
    const { random } = this
    const subscriptions = Array.from({ length: 1 + random.below(3) }, () => {
      const topic = random.pick(filters)
      const options = {
        nl: random.chance(0.2) && !topic.startsWith('$share'),
        rap: random.chance(0.3),
        rh: random.below(3) as 0 | 1 | 2,
      }
      return { topic, qos: this.qos(), ...(version === 5 ? options : {}) }
    })
    const identified = version === 5 && random.chance(0.2)
    return {
      cmd: 'subscribe',
      messageId,
      subscriptions,
      ...(identified ? { properties: { subscriptionIdentifier: 7 } } : {}),
    }
  }

  private qos(): QoS {
    return this.random.below(3) as QoS
  }
}
