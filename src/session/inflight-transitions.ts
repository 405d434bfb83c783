import { InflightState } from './inflight'

/** What can happen to a message in flight. */
export const InflightEvent = {
  Puback: 0,
  /** PUBREC with a Reason Code below 0x80, in a session that ends with its connection. */
  Pubrec: 1,
  /** The same in a session that the store keeps. */
  StoredPubrec: 2,
  /** PUBREC with a Reason Code of 0x80 or above. */
  PubrecRefusal: 3,
  Pubcomp: 4,
  /** The store has the Packet Identifier of a QoS 2 message. */
  IdentifierCommitted: 5,
  /** The store has the PUBREC. */
  PubrecCommitted: 6,
} as const

/** What is to be done about it. */
export const InflightAction = {
  /** Nothing: the packet acknowledges no message of this session. */
  Ignored: 0,
  /** PUBREL with Reason Code 0x92: the client has a message that this session does not have. */
  Unknown: 1,
  SendPublish: 2,
  SendPubrel: 3,
  /** PUBREL, once the PUBREC is committed. */
  AwaitsCommit: 4,
  /** The exchange is over: its place is free. */
  Finished: 5,
  /** Another packet is due: DISCONNECT with 0x82, and the connection closes. */
  Violation: 6,
} as const

type State = (typeof InflightState)[keyof typeof InflightState]
type Action = (typeof InflightAction)[keyof typeof InflightAction]
/** What the message waits for next, and what is done. */
export type Transition = readonly [next: State, action: Action]

const { Free, Puback, Pubrec, Pubcomp, Commit, ReleaseCommit } = InflightState
const { Ignored, Unknown, SendPublish, SendPubrel, AwaitsCommit, Finished, Violation } = InflightAction

/**
 * Messages to the client (sections 4.3.2 and 4.3.3), by state and event in the order of `InflightState` and
 * `InflightEvent`. Before its commit a message has not been sent: the client can't know its identifier, and what it
 * says about it is about nothing. After PUBREC the client has the message, and PUBCOMP is due once PUBREL was sent.
 */
const transitions = [
  // Free
  [
    [Free, Ignored], // PUBACK
    [Free, Unknown], // PUBREC
    [Free, Unknown], // PUBREC, stored
    [Free, Ignored], // PUBREC with 0x80 or above: no PUBREL [MQTT-4.3.3-4]
    [Free, Ignored], // PUBCOMP
    [Free, Ignored], // the identifier is committed
    [Free, Ignored], // the PUBREC is committed
  ],
  // Puback: QoS 1, sent
  [
    [Free, Finished], // PUBACK
    [Puback, Violation], // PUBREC
    [Puback, Violation], // PUBREC, stored
    [Puback, Violation], // PUBREC with 0x80 or above
    [Puback, Violation], // PUBCOMP
    [Puback, Ignored], // the identifier is committed
    [Puback, Ignored], // the PUBREC is committed
  ],
  // Pubrec: QoS 2, sent
  [
    [Pubrec, Violation], // PUBACK
    [Pubcomp, SendPubrel], // PUBREC
    [ReleaseCommit, AwaitsCommit], // PUBREC, stored
    [Free, Finished], // PUBREC with 0x80 or above
    [Pubrec, Violation], // PUBCOMP
    [Pubrec, Ignored], // the identifier is committed
    [Pubrec, Ignored], // the PUBREC is committed
  ],
  // Pubcomp: QoS 2, PUBREL sent
  [
    [Pubcomp, Violation], // PUBACK
    [Pubcomp, SendPubrel], // PUBREC: a repetition
    [Pubcomp, SendPubrel], // PUBREC, stored
    [Free, Finished], // PUBREC with 0x80 or above
    [Free, Finished], // PUBCOMP
    [Pubcomp, Ignored], // the identifier is committed
    [Pubcomp, Ignored], // the PUBREC is committed
  ],
  // Commit: QoS 2, not sent
  [
    [Commit, Ignored], // PUBACK
    [Commit, Unknown], // PUBREC
    [Commit, Unknown], // PUBREC, stored
    [Commit, Ignored], // PUBREC with 0x80 or above
    [Commit, Ignored], // PUBCOMP
    [Pubrec, SendPublish], // the identifier is committed
    [Commit, Ignored], // the PUBREC is committed
  ],
  // ReleaseCommit: QoS 2, PUBREC received, PUBREL not sent
  [
    [ReleaseCommit, Violation], // PUBACK
    [ReleaseCommit, AwaitsCommit], // PUBREC: a repetition
    [ReleaseCommit, AwaitsCommit], // PUBREC, stored
    [Free, Finished], // PUBREC with 0x80 or above
    [ReleaseCommit, Violation], // PUBCOMP
    [ReleaseCommit, Ignored], // the identifier is committed
    [Pubcomp, SendPubrel], // the PUBREC is committed
  ],
] as const satisfies readonly (readonly Transition[])[]

/** `state` is one of `InflightState`, `event` one of `InflightEvent`. */
export function transition(state: number, event: number): Transition {
  return transitions[state]![event]!
}

const EVENTS = transitions[0].length

/** The table in one piece of memory, for the acknowledgement of each message: see `nextState` and `actionOf`. */
const packed = Uint8Array.from(transitions.flat(), ([next, action]) => next | (action << 4))

/** The same as `transition`, as one number. */
export function packedTransition(state: number, event: number): number {
  return packed[state * EVENTS + event]!
}

export const nextState = (transition: number): number => transition & 15

export const actionOf = (transition: number): number => transition >> 4
