import { deepStrictEqual as same } from 'node:assert'
import type { Change } from '../ports/store'
import {
  awkwardNames,
  bytes,
  byUnits,
  message,
  plainMessage,
  type StoreBench,
  session,
  subscription,
  type Test,
} from './store-bench'

export function retainedTests(test: Test): void {
  const retain = (topic: string, parts = {}): Change => ({ type: 'retain', message: message(topic, parts) })

  test('with all that they have, one for each topic, the last one', async (bench) => {
    const last = {
      payload: bytes('last'),
      qos: 2,
      properties: bytes('properties'),
      expiresAt: 1_700_000_000_123,
    } as const
    await bench.commit(retain('x', { payload: bytes('first') }), retain('y'))
    await bench.commit(retain('x', last))
    same((await bench.retained()).map(plainMessage), [message('x', last), message('y')].map(plainMessage))
  })

  test('until they are cleared, once or twice', async (bench) => {
    await bench.commit(retain('x'), retain('x/y'), retain('y'))
    await bench.commit({ type: 'clear', topic: 'x' }, { type: 'clear', topic: 'x' }, { type: 'clear', topic: 'z' })
    same(
      (await bench.retained()).map(({ topic }) => topic),
      ['x/y', 'y'],
    )
  })

  test('with topics of any kind and length', async (bench) => {
    const topics = [...awkwardNames, 'x'.repeat(65_535), `${'x'.repeat(65_534)}y`]
    await bench.commit(...topics.map((topic) => retain(topic, { payload: bytes('kept') })))
    same(
      (await bench.retained()).map(({ topic }) => topic),
      [...topics].sort(byUnits),
    )
    await bench.commit(...topics.map((topic): Change => ({ type: 'clear', topic })))
    same(await bench.retained(), [])
  })

  test('beside sessions that end', async (bench) => {
    await bench.commit(session('x'), retain('x'))
    await bench.commit({ type: 'end', clientId: 'x' })
    same(
      (await bench.retained()).map(({ topic }) => topic),
      ['x'],
    )
  })

  test('and where a subscription goes on with them, or nothing of that', keepsReplay)
}

/** A store that does not keep `replayAfter` is no worse a store; one that does keeps it as it is. */
async function keepsReplay(bench: StoreBench): Promise<void> {
  const subscribe = (parts = {}): Change => ({
    type: 'subscribe',
    clientId: 'a',
    subscription: subscription('x/#', parts),
  })
  const found = async (): Promise<readonly (string | undefined)[]> =>
    ((await bench.session('a'))?.subscriptions ?? []).map(({ replayAfter }) => replayAfter)
  const isOneOf = (actual: readonly (string | undefined)[], kept: string): void =>
    same(actual, actual[0] === undefined ? [undefined] : [kept])
  await bench.commit(session('a'), subscribe({ replayAfter: '' }))
  isOneOf(await found(), '')
  await bench.commit(subscribe({ replayAfter: 'x/€' }))
  await bench.reopen()
  isOneOf(await found(), 'x/€')
  await bench.commit(subscribe())
  same(await found(), [undefined])
}
