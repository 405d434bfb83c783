import { isDeepStrictEqual } from 'node:util'
import { matches } from '../../src/protocol/topic'
import { type Due, type Outcomes, outcomeOf } from './outcome'
import type { Answers, ConnectStep, FilterStep, PublishStep, WillStep, WireStep } from './step'
import {
  type Copy,
  copiesOf,
  copyFor,
  isShared,
  type Message,
  type Session,
  type Subscription,
  unshared,
  type World,
  windowOf,
} from './world'

// What must happen, from the specification: MQTT 5.0, and 3.1.1 where it differs. Plain data and plain loops.

/** Decides what the specification leaves open: a number below `n`. */
export type Choose = (n: number) => number

/** Takes the steps of a history, and says what every client gets. */
export class Reference {
  readonly world: World
  readonly outcomes: Outcomes<Due> = new Map()
  private readonly choose: Choose

  constructor(world: World, choose: Choose) {
    this.world = world
    this.choose = choose
  }

  apply(step: WireStep): void {
    switch (step.type) {
      case 'connect':
        this.connect(step.connect, step.connection)
        break
      case 'publish':
        this.receive(step.publish, step.identifier)
        break
      case 'release':
        this.release(this.session(step.client), step.identifier)
        break
      case 'subscribe':
        this.subscribe(this.session(step.client), step.filters, step.identifier)
        break
      case 'unsubscribe':
        this.unsubscribe(this.session(step.client), step.filters)
        break
      case 'disconnect':
        this.disconnect(this.session(step.client), step.withWill, step.sessionExpiry)
        break
      case 'abort':
        this.leave(this.session(step.client))
        break
      case 'acknowledge':
        this.session(step.client).connection!.answers = 'all'
        break
      case 'due':
        this.reach(step.at)
        break
      case 'restart':
        this.restart()
    }
    for (const session of this.world.sessions) this.settle(session)
  }

  /** False if nothing is left open whatever the step, so that the world can be changed as it is. */
  get isOpen(): boolean {
    const { retained, sessions } = this.world
    return sessions.some((session) => {
      const { subscriptions, connection } = session
      const narrow = connection !== undefined && connection.receiveMaximum < 65535
      if (narrow && retained.length > 1) return true
      if (copiesOf(session).some(({ batch }) => batch > 0)) return true
      return subscriptions.some(({ filter }) => isShared(filter))
    })
  }

  private session(client: string): Session {
    return this.world.sessions.find((session) => session.client === client)!
  }

  private tell(session: Session, text: string): void {
    outcomeOf(this.outcomes, session.connection!.key).others.push(text)
  }

  // CONNECT and the ends of connections

  private connect(step: ConnectStep, key: string): void {
    const { client, version, clean, receiveMaximum, answers, will } = step
    const before = this.session(client)
    if (before?.connection !== undefined) {
      if (before.connection.version === 5) this.tell(before, 'DISCONNECT 142')
      this.tell(before, 'closed')
      this.leave(before)
    }
    if (clean && this.session(client) !== undefined) this.end(this.session(client))
    let session = this.session(client)
    const present = session !== undefined
    if (session === undefined) {
      const nothing = {
        subscriptions: [],
        flights: [],
        queue: [],
        held: [],
        connection: undefined,
        will: undefined,
      }
      session = { client, expiry: 0, endsAt: Number.POSITIVE_INFINITY, ...nothing }
      this.world.sessions.push(session)
    }
    session.expiry = step.sessionExpiry
    session.endsAt = Number.POSITIVE_INFINITY
    // [MQTT-3.1.3-9]
    session.will = undefined
    session.connection = { key, version, receiveMaximum: version === 5 ? receiveMaximum : 65535, answers, will }
    this.tell(session, `CONNACK ${present ? 'present' : 'new'} 0`)
    for (const flight of session.flights) {
      flight.current = flight.released
      if (flight.released) this.tell(session, `PUBREL of ${flight.copy.message.payload}`)
    }
  }

  private disconnect(session: Session, withWill: boolean, sessionExpiry: number | undefined): void {
    this.tell(session, 'closed')
    // [MQTT-3.14.4-3]
    if (!withWill) session.connection!.will = undefined
    if (sessionExpiry !== undefined) session.expiry = sessionExpiry
    this.leave(session)
  }

  /** The connection is gone, by whatever way. */
  private leave(session: Session): void {
    const { will } = session.connection!
    session.connection = undefined
    session.endsAt = this.world.now + session.expiry * 1000
    if (session.expiry === 0) this.end(session)
    else this.handOver(session)
    if (will === undefined) return
    // the Will goes when its delay is over or the session ends, whichever comes first
    const delay = Math.min(will.delay, session.expiry)
    if (delay === 0) this.publishWill(session, will)
    else session.will = { at: this.world.now + delay * 1000, will }
  }

  private end(session: Session): void {
    this.world.sessions = this.world.sessions.filter((other) => other !== session)
    this.handOver(session)
    const { will } = session
    session.will = undefined
    if (will !== undefined) this.publishWill(session, will.will)
  }

  private publishWill(session: Session, { topic, payload, qos, retain, expiry }: WillStep): void {
    this.publish({ publisher: session.client, topic, payload, qos, retain, expiresAt: this.deadline(expiry) })
  }

  // time

  /** The next moment at which something happens by itself. */
  get nextDeadline(): number {
    const deadlines = this.world.sessions.flatMap(({ endsAt, will }) => [endsAt, will?.at ?? Number.POSITIVE_INFINITY])
    return Math.min(...deadlines)
  }

  /** What happens at that moment: sessions end, Wills go. */
  private reach(at: number): void {
    this.world.now = at
    for (const session of [...this.world.sessions]) if (session.endsAt === at) this.end(session)
    for (const session of this.world.sessions) {
      if (session.will?.at !== at) continue
      const { will } = session.will
      session.will = undefined
      this.publishWill(session, will)
    }
  }

  /** Nobody is connected. Of a retained message it is not stored who has published it. */
  private restart(): void {
    this.world.retained = this.world.retained.map((message) => ({ ...message, publisher: '' }))
  }

  private deadline(seconds: number | undefined): number | undefined {
    return seconds === undefined ? undefined : this.world.now + seconds * 1000
  }

  private isExpired({ expiresAt }: Message): boolean {
    return expiresAt !== undefined && expiresAt <= this.world.now
  }

  // subscriptions

  private subscribe(session: Session, filters: readonly FilterStep[], identifier: number): void {
    const { subscriptions } = session
    const isNew = filters.map((options) => {
      const at = subscriptions.findIndex(({ filter }) => filter === options.filter)
      if (at >= 0) subscriptions[at] = { ...options, identifier }
      else subscriptions.push({ ...options, identifier })
      return at < 0
    })
    this.tell(session, `SUBACK ${filters.map(({ qos }) => qos).join()}`)
    filters.forEach((options, i) => {
      const { filter, retainHandling } = options
      // the same request twice in one packet is answered with the retained messages once
      const former = filters.slice(0, i).findLast((other) => other.filter === filter)
      if (isDeepStrictEqual(former, options)) return
      if (isShared(filter) || retainHandling === 2 || (retainHandling === 1 && !isNew[i])) return
      this.sendRetained(session, { ...options, identifier })
    })
  }

  private sendRetained(session: Session, { filter, qos, noLocal, identifier }: Subscription): void {
    const batch = ++this.world.batches
    for (const message of this.world.retained) {
      if (!matches(filter, message.topic) || this.isExpired(message)) continue
      if (noLocal && message.publisher === session.client) continue
      const identifiers = identifier === 0 ? [] : [identifier]
      const copy = { message, qos: Math.min(qos, message.qos), retain: true, identifiers, group: undefined, batch }
      if (copy.qos === 0) this.send(session, copy, false)
      else session.queue.push(copy)
    }
  }

  private unsubscribe(session: Session, filters: readonly string[]): void {
    const codes = filters.map((filter) => {
      const at = session.subscriptions.findIndex((subscription) => subscription.filter === filter)
      if (at < 0) return 17
      session.subscriptions.splice(at, 1)
      return 0
    })
    this.tell(session, session.connection!.version === 5 ? `UNSUBACK ${codes.join()}` : 'UNSUBACK')
  }

  // from a client

  private receive(step: PublishStep, identifier: number): void {
    const session = this.session(step.client)
    const { topic, payload, qos, retain, expiry } = step
    const isRepetition = qos === 2 && session.held.includes(identifier)
    if (qos === 2 && !isRepetition) session.held.push(identifier)
    const nobody = !this.world.sessions.some(({ subscriptions }) =>
      subscriptions.some(({ filter }) => matches(unshared(filter), topic)),
    )
    if (!isRepetition)
      this.publish({ publisher: step.client, topic, payload, qos, retain, expiresAt: this.deadline(expiry) })
    const code = session.connection!.version === 5 && nobody && !isRepetition ? 16 : 0
    if (qos > 0) this.tell(session, `${qos === 1 ? 'PUBACK' : 'PUBREC'} ${identifier} ${code}`)
  }

  private release(session: Session, identifier: number): void {
    const known = session.held.includes(identifier)
    session.held = session.held.filter((held) => held !== identifier)
    this.tell(session, `PUBCOMP ${identifier} ${known || session.connection!.version === 4 ? 0 : 146}`)
  }

  // to clients

  private publish(message: Message): void {
    const { topic, publisher } = message
    if (message.retain) {
      this.world.retained = this.world.retained.filter((retained) => retained.topic !== topic)
      if (message.payload !== '') this.world.retained.push(message)
    }
    for (const session of this.world.sessions) {
      const matching = session.subscriptions.filter(({ filter, noLocal }) => {
        if (isShared(filter) || !matches(filter, topic)) return false
        // [MQTT-3.8.3-3]
        return !(noLocal && session.client === publisher)
      })
      // one copy with the highest QoS and every identifier, however many subscriptions match [MQTT-3.3.5-1]
      if (matching.length > 0) this.deliver(session, copyFor(message, matching, undefined))
    }
    const groups = new Set(
      this.world.sessions.flatMap(({ subscriptions }) => subscriptions.map(({ filter }) => filter)),
    )
    const left = [...groups].filter((filter) => isShared(filter) && matches(unshared(filter), topic))
    while (left.length > 0) this.share(left.splice(this.choose(left.length), 1)[0]!, message, undefined)
  }

  /** Who of a group may get a message: whoever can be sent it at once, else whoever keeps it. */
  private members(group: string, { qos }: Message, except: Session | undefined): Session[] {
    const granted = (session: Session): number | undefined =>
      session.subscriptions.find(({ filter }) => filter === group)?.qos
    const members = this.world.sessions.filter((session) => session !== except && granted(session) !== undefined)
    const able = members.filter(({ connection, flights }) => connection && flights.length < connection.receiveMaximum)
    if (able.length > 0) return able
    return members.filter(
      (session) => session.connection !== undefined || (session.expiry > 0 && Math.min(qos, granted(session)!) > 0),
    )
  }

  private share(group: string, message: Message, except: Session | undefined): void {
    const members = this.members(group, message, except)
    if (members.length === 0) return
    const session = members[this.choose(members.length)]!
    const subscription = session.subscriptions.find(({ filter }) => filter === group)!
    this.deliver(session, copyFor(message, [subscription], group))
  }

  /** What a member of a group that goes, or ends, has not acknowledged is for another, if there is one; a QoS 2 message that was sent stays [MQTT-4.8.2-5]. */
  private handOver(session: Session): void {
    const goes = ({ group, message }: Copy): boolean =>
      group !== undefined && !this.isExpired(message) && this.members(group, message, session).length > 0
    const copies = session.flights.filter(({ copy }) => copy.qos === 1 && goes(copy)).map(({ copy }) => copy)
    copies.push(...session.queue.filter(goes))
    session.flights = session.flights.filter(({ copy }) => !copies.includes(copy))
    session.queue = session.queue.filter((copy) => !copies.includes(copy))
    for (const { group, message } of copies) this.share(group!, message, session)
  }

  private deliver(session: Session, copy: Copy): void {
    const { connection, flights, queue } = session
    if (copy.qos === 0) {
      // whoever is not there misses it (section 4.3.1)
      if (connection !== undefined) this.send(session, copy, false)
    } else if (connection !== undefined && queue.length === 0 && flights.length < windowOf(session)) {
      flights.push({ copy, released: false, current: true })
      this.send(session, copy, false)
    } else queue.push(copy)
  }

  private send(session: Session, { message, qos, retain, identifiers, group }: Copy, dup: boolean): void {
    const { key, version } = session.connection!
    const { publisher, topic, payload, expiresAt } = message
    const left = expiresAt === undefined ? undefined : Math.max(0, (expiresAt - this.world.now) / 1000)
    outcomeOf(this.outcomes, key).publishes.push({
      topic,
      payload,
      qos,
      retain,
      dup,
      identifiers: version === 5 ? identifiers : [],
      expiry: version === 5 ? left : undefined,
      line: group === undefined ? `${publisher} ${topic} ${qos}` : `${group} ${payload}`,
    })
  }

  /** The client answers, and what has waited for that goes out. */
  private settle(session: Session): void {
    const { connection } = session
    if (connection === undefined) return
    for (let changed = true; changed; ) {
      changed = this.answer(session, connection.answers)
      if (this.resend(session)) changed = true
      while (session.queue.length > 0 && session.flights.length < windowOf(session)) {
        const room = windowOf(session) - session.flights.length
        const [copy] = session.queue.splice(this.next(session.queue, room), 1)
        if (copy === undefined) break
        if (this.isExpired(copy.message)) continue
        session.flights.push({ copy, released: false, current: true })
        this.send(session, copy, false)
        changed = true
      }
    }
  }

  /** Which of `copies` goes next, when `room` of them may go: the first, or any of its batch. */
  private next(copies: readonly Copy[], room: number): number {
    const { batch } = copies[0]!
    const end = batch === 0 ? 1 : copies.findIndex((copy) => copy.batch !== batch)
    const size = end < 0 ? copies.length : end
    // where all of them go now, their order is nobody's business
    return size === 1 || size <= room ? 0 : this.choose(size)
  }

  private answer(session: Session, answers: Answers): boolean {
    let changed = false
    for (const flight of [...session.flights]) {
      if (!flight.current || answers === 'none') continue
      if (flight.copy.qos === 2 && !flight.released) {
        flight.released = changed = true
        this.tell(session, `PUBREL of ${flight.copy.message.payload}`)
      }
      if (flight.copy.qos === 2 && answers !== 'all') continue
      session.flights.splice(session.flights.indexOf(flight), 1)
      changed = true
    }
    return changed
  }

  /** On a new connection everything goes again, in its order, as far as Receive Maximum allows [MQTT-4.4.0-1]. */
  private resend(session: Session): boolean {
    for (let changed = false; ; changed = true) {
      const waiting = session.flights.filter(({ current }) => !current)
      const room = windowOf(session) - (session.flights.length - waiting.length)
      if (waiting.length === 0 || room <= 0) return changed
      const copies = waiting.map(({ copy }) => copy)
      const flight = waiting[this.next(copies, room)]!
      flight.current = true
      this.send(session, flight.copy, true)
    }
  }
}
