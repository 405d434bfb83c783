/**
 * What the things that a client can make a broker hold cost, in bytes of heap and of buffers together: on a 64-bit V8 without
 * compressed pointers, with what a MemoryStore keeps beside them. test/memory/costs.test.ts makes thousands of each, compares the memory
 * before and after with what is counted, and fails where they drift apart. docs/reference/memory.md has the same table.
 */
export const Cost = {
  /** An array of bytes of its own, besides what is in it. */
  bytes: 136,
  /** The same above `HEAP_BYTES`, where the bytes lie outside the heap. */
  buffer: 330,
  /** A string, besides its characters. */
  text: 24,
  /** A node of a topic tree, and its place in the map of its parent. */
  topicNode: 130,
  /** The map of a node that has children. */
  topicBranch: 150,
  /** A retained message besides its topic and bytes: the message, what the store has of it, and their places. */
  retainedMessage: 380,
  /** A subscription besides its filter: in the map of its session, and in the store. */
  subscription: 420,
  /** A Topic Filter with subscribers. */
  filterNode: 260,
  /** A level of the trie of filters that have a wildcard. */
  filterLevel: 200,
  /** A Share Name of a filter. */
  sharedGroup: 340,
  /** A session besides its Client Identifier and user name. */
  session: 1300,
  /** A Will besides its topic, payload and properties. */
  will: 600,
  /** A User Property besides its name and value. */
  userProperty: 70,
  /** A Topic Alias besides its topic, in either direction. */
  alias: 100,
  /** A message that waits or is in flight, besides its topic and bytes. */
  queuedMessage: 620,
  /** A message that the store alone has, where that is no memory: what is known of its expiry. */
  storedMessage: 40,
  /** A route besides its topic and its receivers. */
  route: 230,
  /** A receiver in a route's list. */
  receiver: 8,
  /** A receiver that wants more than the bare message. */
  specialReceiver: 160,
} as const

/** Up to so many bytes lie in the heap, beside their array. */
export const HEAP_BYTES = 48

/** What an array of `length` bytes costs that no other object shares. */
export function bytesCost(length: number): number {
  return length + (length <= HEAP_BYTES ? Cost.bytes : Cost.buffer)
}

/** What a string costs: one character beyond Latin-1 makes all of them two bytes wide. */
export function textCost(text: string): number {
  return Cost.text + (isWide(text) ? 2 * text.length : text.length)
}

function isWide(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0xff) return true
  return false
}
