const none: readonly number[] = Object.freeze([])

/** What one receiver's PUBLISH carries besides the message. One object serves for many packets. */
export class PublishEnvelope {
  /** DUP, QoS and RETAIN as they stand in the first byte. */
  flags = 0
  /** Written when QoS is above 0. */
  packetIdentifier = 0
  /** Seconds left, or -1 (MQTT 5.0 section 3.3.2.3.3). */
  messageExpiryInterval = -1
  /** 0 if none. */
  topicAlias = 0
  /** True when the alias replaces the name. */
  omitTopic = false
  subscriptionIdentifiers: readonly number[] = none
}

/** What the sessions of one broker write their PUBLISH packets with. */
export class PublishEnvelopes {
  readonly delivery = new PublishEnvelope()
  /** Never has more than flags and an identifier. */
  readonly plain = new PublishEnvelope()
}
