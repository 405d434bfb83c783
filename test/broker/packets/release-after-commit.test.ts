import { describe, expect, it } from 'vitest'
import { MemoryStore } from '../../../src/persistence/memory-store'
import type { Change, Store } from '../../../src/ports/store'
import { connectClient, startBroker } from '../../support/broker'

/** A store whose commits stay open as long as the test wants it, and settle in the order of the calls. */
class HeldStore extends MemoryStore {
  private readonly waiting: (() => void)[] = []
  private holding = false

  get asStore(): Store {
    const commit = (changes: readonly Change[]): Promise<void> => {
      this.commit(changes)
      return new Promise((resolve) => (this.holding ? this.waiting.push(resolve) : resolve()))
    }
    return {
      open: () => this.open(),
      close: () => this.close(),
      commit,
      sessions: () => this.sessions(),
      retained: () => this.retained(),
      queue: (clientId, after, limit) => this.queue(clientId, after, limit),
      held: (clientId) => this.held(clientId),
    }
  }

  /** Whether a commit waits. */
  get waits(): boolean {
    return this.waiting.length > 0
  }

  hold(): void {
    this.holding = true
  }

  goOn(): void {
    this.holding = false
    for (const settle of this.waiting.splice(0)) settle()
  }
}

describe('a PUBREC whose commit is open when its connection ends', () => {
  it('is answered with PUBREL in the connection that comes next', async () => {
    const store = new HeldStore()
    const broker = await startBroker({ store: store.asStore })
    const options = { clientId: 'lamp', clean: false }
    const before = await connectClient(broker, options)
    await before.subscribe('a', 2)
    await broker.publish({ topic: 'a', payload: 'x', qos: 2 })
    const { messageId } = await before.next('publish')
    store.hold()
    before.send({ cmd: 'pubrec', messageId: messageId! })
    await expect.poll(() => store.waits).toBe(true)
    before.destroy()
    await expect.poll(() => broker.clients.size).toBe(0)
    store.goOn()
    const after = await connectClient(broker, options)
    expect(await after.next('pubrel')).toMatchObject({ messageId })
  })
})
