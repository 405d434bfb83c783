import type { QoS } from 'mqtt-packet'

export type Version = 4 | 5

/** How far a client goes with what it receives: answers everything, never goes on after PUBREC, or answers nothing. */
export type Answers = 'all' | 'pubrec' | 'none'

/** Seconds everywhere. */
export interface WillStep {
  topic: string
  payload: string
  qos: QoS
  retain: boolean
  /** 0 in 3.1.1, as with every 5.0 option below. */
  delay: number
  expiry: number | undefined
}

export interface ConnectStep {
  type: 'connect'
  client: string
  version: Version
  clean: boolean
  /** What a 5.0 client asks for; a 3.1.1 client has 0 if clean, else Infinity. */
  sessionExpiry: number
  receiveMaximum: number
  topicAliasMaximum: number
  will: WillStep | undefined
  answers: Answers
}

export interface FilterStep {
  filter: string
  qos: QoS
  noLocal: boolean
  retainAsPublished: boolean
  retainHandling: 0 | 1 | 2
}

/** An application message as its publisher sends it. */
export interface PublishStep {
  type: 'publish'
  client: string
  topic: string
  payload: string
  qos: QoS
  retain: boolean
  expiry: number | undefined
  /** Uses a Topic Alias if it can. */
  alias: boolean
  /** The answer never reaches the client's memory: it repeats the PUBLISH when it comes back. */
  lost: boolean
}

/** The client goes on with its oldest QoS 2 message: PUBREL. */
export interface ReleaseStep {
  type: 'release'
  client: string
  /** The PUBCOMP never reaches the client's memory: it repeats the PUBREL when it comes back. */
  lost: boolean
}

export type Step =
  | ConnectStep
  | PublishStep
  | ReleaseStep
  | { type: 'subscribe'; client: string; filters: FilterStep[]; identifier: number }
  | { type: 'unsubscribe'; client: string; filters: string[] }
  | { type: 'disconnect'; client: string; withWill: boolean; sessionExpiry: number | undefined }
  | { type: 'abort'; client: string }
  /** From here on the client answers all that it receives, and what it has received. */
  | { type: 'acknowledge'; client: string }
  | { type: 'wait'; seconds: number }
  /** Every client loses its connection; then the broker stops, and starts again with what its store has kept. */
  | { type: 'restart' }

/** A step as it goes over the wire: PUBLISH has its Packet Identifier, CONNECT the name of its connection. */
export type WireStep =
  | { type: 'connect'; connection: string; connect: ConnectStep }
  | { type: 'publish'; identifier: number; publish: PublishStep }
  | { type: 'release'; client: string; identifier: number }
  /** Time reaches the next deadline. */
  | { type: 'due'; at: number }
  | Exclude<Step, { type: 'connect' | 'publish' | 'release' | 'wait' }>

export interface History {
  /** A store that answers with promises, in place of one that answers at once. */
  slowStore: boolean
  steps: Step[]
}

/** One line for people. */
export function describeStep(step: Step): string {
  switch (step.type) {
    case 'connect': {
      const { client, version, clean, sessionExpiry, receiveMaximum, topicAliasMaximum, will, answers } = step
      const session = `${clean ? 'clean' : 'resuming'}, session expiry ${sessionExpiry}`
      const limits =
        version === 5 ? `, Receive Maximum ${receiveMaximum}, Topic Alias Maximum ${topicAliasMaximum}` : ''
      const left = will === undefined ? '' : `, Will ${describeMessage(will)}, delay ${will.delay}`
      return `${client} CONNECT ${version === 5 ? '5.0' : '3.1.1'} ${session}${limits}, answers ${answers}${left}`
    }
    case 'publish':
      return `${step.client} PUBLISH ${describeMessage(step)}${step.alias ? ', alias' : ''}${step.lost ? ', answer lost' : ''}`
    case 'release':
      return `${step.client} PUBREL${step.lost ? ', answer lost' : ''}`
    case 'subscribe':
      return `${step.client} SUBSCRIBE ${step.filters.map(describeFilter).join(' ')}, identifier ${step.identifier}`
    case 'unsubscribe':
      return `${step.client} UNSUBSCRIBE ${step.filters.join(' ')}`
    case 'disconnect':
      return `${step.client} DISCONNECT${step.withWill ? ' with Will' : ''}, session expiry ${step.sessionExpiry ?? 'unchanged'}`
    case 'wait':
      return `${step.seconds} seconds pass`
    case 'restart':
      return 'the broker stops and starts again'
    default:
      return `${step.client} ${step.type}`
  }
}

function describeMessage(message: Omit<WillStep, 'delay'>): string {
  const { topic, payload, qos, retain, expiry } = message
  const text = payload.length > 20 ? `${payload.slice(0, 8)}… of ${payload.length}` : payload
  return `${topic} "${text}" QoS ${qos}${retain ? ' retain' : ''}${expiry === undefined ? '' : ` expiry ${expiry}`}`
}

function describeFilter({ filter, qos, noLocal, retainAsPublished, retainHandling }: FilterStep): string {
  return `${filter}:${qos}${noLocal ? ' nl' : ''}${retainAsPublished ? ' rap' : ''}${retainHandling > 0 ? ` rh${retainHandling}` : ''}`
}
