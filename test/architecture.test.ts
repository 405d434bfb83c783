import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { moduleState } from './support/module-state'
import {
  findCycle,
  type Import,
  importsOf,
  impurities,
  lineCount,
  longFunctions,
  otherThanExports,
  parse,
  readSource,
  roomOf,
  type SourceFile,
} from './support/source-tree'

/** Rooms whose functions answer from their arguments alone. */
const pureRooms = ['memory', 'protocol', 'session', 'routing', 'rights']

const everyRoom = [
  'memory',
  'protocol',
  'session',
  'routing',
  'ports',
  'rights',
  'broker',
  'transport',
  'security',
  'persistence',
  'cluster',
  'observability',
  'typed',
]

/** What each room may import besides itself: rooms and packages. `node:` stands for all built-in modules. */
const table: Readonly<Record<string, readonly string[]>> = {
  memory: ['node:buffer'],
  protocol: ['memory', 'node:buffer'],
  session: ['memory', 'protocol', 'node:buffer'],
  routing: ['memory', 'protocol', 'qlobber', 'node:buffer'],
  ports: ['protocol', 'node:'],
  rights: ['ports', 'protocol'],
  broker: ['memory', 'protocol', 'session', 'routing', 'ports', 'rights', 'eventemitter3', 'mqtt-packet', 'node:'],
  transport: ['ports', 'protocol', 'node:'],
  security: ['ports', 'protocol', '@peculiar/x509', 'pkijs', 'node-forge', 'reflect-metadata', 'node:'],
  persistence: ['ports', 'protocol', 'lmdb', 'ioredis', 'redis', 'node:'],
  cluster: ['ports', 'protocol', 'ioredis', 'redis', 'node:'],
  observability: ['ports', 'protocol', 'node:'],
  testing: ['index.ts', 'ports', 'protocol', 'node:'],
  typed: ['ports', 'protocol'],
  'limits.ts': everyRoom,
  'options.ts': [...everyRoom, 'limits.ts'],
  'mqtt-broker.ts': [...everyRoom, 'options.ts', 'eventemitter3', 'node:'],
  'index.ts': [...everyRoom, 'limits.ts', 'options.ts', 'mqtt-broker.ts'],
  plugins: ['index.ts', 'fastify', 'fastify-plugin', '@nestjs/common', '@nestjs/core', 'node:'],
  // declarations of packages that ship none
  types: [],
  cli: ['index.ts', 'node:'],
}

/** What is made once for all brokers, and why that is right. */
const shared: Readonly<Record<string, string>> = {
  'broker/inspection/packet-stream.ts: nothing': 'holds no byte',
  'broker/wire/outbox.ts: nowhere': 'holds no byte',
  'broker/wire/stream-end.ts: watcher': 'a symbol is a name',
  'protocol/message.ts: nothing': 'holds no byte',
  'protocol/output.ts: nowhere': 'holds no byte',
  'routing/route.ts: noReceivers': 'typed so that nothing can be pushed',
  'protocol/encode.ts: pingresp': 'bytes that are only copied',
  'protocol/subscription-packets.ts: sharePrefix': 'bytes that are only compared',
  'persistence/lmdb/environment.ts: META_KEYS': 'keys that are only read',
  'persistence/lmdb/environment.ts: FIRST_KEY': 'a key that is only read',
  'persistence/lmdb/transaction-queue.ts: START_OF_KEYS': 'a key that is only read',
  'broker/delivery/publish-options.ts: noBlock': 'holds no byte',
  'cluster/redis/records.ts: NOTHING': 'holds no byte',
  'persistence/lmdb/data-file-check.ts: NO_BOUNDS': 'a value that is only read',
  'persistence/lmdb/data-file-room.ts: PIECE': 'zeros that are only read',
  'persistence/lmdb/record-seal.ts: seeds': 'constants, computed when the module is loaded',
  'persistence/lmdb/crc32.ts: table': 'constants, computed when the module is loaded',
  'session/inflight-transitions.ts: packed': 'constants, computed when the module is loaded',
  'protocol/property-writer.ts: messageOrder': 'a table of the specification, readonly by its type',
  'protocol/property-writer.ts: answerOrder': 'a table of the specification, readonly by its type',
  'security/pkcs12.ts: oid': 'constants',
  'ports/clock.ts: systemClock': 'has methods and no fields',
  'ports/logger.ts: silentLogger': 'has methods and no fields',
  'transport/attached-websocket.ts: #tables': 'paths of an HTTP server, which several brokers may share on purpose',
  'security/hash-queue.ts: ofProcess': 'bounds threads that all brokers of the process share on purpose',
  'plugins/fastify.ts: fastifyMqtt': 'a function',
  'plugins/nestjs/mqtt-broker-module.ts: { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN }':
    'a class and the name of what it is given',
  'testing/packet-stream.ts: nothing': 'holds no byte',
  'testing/store-bench.ts: awkwardNames': 'names for tests',
  'cli/cert-ca.ts: certCa': 'the description of a command',
  'cli/cert-client.ts: certClient': 'the description of a command',
  'cli/cert-server.ts: certServer': 'the description of a command',
  'cli/command-line.ts: cert': 'the description of a command',
  'cli/passwd.ts: passwd': 'the description of a command',
  'cli/run.ts: run': 'the description of a command',
}

/** The rooms inside `broker`, from the top down: each may import those behind it in the list, and none before it. */
const innerRooms = [
  'broker.ts',
  'statistics.ts',
  'composition.ts',
  'inspection',
  'packets',
  'delivery',
  'sessions',
  'hooks',
  'commits',
  'wire',
]

const source = readSource(fileURLToPath(new URL('../src', import.meta.url)))

function trespasses(files: readonly SourceFile[]): string[] {
  return files
    .flatMap(importsOf)
    .filter(isTrespass)
    .map(({ from, to }) => `${from} imports ${to}`)
}

function isTrespass({ from, to }: Import): boolean {
  const room = roomOf(from)
  const allowed = table[room]
  if (allowed === undefined) return true
  if (roomOf(to) === room) return false
  return !allowed.some((name) =>
    name === 'node:' ? to.startsWith('node:') : to === name || roomOf(to) === name || to.startsWith(`${name}/`),
  )
}

/** The room inside `broker` that a file lies in, or the file itself where it lies in `broker`. */
function innerRoomOf(path: string): string {
  const inner = path.slice('broker/'.length)
  return inner.includes('/') || inner.endsWith('.ts') ? roomOf(inner) : `${inner}.ts`
}

function innerTrespasses(files: readonly SourceFile[]): string[] {
  return files
    .filter(({ path }) => path.startsWith('broker/'))
    .flatMap(importsOf)
    .filter(({ from, to }) => {
      const place = innerRooms.indexOf(innerRoomOf(from))
      return place < 0 || (to.startsWith('broker/') && innerRooms.indexOf(innerRoomOf(to)) < place)
    })
    .map(({ from, to }) => `${from} imports ${to}`)
}

function fileEdges(files: readonly SourceFile[]): Map<string, Set<string>> {
  const edges = new Map<string, Set<string>>()
  for (const { path } of files) edges.set(path, new Set())
  for (const { from, to } of files.flatMap(importsOf)) {
    const file = to.endsWith('.ts') ? to : `${to}.ts`
    if (edges.has(file)) edges.get(from)!.add(file)
  }
  return edges
}

function roomEdges(files: readonly SourceFile[]): Map<string, Set<string>> {
  const edges = new Map<string, Set<string>>()
  for (const { from, to } of files.flatMap(importsOf)) {
    const room = roomOf(from)
    if (!edges.has(room)) edges.set(room, new Set())
    if (roomOf(to) !== room) edges.get(room)!.add(roomOf(to))
  }
  return edges
}

const nothingNames = /(^|[/-])(utils?|helpers?|managers?|common)([-./]|$)/

describe('the house', () => {
  it('has source to look at', () => {
    expect(source.map(({ path }) => path)).toEqual(
      expect.arrayContaining(['index.ts', 'protocol/packet.ts', 'broker/wire/connection.ts']),
    )
  })

  it('has no room that the table does not know', () => {
    expect([...new Set(source.map(({ path }) => roomOf(path)))].filter((room) => table[room] === undefined)).toEqual([])
  })

  it('imports only what the table allows', () => {
    expect(trespasses(source)).toEqual([])
  })

  it('has no cycle between rooms', () => {
    expect(findCycle(roomEdges(source))).toBeUndefined()
  })

  it('has no cycle between files', () => {
    expect(findCycle(fileEdges(source))).toBeUndefined()
  })

  it('imports only downwards between the rooms inside broker', () => {
    expect(innerTrespasses(source)).toEqual([])
  })

  it('exports from index.ts and does nothing else there', () => {
    expect(source.filter(({ path }) => path === 'index.ts').flatMap(otherThanExports)).toEqual([])
  })

  it('has no await, no clock, no timer and no randomness in the pure rooms', () => {
    expect(source.filter(({ path }) => pureRooms.includes(roomOf(path))).flatMap(impurities)).toEqual([])
  })

  it('remembers nothing from one broker to the next at module level', () => {
    expect(source.flatMap(moduleState).filter((name) => shared[name] === undefined)).toEqual([])
  })

  it('excuses nothing that is not there', () => {
    const found = new Set(source.flatMap(moduleState))
    expect(Object.keys(shared).filter((name) => !found.has(name))).toEqual([])
  })

  it('has no file of more than 400 lines', () => {
    const long = source
      .filter((file) => lineCount(file) > 400)
      .map((file) => `${file.path} has ${lineCount(file)} lines`)
    expect(long).toEqual([])
  })

  it('has no function of more than 60 lines', () => {
    expect(source.flatMap((file) => longFunctions(file, 60))).toEqual([])
  })

  it('names its files for what they hold', () => {
    expect(source.map(({ path }) => path).filter((path) => nothingNames.test(path))).toEqual([])
  })
})

describe('the checks of the house', () => {
  it.each([
    ['protocol/a.ts', `import { b } from '../session/b'`],
    ['protocol/a.ts', `import type { B } from '../broker/b'`],
    ['session/a.ts', `export * from '../routing/b'`],
    ['session/a.ts', `import { readFile } from 'node:fs'`],
    ['session/a.ts', `const b = () => import('qlobber')`],
    ['routing/a.ts', `type B = import('../session/b').B`],
    ['transport/a.ts', `import { b } from '../security/b'`],
    ['security/a.ts', `import { b } from '../broker/b'`],
    ['persistence/a.ts', `import b = require('../broker/b')`],
    ['testing/a.ts', `import { MqttBroker } from '../mqtt-broker'`],
    ['testing/a.ts', `import { describe } from 'vitest'`],
    ['cli/a.ts', `import { MqttBroker } from '../mqtt-broker'`],
    ['index.ts', `export { main } from './cli/main'`],
    ['elsewhere/a.ts', `import { b } from './b'`],
  ])('refuse in %s: %s', (path, text) => {
    expect(trespasses([parse(path, text)])).toHaveLength(1)
  })

  it.each([
    ['session/a.ts', `import { malformed } from '../protocol/mqtt-error'`],
    ['session/a.ts', `import type { Output } from '../protocol/output'`],
    ['security/a.ts', `const x509 = () => import('@peculiar/x509')`],
    ['broker/a.ts', `import { b } from './b'`],
    ['cli/a.ts', `import { MqttBroker } from '../index'`],
  ])('allow in %s: %s', (path, text) => {
    expect(trespasses([parse(path, text)])).toEqual([])
  })

  it.each([
    ['broker/wire/a.ts', `import { b } from '../commits/b'`],
    ['broker/wire/a.ts', `import type { B } from '../broker'`],
    ['broker/commits/a.ts', `export * from '../hooks/b'`],
    ['broker/sessions/a.ts', `import { b } from '../delivery/b'`],
    ['broker/delivery/a.ts', `const b = () => import('../packets/b')`],
    ['broker/packets/a.ts', `import { compose } from '../composition'`],
    ['broker/composition.ts', `import { RunningBroker } from './broker'`],
    ['broker/wire/a.ts', `import { b } from '../elsewhere/b'`],
    ['broker/elsewhere/a.ts', `import { b } from '../wire/b'`],
  ])('refuse inside broker in %s: %s', (path, text) => {
    expect(innerTrespasses([parse(path, text)])).toHaveLength(1)
  })

  it.each([
    ['broker/packets/a.ts', `import { b } from '../delivery/b'`],
    ['broker/sessions/a.ts', `import { b } from '../wire/b'`],
    ['broker/broker.ts', `import { b } from './packets/b'`],
    ['broker/broker.ts', `import { compose } from './composition'`],
    ['broker/composition.ts', `import { b } from './wire/b'`],
    ['broker/wire/a.ts', `import { b } from '../../session/b'`],
    ['broker/wire/a.ts', `import { b } from './b'`],
  ])('allow inside broker in %s: %s', (path, text) => {
    expect(innerTrespasses([parse(path, text)])).toEqual([])
  })

  it('find a cycle of two files in one room', () => {
    const files = [parse('a/1.ts', `import './2'`), parse('a/2.ts', `import type { A } from './1'`)]
    expect(findCycle(fileEdges(files))).toEqual(['a/1.ts', 'a/2.ts', 'a/1.ts'])
  })

  it('find a cycle over three rooms', () => {
    const files = [
      parse('a/1.ts', `import '../b/1'`),
      parse('b/1.ts', `import type { C } from '../c/1'`),
      parse('c/1.ts', `import '../a/2'`),
    ]
    expect(findCycle(roomEdges(files))).toEqual(['a', 'b', 'c', 'a'])
  })

  it('find a long function wherever it stands', () => {
    const body = '\n'.repeat(60)
    expect(longFunctions(parse('a.ts', `class A { b = () => {${body}} }`), 60)).toEqual(['a.ts:1 has 61 lines'])
    expect(longFunctions(parse('a.ts', `class A { get b() {${body}} }`), 61)).toEqual([])
  })

  it('find what is impure, and not what only has the name', () => {
    const text = 'async function a(x: { process: 1 }) { x.process; await setTimeout; Math.random(); new Date() }'
    expect(impurities(parse('a.ts', text))).toHaveLength(5)
  })

  it.each([
    'let depth = 0',
    'var depth = 0',
    'export let depth: number | undefined',
    'const scratch = new Scratch()',
    'export const scratch = { packet: new Packet() }',
    'const scratch = { depth: 0 }',
    'const seen: string[] = []',
    'const tables = { seen: new Set() } as const',
    'const pool = Array.from({ length: 2 }, () => 0)',
    'const buffer = Buffer.alloc(4)',
    'class A { static depth = 0 }',
    'export class A { static readonly cache = new Map() }',
  ])('find what a module remembers: %s', (text) => {
    expect(moduleState(parse('a.ts', text))).toHaveLength(1)
  })

  it.each([
    'const limit = 3 * 4',
    'export const Phase = { Open: 0, names: [1, 2] } as const',
    'const names: readonly string[] = []',
    'const codes: ReadonlySet<number> = new Set([1])',
    'const none: readonly string[] = Object.freeze([])',
    'const make = () => new Map()',
    'function make() { const seen = new Set(); let n = 0; return { seen, n } }',
    'class A { static readonly small = 4; private cache = new Map() }',
  ])('find nothing that a module remembers in: %s', (text) => {
    expect(moduleState(parse('a.ts', text))).toEqual([])
  })

  it('find what is no export in index.ts', () => {
    const text = `export { a } from './a'\nimport { b } from './b'\nexport const c = b\nexport type * from './d'`
    expect(otherThanExports(parse('index.ts', text))).toHaveLength(2)
  })

  it.each(['broker/utils.ts', 'helpers/a.ts', 'session-manager.ts', 'common/b.ts', 'util/c.ts'])(
    'refuse the name %s',
    (path) => {
      expect(nothingNames.test(path)).toBe(true)
    },
  )
})
