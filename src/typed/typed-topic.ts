import type { ApplicationMessage } from '../ports/application-message'
import type { Client } from '../ports/client'
import { invalidValue, isPromise } from '../ports/given-values'
import type { Hooks, PublishRequest, Verdict } from '../ports/hooks'
import { MqttError } from '../protocol/mqtt-error'
import { ReasonCode } from '../protocol/reason-code'
import { topicFilterError, topicNameError } from '../protocol/topic'
import type { InputOf, OutputOf, StandardResult, StandardSchema } from './standard-schema'

/** How a payload is read: JSON, UTF-8 text, or the bytes themselves. */
export type PayloadEncoding = 'json' | 'string' | 'buffer'

/** The parameters of `device/:id/temperature`: `{ id: string }`. */
export type TopicParameters<P extends string> = P extends `${infer Level}/${infer Rest}`
  ? LevelParameters<Level> & TopicParameters<Rest>
  : LevelParameters<P>

type LevelParameters<L extends string> = L extends `:${infer Name}` ? { readonly [name in Name]: string } : unknown

/** A message of a typed topic. */
export interface TypedMessage<P extends string, Value> {
  readonly parameters: TopicParameters<P>
  readonly value: Value
  readonly message: ApplicationMessage
}

/** What a topic needs of a broker: `MqttBroker` has it. */
export interface TypedBroker<PublishOptions, SubscribeOptions> {
  publish(options: PublishOptions & { topic: string; payload: string | Uint8Array }): Promise<void>
  subscribe(
    filter: string,
    options: SubscribeOptions,
    onMessage: (message: ApplicationMessage) => unknown,
  ): Promise<() => void>
}

/**
 * A topic whose levels may be parameters, and whose payload has a schema: any Standard Schema, which gives the types. Throws
 * GNATMQ_OPTION_INVALID.
 */
export function defineTopic<P extends string, S extends StandardSchema>(
  pattern: P,
  schema: S,
  encoding: PayloadEncoding = 'json',
): TypedTopic<P, S> {
  return new TypedTopic(pattern, schema, encoding)
}

export class TypedTopic<P extends string, S extends StandardSchema> {
  readonly pattern: P
  /** With + for each parameter. */
  readonly filter: string
  private readonly schema: S
  private readonly encoding: PayloadEncoding
  private readonly levels: readonly string[]
  private readonly decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

  constructor(pattern: P, schema: S, encoding: PayloadEncoding) {
    this.levels = pattern.split('/')
    const names = this.levels.filter(isParameter)
    this.filter = this.levels.map((level) => (isParameter(level) ? '+' : level)).join('/')
    const isName = topicNameError(pattern) === undefined && topicFilterError(this.filter) === undefined
    if (!isName || names.includes(':') || new Set(names).size < names.length)
      throw invalidValue('the pattern', 'a Topic Name whose parameters have different names', pattern)
    if (typeof schema?.['~standard']?.validate !== 'function')
      throw invalidValue('the schema', 'a Standard Schema', schema)
    if (encoding !== 'json' && encoding !== 'string' && encoding !== 'buffer')
      throw invalidValue('encoding', "'json', 'string' or 'buffer'", encoding)
    this.pattern = pattern
    this.schema = schema
    this.encoding = encoding
  }

  /** The Topic Name with these parameters. Throws GNATMQ_TOPIC_NAME_INVALID for one that is no level. */
  topic(parameters: TopicParameters<P>): string {
    const given = parameters as { readonly [name: string]: string }
    const levels = this.levels.map((level) => (isParameter(level) ? asLevel(given[level.slice(1)], level) : level))
    return levels.join('/')
  }

  /** The parameters of a Topic Name, or undefined where it does not match. */
  parameters(topic: string): TopicParameters<P> | undefined {
    const levels = topic.split('/')
    if (levels.length !== this.levels.length) return undefined
    const found: [string, string][] = []
    for (const [i, level] of this.levels.entries())
      if (isParameter(level)) found.push([level.slice(1), levels[i]!])
      else if (level !== levels[i]) return undefined
    return Object.fromEntries(found) as TopicParameters<P>
  }

  /** Checks a value, and publishes it. Rejects with GNATMQ_PAYLOAD_FORMAT_INVALID, or as `publish` does. */
  async publish<Options>(
    broker: TypedBroker<Options, never>,
    parameters: TopicParameters<P>,
    value: InputOf<S>,
    options?: Omit<Options, 'topic' | 'payload'>,
  ): Promise<void> {
    const topic = this.topic(parameters)
    checkedValue(await this.schema['~standard'].validate(value))
    const payload = this.encoding === 'json' ? JSON.stringify(value) : (value as string | Uint8Array)
    if (typeof payload !== 'string' && !ArrayBuffer.isView(payload))
      throw invalidValue('the value', 'text or bytes', value)
    await broker.publish({ ...(options as Options), topic, payload })
  }

  /** Calls `onMessage` with the value and the parameters. A payload against the schema is an error, as one that the handler throws. */
  subscribe<Options>(
    broker: TypedBroker<never, Options>,
    options: Options,
    onMessage: (message: TypedMessage<P, OutputOf<S>>) => unknown,
  ): Promise<() => void> {
    return broker.subscribe(this.filter, options, (message) => {
      const parameters = this.parameters(message.topic)!
      const call = (value: OutputOf<S>): unknown => onMessage({ parameters, value, message })
      const result = this.read(message.payload)
      return isPromise<StandardResult<unknown>>(result)
        ? result.then((settled) => call(checkedValue(settled)))
        : call(checkedValue(result))
    })
  }

  /** What the schema says of a payload. */
  read(payload: Buffer): StandardResult<unknown> | Promise<StandardResult<unknown>> {
    let value: unknown = payload
    try {
      if (this.encoding !== 'buffer') value = this.decoder.decode(payload)
      if (this.encoding === 'json') value = JSON.parse(value as string)
    } catch {
      return { issues: [{ message: `the payload is no ${this.encoding === 'json' ? 'JSON' : 'UTF-8'}` }] }
    }
    return this.schema['~standard'].validate(value)
  }
}

type AnyTopic = TypedTopic<string, StandardSchema>

/**
 * An `authorizePublish` hook that refuses what clients publish to these topics against their schemas, with 0x99. Everything else, and what
 * is right, goes to `next`; without it that is allowed.
 */
export function checkPayloads<Data = unknown>(
  topics: readonly Pick<AnyTopic, 'parameters' | 'read'>[],
  next: NonNullable<Hooks<Data>['authorizePublish']> = () => true,
): NonNullable<Hooks<Data>['authorizePublish']> {
  return (client: Client<Data>, request: PublishRequest): Verdict | Promise<Verdict> => {
    for (const topic of topics) {
      if (topic.parameters(request.topic) === undefined) continue
      const result = topic.read(request.payload)
      if (isPromise<StandardResult<unknown>>(result)) return checkLater(topics, client, request, next)
      if (result.issues !== undefined) return refused
    }
    return next(client, request)
  }
}

async function checkLater<Data>(
  topics: readonly Pick<AnyTopic, 'parameters' | 'read'>[],
  client: Client<Data>,
  request: PublishRequest,
  next: NonNullable<Hooks<Data>['authorizePublish']>,
): Promise<Verdict> {
  for (const topic of topics) {
    if (topic.parameters(request.topic) === undefined) continue
    if ((await topic.read(request.payload)).issues !== undefined) return refused
  }
  return next(client, request)
}

const refused: Verdict = Object.freeze({
  reasonCode: ReasonCode.PayloadFormatInvalid,
  reasonString: 'the payload is not what the topic asks for',
})

const isParameter = (level: string): boolean => level.startsWith(':')

function asLevel(value: unknown, level: string): string {
  if (typeof value === 'string' && !/[/+#\0]/.test(value)) return value
  throw new MqttError('GNATMQ_TOPIC_NAME_INVALID', `the parameter ${level} is no level of a Topic Name`)
}

function checkedValue(result: StandardResult<unknown>): unknown {
  if (result.issues === undefined) return result.value
  const text = result.issues.map(({ message }) => message).join('; ')
  throw new MqttError('GNATMQ_PAYLOAD_FORMAT_INVALID', `the payload is not what the topic asks for: ${text}`)
}
