import { randomBytes } from 'node:crypto'
import type { EventEmitter } from 'eventemitter3'
import type { BrokerEvents } from '../ports/events'
import { causeText } from '../ports/given-values'
import { MqttError } from '../protocol/mqtt-error'
import { ReasonCode } from '../protocol/reason-code'
import { isTopicNameBytes } from '../protocol/topic'
import { RetainedMessages } from '../routing/retained-messages'
import { Router } from '../routing/router'
import type { Session } from '../session/session'
import { CommitJournal } from './commits/commit-journal'
import { RetainedCommits } from './commits/retained-commits'
import type { Connection } from './connection'
import type { Core } from './core'
import { DeadlineWheel } from './deadline-wheel'
import { EnhancedAuthentication } from './enhanced-authentication'
import { Gatekeeper } from './gatekeeper'
import { Handshake } from './handshake'
import { Publisher } from './publisher'
import { Restorer } from './restorer'
import { RetainedExpiry } from './retained-expiry'
import { RetainedSender } from './retained-sender'
import { SessionRegistry } from './session-registry'
import type { BrokerSettings } from './settings'
import { Subscriber } from './subscriber'
import { Turn } from './turn'
import { Wills } from './wills'

/** Routes that are kept at the most. */
const ROUTES = 1 << 17
/** How finely deadlines are looked at. */
export const TICK_MS = 100

/** Puts the parts of a broker together, for one start. */
export function createCore(settings: BrokerSettings, events: EventEmitter<BrokerEvents>): Core {
  const gatekeeper = new Gatekeeper(settings)
  const { store, clock, maximumTopicLevels } = settings
  const seed = randomBytes(4).readInt32BE()
  // a former run's sessions are gone, or come back with the store
  settings.session.budget.reset()
  const retained = new RetainedMessages()
  const turn = new Turn(settings.maximumTotalIncomingBytes)
  const parts: { -readonly [K in keyof Core]?: Core[K] } = {
    settings,
    events,
    turn,
    wheel: new DeadlineWheel(TICK_MS, clock.now()),
    router: new Router<Session>(ROUTES, maximumTopicLevels + 1, seed, (bytes, start, end) =>
      checkTopic(bytes, start, end, maximumTopicLevels),
    ),
    retained,
    connections: new Set<Connection>(),
  }
  // the parts know each other through the core, which is whole before anything uses it
  const core = parts as Core
  parts.journal = new CommitJournal(store, clock, core.router, new RetainedCommits(retained), {
    refused: (changes, cause) => reportRefusal(core, changes, cause),
    sendQueued: (session) => core.publisher.sendQueued(session),
    handOver: (session) => core.publisher.handOver(session),
    endShares: (session) => core.publisher.endShares(session),
  })
  parts.retainedExpiry = new RetainedExpiry(core)
  parts.retainedSender = new RetainedSender(core)
  parts.sessions = new SessionRegistry(core)
  parts.publisher = new Publisher(core, gatekeeper, turn.packet)
  parts.subscriber = new Subscriber(core, gatekeeper)
  parts.authentication = new EnhancedAuthentication(settings, gatekeeper)
  parts.handshake = new Handshake(core, gatekeeper)
  parts.wills = new Wills(core, gatekeeper)
  parts.restorer = new Restorer(core)
  return core
}

function reportRefusal({ events, settings }: Core, changes: number, cause: unknown): void {
  const text = `the store did not commit: ${causeText(cause)}`
  settings.logger.error({ err: cause, changes }, text)
  events.emit('storeError', new MqttError('GNATMQ_STORE_FAILED', text, { cause }))
}

function checkTopic(bytes: Uint8Array, start: number, end: number, maximumLevels: number): void {
  if (!isTopicNameBytes(bytes, start, end))
    throw new MqttError(
      'GNATMQ_TOPIC_NAME_INVALID',
      'a Topic Name that is empty, holds a wildcard or is not UTF-8 [MQTT-3.3.2-2]',
      { reasonCode: ReasonCode.MalformedPacket },
    )
  let levels = 1
  for (let i = start; i < end; i++) if (bytes[i] === 0x2f) levels++
  if (levels > maximumLevels)
    throw new MqttError('GNATMQ_TOPIC_NAME_INVALID', `a Topic Name of ${levels} levels; ${maximumLevels} are allowed`)
}
