/** Which topics are published to and subscribed to in each pattern. */

export const wildGroups = 100
const wildTopics = 97
/** Topics of one publisher that never repeats itself: the cycle of its buffer, with a new epoch at every turn. */
const uniqueTopics = 65_536

const three = (value) => String(value).padStart(3, '0')
const five = (value) => String(value).padStart(5, '0')

/** `topics` are the cycle of a publisher, all of one length; `filters` are those of a subscriber; `fanout` is receivers of a message. */
export const patterns = {
  one: {
    topics: () => ['bench/load/00000'],
    filters: () => ['bench/load/00000'],
    fanout: (job) => job.subscribers,
    sources: () => null,
  },
  pairs: {
    topics: (publisher) => [`bench/pair/${five(publisher)}`],
    filters: (subscriber) => [`bench/pair/${five(subscriber)}`],
    fanout: () => 1,
    sources: (subscriber) => [subscriber],
  },
  /** 10,000 filters, 9,700 exact and 300 with wildcards, of which 4 match each message. */
  wild: {
    topics: (publisher) =>
      Array.from({ length: wildTopics }, (_, device) => `site/${three(publisher)}/dev/${three(device)}/temp`),
    filters: (subscriber) => {
      const group = (distance) => three((subscriber + distance) % wildGroups)
      const exact = Array.from({ length: wildTopics }, (_, device) => `site/${group(0)}/dev/${three(device)}/temp`)
      return [...exact, `site/${group(1)}/dev/+/temp`, `site/${group(2)}/#`, `+/${group(3)}/dev/+/temp`]
    },
    fanout: () => 4,
    sources: (subscriber) => [0, 1, 2, 3].map((distance) => (subscriber + distance) % wildGroups),
  },
  unique: {
    topics: () => Array.from({ length: uniqueTopics }, (_, index) => uniqueTopic(index)),
    filters: () => ['unique/#'],
    fanout: (job) => job.subscribers,
    sources: () => null,
  },
}

/** The topic of the message with this sequence number: `unique/EPOCH/INDEX`, all of one length. */
function uniqueTopic(sequence) {
  return `unique/${five(Math.floor(sequence / uniqueTopics))}/${five(sequence % uniqueTopics)}`
}

/** Where the digits of the epoch are in a unique topic. */
export const epochAt = 'unique/'.length

export const epochOf = (sequence) => Math.floor(sequence / uniqueTopics)

export function topicOf(pattern, publisher, sequence) {
  if (pattern === 'unique') return uniqueTopic(sequence)
  const topics = patterns[pattern].topics(publisher)
  return topics[sequence % topics.length]
}
