import { randomBytes } from 'node:crypto'
import type { EventEmitter } from 'eventemitter3'
import type { BrokerEvents } from '../ports/events'
import { MqttError } from '../protocol/mqtt-error'
import { ReasonCode } from '../protocol/reason-code'
import { isTopicNameBytes } from '../protocol/topic'
import { RetainedMessages } from '../routing/retained-messages'
import { Router } from '../routing/router'
import type { Session } from '../session/session'
import { CommitJournal } from './commits/commit-journal'
import { RetainedCommits } from './commits/retained-commits'
import { Rollback } from './commits/rollback'
import { SessionHeads } from './commits/session-heads'
import type { Connection } from './wire/connection'
import type { Core } from './core'
import { DeadlineWheel } from './wire/deadline-wheel'
import { EnhancedAuthentication } from './packets/auth'
import { Gatekeeper } from './hooks/gatekeeper'
import { Handshake } from './packets/connect'
import { Publisher } from './packets/publish'
import { Restorer } from './sessions/restorer'
import { RetainedExpiry } from './delivery/retained-expiry'
import { RetainedSender } from './delivery/retained-sender'
import { SessionRegistry } from './sessions/registry'
import type { BrokerSettings } from './wire/settings'
import { Subscriber } from './packets/subscribe'
import { Turn } from './wire/turn'
import { Wills } from './sessions/wills'

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
    journal: new CommitJournal(store, clock, new RetainedCommits(retained), {
      undo: (changes, error) => rollback.undo(changes, error),
      flush: () => {
        core.heads.flush()
        rollback.flush()
      },
    }),
    connections: new Set<Connection>(),
  }
  // the parts know each other through the core, which is whole before anything uses it
  const core = parts as Core
  const rollback = new Rollback(core)
  parts.retainedExpiry = new RetainedExpiry(core)
  parts.retainedSender = new RetainedSender(core)
  parts.sessions = new SessionRegistry(core)
  parts.heads = new SessionHeads(core)
  parts.publisher = new Publisher(core, gatekeeper, turn.packet)
  parts.subscriber = new Subscriber(core, gatekeeper)
  parts.authentication = new EnhancedAuthentication(settings, gatekeeper)
  parts.handshake = new Handshake(core, gatekeeper)
  parts.wills = new Wills(core, gatekeeper)
  parts.restorer = new Restorer(core)
  return core
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
