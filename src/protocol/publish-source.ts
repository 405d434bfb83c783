/**
 * The parts of an application message, by offsets: what PUBLISH packets are written from. A packet in the read
 * buffer is one, valid during the call; a Message is one that lasts.
 */
export interface PublishSource {
  readonly topicBytes: Uint8Array
  readonly topicStart: number
  readonly topicEnd: number
  /** Holds the properties and the payload. */
  readonly bytes: Uint8Array
  /** Content of the property block that travels on unchanged: no length, alias, expiry or subscription identifiers. */
  readonly propertiesStart: number
  readonly propertiesEnd: number
  readonly payloadStart: number
  readonly payloadEnd: number
  /** True when `bytes` will not be overwritten. */
  readonly stable: boolean
}
