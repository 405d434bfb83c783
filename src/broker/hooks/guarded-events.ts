import { EventEmitter } from 'eventemitter3'
import type { BrokerEvents } from '../../ports/events'
import { givenFunction } from '../../ports/given-values'
import { Message } from '../../protocol/message'
import type { ApplicationFaults } from './application-faults'
import { EventChannels } from './event-channels'
import { MessageListeners } from './message-listeners'
import { MessageView } from './message-view'

type Names = EventEmitter.EventNames<BrokerEvents>
type Listener<Data, T extends Names> = EventEmitter.EventListener<BrokerEvents<Data>, T>
// biome-ignore lint/complexity/noBannedTypes: of listeners of all events alike
type AnyListener = Function

/**
 * An emitter whose listeners don't harm one another: what one throws or rejects with is told of and the others are
 * called all the same, and each gets a view of its own of a message.
 */
export abstract class GuardedEvents<Data> extends EventEmitter<BrokerEvents<Data>> {
  /** By the listener and its event: what is called in its place. */
  readonly #guards = new WeakMap<AnyListener, Map<string, AnyListener>>()
  readonly #originals = new WeakMap<AnyListener, AnyListener>()

  readonly #channels = new EventChannels()
  readonly #messages = new MessageListeners()

  /** Whether there is a listener of an event that messages cause. */
  static messageListeners(events: GuardedEvents<unknown>): MessageListeners {
    return events.#messages
  }

  /** Listeners and, as one more, the subscribers of the event's channel. */
  override listenerCount(event: Names): number {
    return super.listenerCount(event) + (this.#channels.hasSubscribers(event) ? 1 : 0)
  }

  override emit<T extends Names>(event: T, ...args: Parameters<Listener<Data, T>>): boolean {
    const isHeard = super.emit(event, ...args)
    if (!this.#channels.hasSubscribers(event)) return isHeard
    this.#channels.publish(event, this, args.map(viewed))
    return true
  }

  protected abstract readonly faults: ApplicationFaults

  override on<T extends Names>(event: T, listener: Listener<Data, T>, context?: unknown): this {
    super.on(event, this.#guard(event, listener), context)
    return this.#changed()
  }

  override addListener<T extends Names>(event: T, listener: Listener<Data, T>, context?: unknown): this {
    return this.on(event, listener, context)
  }

  override once<T extends Names>(event: T, listener: Listener<Data, T>, context?: unknown): this {
    super.once(event, this.#guard(event, listener), context)
    return this.#changed()
  }

  override removeListener<T extends Names>(
    event: T,
    listener?: Listener<Data, T>,
    context?: unknown,
    once?: boolean,
  ): this {
    const guard = listener === undefined ? undefined : this.#guards.get(listener)?.get(event)
    super.removeListener(event, (guard as Listener<Data, T> | undefined) ?? listener, context, once)
    return this.#changed()
  }

  override removeAllListeners(event?: Names): this {
    super.removeAllListeners(event)
    return this.#changed()
  }

  #changed(): this {
    this.#messages.update((event) => super.listenerCount(event))
    return this
  }

  override off<T extends Names>(event: T, listener?: Listener<Data, T>, context?: unknown, once?: boolean): this {
    return this.removeListener(event, listener, context, once)
  }

  // biome-ignore lint/suspicious/noExplicitAny: with Data in its type a broker of one kind of data would be no MqttBroker
  override listeners<T extends Names>(event: T): Listener<any, T>[] {
    return super.listeners(event).map((guard) => (this.#originals.get(guard) ?? guard) as Listener<unknown, T>)
  }

  #guard<T extends Names>(event: T, listener: Listener<Data, T>): Listener<Data, T> {
    givenFunction(`the listener of ${String(event)}`, listener)
    const emitter = this
    let guards = this.#guards.get(listener)
    if (guards === undefined) this.#guards.set(listener, (guards = new Map()))
    let guard = guards.get(event)
    if (guard === undefined) {
      guard = function (this: unknown, ...args: unknown[]): void {
        emitter.#call(event, this, listener, args.map(viewed))
      }
      guards.set(event, guard)
      this.#originals.set(guard, listener)
    }
    return guard as Listener<Data, T>
  }

  #call(event: string, context: unknown, listener: AnyListener, args: unknown[]): void {
    try {
      this.faults.watch(Reflect.apply(listener, context, args), { event }, fault)
    } catch (error) {
      this.faults.report(error, { event }, fault)
    }
  }
}

const viewed = (value: unknown): unknown => (value instanceof Message ? new MessageView(value) : value)

const fault = 'a listener of the application threw'
