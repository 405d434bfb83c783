import type { Client } from '../../ports/client'
import type { Clock } from '../../ports/clock'
import { addressKey } from '../../ports/remote-address'
import { TurnQueue } from '../../ports/turn-queue'
import { MqttError } from '../../protocol/mqtt-error'
import { ReasonCode } from '../../protocol/reason-code'
import type { Answer } from '../hooks/answers'
import type { Connection } from '../wire/connection'
import { type Attempt, ConnectFailures } from './connect-failures'

export interface AuthenticationLimits {
  readonly clock: Clock
  /** Clients that are authenticated at the same time. */
  readonly maximumPendingAuthentications: number
  readonly maximumFailedConnectsPerAddress: number
}

/** How an authentication came out. A hook that failed, or that sent the client elsewhere, has decided nothing. */
export type Outcome = 'right' | 'wrong' | 'undecided'

/** A turn that was given: call it once, when the authentication is over. */
export type Turn = (outcome: Outcome) => void

/** Neither a hook that failed nor a client that is sent to another server has given a wrong password. */
export function outcomeOf({ error, reasonCode }: Answer): Outcome {
  if (reasonCode === ReasonCode.Success) return 'right'
  const isWrong = reasonCode === ReasonCode.BadUserNameOrPassword || reasonCode === ReasonCode.NotAuthorized
  return isWrong && error === undefined ? 'wrong' : 'undecided'
}

interface Waiter {
  readonly client: Client
  readonly start: (turn: Turn | MqttError) => void
}

/** Waiting clients that are refused without a pause, where their address is barred. */
const REFUSALS = 64

/**
 * Which clients are being authenticated: so many at once, one address half of them at the most, and no more of one address than may
 * fail. The others wait, and addresses take turns, so that the hook of the application is asked by no more than it bears, and
 * one address waits for itself.
 */
export class AuthenticationTurns {
  private readonly failures: ConnectFailures
  private readonly waiting = new TurnQueue<Waiter>('oldest first')
  /** Clients that are being authenticated, by address. */
  private readonly running = new Map<string, number>()
  private runningCount = 0
  private readonly maximum: number
  private readonly maximumPerAddress: number
  private readonly maximumFailures: number

  constructor({ clock, maximumFailedConnectsPerAddress, maximumPendingAuthentications }: AuthenticationLimits) {
    this.failures = new ConnectFailures(clock, maximumFailedConnectsPerAddress)
    this.maximum = maximumPendingAuthentications
    this.maximumPerAddress = Math.ceil(maximumPendingAuthentications / 2)
    this.maximumFailures = maximumFailedConnectsPerAddress
  }

  /**
   * The client's turn, at once or when it has come; or why it gets none. A client that goes while it waits leaves the queue, and
   * gets an answer too.
   */
  begin(connection: Connection, client: Client): Turn | MqttError | Promise<Turn | MqttError> {
    const key = addressKey(client.remoteAddress) ?? ''
    const isExempt = this.failures.isBarred(key) && this.failures.isExempt(client)
    if (this.isHopeless(key) && !isExempt) return this.barred(client)
    const laneKey = isExempt ? exemptLane(key) : key
    if (this.waiting.lengthOf(laneKey) === 0 && this.mayBegin(key, isExempt)) return this.start(key, client)
    return new Promise((start) => {
      const leave = this.waiting.add(laneKey, { client, start })
      const gone = (): void => {
        if (leave()) start(new MqttError('GNATMQ_CONNECTION_LOST', 'the client has gone before its turn'))
      }
      connection.whenClosed(gone)
    })
  }

  /** All that the address may fail with has failed. */
  private isHopeless(key: string): boolean {
    return !this.running.has(key) && this.failures.isBarred(key)
  }

  private mayBegin(key: string, isExempt: boolean): boolean {
    const running = this.running.get(key) ?? 0
    if (this.runningCount >= this.maximum || running >= this.maximumPerAddress) return false
    return isExempt || !this.failures.isBarred(key)
  }

  private start(key: string, client: Client): Turn {
    const attempt = this.failures.begin(client)
    this.running.set(key, (this.running.get(key) ?? 0) + 1)
    this.runningCount++
    let isOver = false
    return (outcome) => {
      if (isOver) return
      isOver = true
      this.end(key, client, attempt, outcome)
    }
  }

  private end(key: string, client: Client, attempt: Attempt, outcome: Outcome): void {
    if (outcome !== 'wrong') this.failures.forgive(attempt)
    if (outcome === 'right') this.failures.remember(client)
    const left = this.running.get(key)! - 1
    if (left === 0) this.running.delete(key)
    else this.running.set(key, left)
    this.runningCount--
    this.waiting.release(key)
    this.waiting.release(exemptLane(key))
    this.goOn()
  }

  /** Begins what may begin now. */
  private goOn(): void {
    for (let refused = 0; this.runningCount < this.maximum; ) {
      const laneKey = this.waiting.nextKey
      if (laneKey === undefined) return
      const isExempt = laneKey.startsWith(EXEMPT)
      const key = isExempt ? laneKey.slice(EXEMPT.length) : laneKey
      if (!isExempt && this.isHopeless(key)) {
        if (refused++ === REFUSALS) {
          setImmediate(() => this.goOn())
          return
        }
        const { client, start } = this.waiting.next()!.value
        start(this.barred(client))
      } else if (this.mayBegin(key, isExempt)) {
        const { client, start } = this.waiting.next()!.value
        start(this.start(key, client))
      } else this.waiting.hold(laneKey)
    }
  }

  private barred({ remoteAddress }: Client): MqttError {
    const text = `${remoteAddress} has failed to authenticate ${this.maximumFailures} times within a minute: it may try again in the next one`
    return new MqttError('GNATMQ_CONNECTION_RATE', text)
  }
}

const EXEMPT = 'known '
const exemptLane = (key: string): string => EXEMPT + key
