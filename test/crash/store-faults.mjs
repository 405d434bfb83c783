// Stores around a store, for a broker that is to die at a certain step, or to make a certain mistake.

const dying = new Promise(() => undefined)

function die() {
  process.kill(process.pid, 'SIGKILL')
  return dying
}

/** Passes every call on to `store`, but for those that `changed` has of its own. */
function around(store, changed) {
  return {
    open: () => store.open(),
    close: () => store.close(),
    commit: (changes) => store.commit(changes),
    sessions: () => store.sessions(),
    retained: () => store.retained(),
    queue: (clientId, after, limit) => store.queue(clientId, after, limit),
    held: (clientId) => store.held(clientId),
    ...changed,
  }
}

/**
 * Kills the process at the first commit with a change of this type: `hold:before` while nothing of it is kept,
 * `hold:after` when all of it is kept and nobody knows.
 */
export function dieAt(store, step) {
  const [type, moment] = step.split(':')
  return around(store, {
    commit(changes) {
      if (!changes.some((change) => change.type === type)) return store.commit(changes)
      if (moment === 'before') return die()
      return Promise.resolve(store.commit(changes)).then(die)
    },
  })
}

/** Mistakes that a broker or a store could make. */
export const faults = {
  /** Answers before anything is kept, and keeps messages only at the end. */
  'answers before it commits': (store) => {
    const late = []
    return around(store, {
      commit(changes) {
        if (!changes.some(({ type }) => type === 'enqueue')) return store.commit(changes)
        late.push(changes)
        return undefined
      },
      async close() {
        for (const changes of late) await store.commit(changes)
        await store.close()
      },
    })
  },

  'forgets held identifiers': (store) =>
    around(store, {
      commit: (changes) => store.commit(changes.filter(({ type }) => type !== 'hold')),
    }),

  'forgets what was released': (store) =>
    around(store, {
      commit: (changes) => store.commit(changes.filter(({ type }) => type !== 'release')),
    }),

  'drops every third message': (store) => {
    let count = 0
    return around(store, {
      commit: (changes) => store.commit(changes.filter(({ type }) => type !== 'enqueue' || ++count % 3 !== 0)),
    })
  },

  'reads its queues from the end': (store) =>
    around(store, {
      queue: async (clientId, after, limit) => [...(await store.queue(clientId, after, limit))].reverse(),
    }),

  'forgets Packet Identifiers': (store) =>
    around(store, {
      queue: async (clientId, after, limit) =>
        [...(await store.queue(clientId, after, limit))].map((entry) => ({ ...entry, packetIdentifier: 0 })),
    }),

  'forgets subscriptions': (store) =>
    around(store, {
      commit: (changes) => store.commit(changes.filter(({ type }) => type !== 'subscribe')),
    }),

  'forgets sessions': (store) => around(store, { sessions: () => [] }),

  'forgets retained messages': (store) => around(store, { retained: () => [] }),

  'keeps retained messages that were cleared': (store) =>
    around(store, {
      commit: (changes) => store.commit(changes.filter(({ type }) => type !== 'clear')),
    }),

  'forgets Wills': (store) =>
    around(store, {
      commit: (changes) =>
        store.commit(
          changes.map((change) =>
            change.type === 'session' ? { type: 'session', session: { ...change.session, will: undefined } } : change,
          ),
        ),
    }),
}
