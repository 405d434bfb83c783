import type { ClusterEngine, ClusterMember, EngineEvents, JoiningNode } from '../../ports/cluster'
import { givenInteger } from '../../ports/given-values'
import { type Logger, silentLogger } from '../../ports/logger'
import { MqttError } from '../../protocol/mqtt-error'
import { prefixOf } from './namespace'
import { NewsReader } from './news-reader'
import { type Connect, connectLike, type RedisClient } from './redis-client'
import { redisFailed, unreachable } from './redis-error'
import { RedisLink } from './redis-link'
import { RedisMember } from './redis-member'
import { listOf, numberOf, textOf, timeOf } from './reply'
import { Script } from './script'
import { joinScript } from './scripts/joining'
import { checkServer } from './server-settings'
import { WriteLine } from './write-line'

export interface RedisEngineOptions {
  /** A client of ioredis, iovalkey or redis. It is duplicated for three connections, and stays the caller's. */
  readonly client: RedisClient
  /** What the keys of these nodes begin with: letters, digits and . _ - : */
  readonly namespace: string
  readonly logger?: Logger | undefined
  /** How many replicas have to have a change before it counts as done. Default: 0. */
  readonly waitReplicas?: number | undefined
}

/** More than Redis is run with. */
export const MOST_REPLICAS = 100

interface Links {
  readonly calls: RedisLink
  readonly news: RedisLink
  readonly channel: RedisLink
}

/** Several nodes on one Redis or Valkey. */
export class RedisEngine implements ClusterEngine {
  private readonly connect: Connect
  private readonly prefix: string
  private readonly logger: Logger
  private readonly replicas: number
  private readonly script = new Script(joinScript)

  /** Throws GNATMQ_OPTION_INVALID. */
  constructor({ client, namespace, logger, waitReplicas = 0 }: RedisEngineOptions) {
    this.connect = connectLike(client)
    this.prefix = prefixOf(namespace)
    this.logger = logger ?? silentLogger
    this.replicas = givenInteger('waitReplicas', waitReplicas, 0, MOST_REPLICAS)
  }

  async join(node: JoiningNode, events: EngineEvents): Promise<ClusterMember> {
    const links = this.links(events)
    try {
      await Promise.all(Object.values(links).map((link: RedisLink) => link.open()))
      await checkServer(links.calls, this.logger)
      const { epoch, joinedAt } = await this.ask(links.calls, node)
      await links.channel.subscribe(`${this.prefix}c:${epoch}`, (message) => hear(events, message))
      return this.member(links, epoch, joinedAt)
    } catch (error) {
      disconnect(links)
      throw error instanceof MqttError ? error : unreachable(error)
    }
  }

  private links(events: EngineEvents): Links {
    const silent = { unavailable: () => undefined, available: () => undefined }
    const [calls, news, channel] = [events, silent, silent].map((one) => new RedisLink(this.connect, one))
    return { calls: calls!, news: news!, channel: channel! }
  }

  private async ask(link: RedisLink, node: JoiningNode): Promise<{ epoch: number; joinedAt: number }> {
    const { nodeId, description, format, leaseMs } = node
    const record = JSON.stringify({ nodeId, description, format })
    const args = [this.prefix, nodeId, record, String(format), String(leaseMs)]
    const [outcome, ...rest] = listOf(await link.run(this.script, [`${this.prefix}nodes`], args))
    const words = rest.map((word) => textOf(word))
    switch (textOf(outcome)) {
      case 'joined':
        return { epoch: numberOf(rest[0]), joinedAt: timeOf(rest[1]) }
      case 'node':
        throw new MqttError(
          'GNATMQ_CLUSTER_NODE_ID',
          `another node has the nodeId "${nodeId}": name each node differently, or wait until the lease of the former one is over`,
        )
      case 'format':
        throw new MqttError(
          'GNATMQ_CLUSTER_FORMAT',
          `this node has format ${format}, and the node "${words[0]}" has format ${words[1]}: they cannot understand each other`,
        )
      case 'store':
        throw redisFailed(`the namespace is in use by the store of ${words[0]}: stop that broker first`)
      default:
        throw foreignKey(this.prefix, words)
    }
  }

  private member(links: Links, epoch: number, joinedAt: number): RedisMember {
    const { prefix, replicas } = this
    const member = new RedisMember({
      prefix,
      epoch,
      joinedAt,
      link: links.calls,
      writes: new WriteLine(links.calls, { prefix, epoch, token: String(epoch), replicas }),
      news: new NewsReader(links.news, prefix, epoch),
      disconnect: () => disconnect(links),
    })
    // what a node before has not come to
    member.sweep()
    return member
  }
}

/** Another program has a key of the namespace. */
export function foreignKey(prefix: string, [name, kind]: readonly string[]): MqttError {
  return redisFailed(
    `the key ${prefix}${name} is a ${kind} that something else has written: choose another namespace, or remove the key`,
  )
}

function disconnect(links: Links): void {
  for (const link of Object.values(links) as RedisLink[]) link.close()
}

/** The first byte says what a message is. */
function hear(events: EngineEvents, message: Buffer): void {
  const content = message.subarray(1)
  if (message[0] === 0x66) events.frame(content)
  else if (message[0] === 0x6b) events.kicked(content.toString())
  else if (message[0] === 0x72) events.released(content.toString())
}
