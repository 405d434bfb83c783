import type { QoS } from '../protocol/packet'

/**
 * What a client may do, or may not, with topics. What nothing allows is denied, and what anything denies is denied too,
 * in whatever order they stand.
 */
export interface Right {
  readonly permission: 'allow' | 'deny'
  /**
   * `publish`: to send messages, Wills included. `subscribe`: to make a subscription. `deliver`: to be sent a message; looked at only
   * where a right says `deliver`, whatever else the client may do.
   */
  readonly action: 'publish' | 'subscribe' | 'deliver'
  /**
   * A Topic Filter. A subscription is allowed if one such filter covers its own, `$share/NAME/` left out, and denied if
   * any topic could match both.
   */
  readonly filter: string
  /** The highest QoS that is allowed; a subscription is granted this much. Only with `allow`. Default: 2. */
  readonly qos?: QoS | undefined
  /** Of `publish`: true for messages with RETAIN alone, false for those without. Default: both. */
  readonly retain?: boolean | undefined
}

/** Rights as they are looked at for each message, as `compileRights` makes them. */
export interface CompiledRights {
  /** What they were made of. */
  readonly list: readonly Right[]
  /** Whether any right is about `deliver`. */
  readonly guardsDelivery: boolean
  publish(topic: string, qos: QoS, retain: boolean): boolean
  /** `filter` without `$share/NAME/`. An object grants less than was asked for. */
  subscribe(filter: string, qos: QoS): boolean | { readonly qos: QoS }
  deliver(topic: string, qos: QoS): boolean
}

/** Rights as an application gives them. A long list that many clients have is best compiled once for all. */
export type Rights = readonly Right[] | CompiledRights
