import { randomBytes } from 'node:crypto'
import { causeText } from '../ports/given-values'
import type { Logger } from '../ports/logger'
import type { BrokerStatistics } from '../ports/statistics'
import { createMessage, type Message } from '../protocol/message'
import { MqttError } from '../protocol/mqtt-error'
import { ReasonCode } from '../protocol/reason-code'
import { isTopicNameBytes } from '../protocol/topic'
import { RetainedMessages } from '../routing/retained-messages'
import { Router, type TopicCheck } from '../routing/router'
import type { Session } from '../session/session'
import { CommitJournal } from './commits/commit-journal'
import type { CommitEvents } from './commits/recovery'
import { RetainedCommits } from './commits/retained-commits'
import { Fanout } from './delivery/fanout'
import { Publisher } from './delivery/publisher'
import { QueueSender } from './delivery/queue-sender'
import { RetainedExpiry } from './delivery/retained-expiry'
import { RetainedSender } from './delivery/retained-sender'
import { RevocationLog } from './delivery/revocation-log'
import { Revocations } from './delivery/revocations'
import { Transfer } from './delivery/transfer'
import { Wills } from './delivery/wills'
import { Authorization } from './hooks/authorization'
import { DropReports } from './hooks/drop-reports'
import type { GuardedEvents } from './hooks/guarded-events'
import { HookRunner } from './hooks/hook-runner'
import { StepEvents } from './hooks/step-events'
import { Explainer, type ExplainerParts } from './inspection/explainer'
import { Inspection } from './inspection/inspection'
import { Inspector, type InspectorParts } from './inspection/inspector'
import { SystemTopics } from './inspection/system-topics'
import { Tracing } from './inspection/tracing'
import { AcknowledgementReceiver } from './packets/acknowledgement'
import { AuthReceiver } from './packets/auth'
import { AuthenticationTurns } from './packets/authentication-turns'
import { ConnectReceiver } from './packets/connect'
import { ConnectBounds } from './packets/connect-bounds'
import { DisconnectReceiver } from './packets/disconnect'
import { Identities } from './packets/identities'
import { LargeRequests } from './packets/large-requests'
import { PacketDispatcher } from './packets/packet-dispatcher'
import { ParkedMessages } from './packets/parked-messages'
import { PublishReceiver } from './packets/publish'
import { Revoker } from './packets/revoker'
import { SubscribeReceiver } from './packets/subscribe'
import { UnsubscribeReceiver } from './packets/unsubscribe'
import { EndedSessions } from './sessions/ended-sessions'
import { SessionHeads } from './sessions/heads'
import { SessionLife } from './sessions/life'
import { QueueScan } from './sessions/queue-scan'
import { SessionRegistry } from './sessions/registry'
import { Restorer } from './sessions/restorer'
import { StoredClock } from './sessions/stored-clock'
import { StoredQueue } from './sessions/stored-queue'
import { AddressCounts } from './wire/address-counts'
import type { Connection } from './wire/connection'
import { DeadlineWheel } from './wire/deadline-wheel'
import { HalfOpen } from './wire/half-open'
import type { BrokerSettings } from './wire/settings'
import { Turn } from './wire/turn'

/** Routes that are kept at the most. */
const ROUTES = 1 << 17
/** How finely deadlines are looked at. */
export const TICK_MS = 100

type Events = GuardedEvents<unknown>

/** What a broker is started with. */
interface Basis {
  readonly settings: BrokerSettings
  readonly events: Events
  readonly connections: Set<Connection>
  readonly statistics: () => BrokerStatistics
}

type Wire = ReturnType<typeof composeWire>
type Routing = ReturnType<typeof composeRouting>
type Commits = ReturnType<typeof composeCommits>
type Sessions = ReturnType<typeof composeSessions>
type Delivery = ReturnType<typeof composeDelivery>
type Hooked = ReturnType<typeof composeHooks>

/** Puts the parts of a broker together for one start, room by room, from the bottom up. */
export function compose(basis: Basis) {
  const { events, settings } = basis
  const wire = composeWire(basis)
  const routing = composeRouting({ ...basis, ...wire })
  const commits = composeCommits({
    ...{ ...basis, ...wire, ...routing },
    commitEvents: {
      refused: (changes, cause) => reportRefusal(settings.logger, events, changes, cause),
      sendQueued: (session) => delivery.queues.send(session),
      handOver: (session) => delivery.fanout.offerShared(session),
      endShares: (session) => delivery.fanout.endShares(session),
    },
  })
  const expired = (session: Session): void => expire(session)
  const sessions = composeSessions({ ...basis, ...wire, ...routing, ...commits, expired })
  const hooked = composeHooks({ ...basis, ...wire })
  const lower = { ...basis, ...wire, ...routing, ...commits, ...sessions, ...hooked }
  const delivery = composeDelivery(lower)
  const { endings, expire, packets, revoker } = composePackets({ ...lower, ...delivery })
  const parts = { ...wire, ...routing, ...commits, ...sessions, ...delivery }
  const inspection = composeInspection({ ...basis, ...parts, ...hooked, endings })
  return { ...parts, ...hooked, packets, revoker, inspection }
}

type Shown = Omit<InspectorParts & ExplainerParts, 'clock' | 'maximumTopicLevels'>

function composeInspection(parts: Basis & Wire & Delivery & Shown) {
  const { events, publisher, settings, statistics, turn } = parts
  const { clock, maximumTopicLevels, retainAvailable, sysIntervalMs: intervalMs } = settings
  const message = (topic: string, payload: string, isRetained: boolean): Message =>
    createMessage(topic, Buffer.from(payload), undefined, 0, isRetained, 0, undefined)
  const publish = (topic: string, payload: string): void => {
    // no store keeps it: it says nothing after a restart
    if (retainAvailable) parts.retained.set(message(topic, payload, true))
    publisher.publishSystem(message(topic, payload, false))
  }
  return new Inspection({
    inspector: new Inspector({ ...parts, clock }),
    explainer: new Explainer({ ...parts, clock, maximumTopicLevels }),
    tracing: new Tracing({ clock, events, turn }),
    systemTopics: new SystemTopics({ clock, intervalMs, statistics, publish }),
    counters: turn.counters,
  })
}

function composeWire({ events, settings }: Basis) {
  const { clock, maximumTotalIncomingBytes } = settings
  const turn = new Turn(maximumTotalIncomingBytes, undefined, clock)
  const stepEvents = new StepEvents(events)
  settings.session.budget.watch = new DropReports(turn, stepEvents)
  return {
    turn,
    stepEvents,
    wheel: new DeadlineWheel(TICK_MS, clock.now()),
    halfOpen: new HalfOpen(settings),
    addressCounts: new AddressCounts(settings.maximumConnectionsPerAddress),
  }
}

function composeRouting({ settings, turn }: Basis & Wire) {
  const { maximumTopicLevels, memory } = settings
  const seed = randomBytes(4).readInt32BE()
  const check: TopicCheck = (bytes, start, end) => checkTopic(bytes, start, end, maximumTopicLevels)
  const router = new Router<Session>(ROUTES, maximumTopicLevels + 1, seed, check, memory, turn.slice.effort)
  return { router, retained: new RetainedMessages(memory.retained) }
}

function composeCommits(parts: Basis & Wire & Routing & { commitEvents: CommitEvents }) {
  const { commitEvents, retained, router, settings, turn } = parts
  const { clock, store } = settings
  return {
    journal: new CommitJournal(store, clock, router, new RetainedCommits(retained), commitEvents, turn.counters),
  }
}

function composeHooks({ settings, turn }: Basis & Wire) {
  const { clock, hooks, hookTimeoutMs, logger } = settings
  const runner = new HookRunner(clock, hookTimeoutMs, turn.counters)
  return { authorization: new Authorization(hooks, runner, logger, clock) }
}

function composeSessions(parts: Basis & Wire & Routing & Commits & { expired: (session: Session) => void }) {
  const { expired, journal, retained, router, settings, turn, wheel } = parts
  const { clock, logger, maximumSessionExpiryInterval, memory, session: limits, store } = settings
  const registry = new SessionRegistry(memory.sessions)
  const storedClock = new StoredClock(clock)
  const stored = new StoredQueue(journal, logger, storedClock)
  const scan = new QueueScan({ logger, store, journal, registry, stored })
  const times = { clock, turn, wheel, maximumSessionExpiryInterval, expired }
  const life = new SessionLife({ registry, router, journal, scan, limits, ...times })
  const places = { journal, router, retained, life, stored, scan }
  const restorer = new Restorer({ logger, store, limits, clock: storedClock, ...places })
  return { registry, heads: new SessionHeads(journal), ended: new EndedSessions(clock), stored, scan, life, restorer }
}

function composeDelivery(parts: Basis & Wire & Routing & Commits & Sessions & Hooked) {
  const { authorization, events, heads, journal, registry, restorer, retained, router, scan, settings } = parts
  const { stored, turn, wheel } = parts
  const { clock, logger, maximumTopicLevels, memory, store } = settings
  const queues = new QueueSender({ clock, logger, store, journal, registry, stored })
  const retainedExpiry = new RetainedExpiry(clock, journal, retained)
  const retainedSender = new RetainedSender({ clock, journal, retained, router, rota: turn.rota })
  const senders = { queues, retainedSender, retainedExpiry }
  const fanout = new Fanout({ settings, router, retained, journal, registry, scan, turn, ...senders })
  const { wide } = fanout
  const publisher = new Publisher(router, fanout, wide, events)
  const places = { store, journal, router, registry, restorer, stored, maximumTopicLevels }
  const revocations = new Revocations({ ...places, fanout, queues, retainedSender })
  const revocationLog = new RevocationLog()
  const transfer = new Transfer({ clock, router, registry, journal, fanout, queues })
  const wills = new Wills({
    clock,
    logger,
    wheel,
    journal,
    heads,
    authorization,
    revocationLog,
    maximumTopicLevels,
    budget: memory.wills,
    publish: (message, from, keep) => publisher.publish(message, from, keep),
  })
  return { ...senders, fanout, wide, publisher, revocations, revocationLog, transfer, wills }
}

function composePackets(parts: Basis & Wire & Routing & Commits & Sessions & Hooked & Delivery) {
  const { addressCounts, halfOpen, stepEvents, turn, wheel } = parts
  const { authorization, connections, events, journal, router, settings } = parts
  const { ended, heads, life, registry, restorer } = parts
  const { fanout, publisher, queues, retainedSender, revocations, revocationLog, transfer, wide, wills } = parts
  const { clock, hooks, logger } = settings
  const common = { settings, events, stepEvents, router, journal, authorization }
  const sending = { fanout, publisher, wide }
  const parked = new ParkedMessages(turn.pool)
  const publish = new PublishReceiver({ ...common, ...sending, parked, packet: turn.packet, effort: turn.slice.effort })
  const acknowledgement = new AcknowledgementReceiver(journal, queues, settings.session.budget, stepEvents)
  const subscribe = new SubscribeReceiver({ ...common, retainedSender, revocationLog, turn })
  const unsubscribe = new UnsubscribeReceiver({ settings, events, router, journal, retainedSender, turn })
  const largeRequests = new LargeRequests(turn, subscribe, unsubscribe)
  const lives = { registry, life, heads, wills }
  const { memory } = settings
  const disconnect = new DisconnectReceiver({
    ...{ clock, memory, logger, events, stepEvents, journal, transfer, ended },
    ...lives,
    counters: turn.counters,
  })
  const turns = new AuthenticationTurns(settings)
  const bounds = new ConnectBounds(settings, registry)
  const identities = new Identities({ settings, registry, wheel, journal, authorization })
  const auth = new AuthReceiver({ hooks, authorization, turns, bounds })
  const connect = new ConnectReceiver({
    ...common,
    ...lives,
    bounds,
    authentication: auth,
    turns,
    halfOpen,
    restorer,
    queues,
    ...sending,
    retainedSender,
    revocations,
    revocationLog,
    endings: disconnect,
    identities,
    turn,
  })
  const receivers = { publish, acknowledgement, connect, subscribe, unsubscribe, largeRequests, disconnect, auth }
  const gates = { addressCounts, connections, halfOpen }
  const places = { ...common, registry, turn, identities, endings: disconnect }
  const revoker = new Revoker({ ...places, revocations, revocationLog, wide, wills })
  const packets = new PacketDispatcher({ logger, events, queues, wide, revoker, ...gates, ...receivers })
  return { packets, revoker, endings: disconnect, expire: (session: Session): void => disconnect.expire(session) }
}

function reportRefusal(logger: Logger, events: Events, changes: number, cause: unknown): void {
  const text = `the store did not commit: ${causeText(cause)}`
  logger.error({ err: cause, changes }, text)
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
