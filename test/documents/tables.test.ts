import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { SystemTopics } from '../../src/broker/inspection/system-topics'
import { Measurements } from '../../src/broker/wire/measurements'
import * as gnatmq from '../../src/index'
import { Cost } from '../../src/memory/cost'
import { type BudgetName, divideMemory, partOf } from '../../src/memory/memory-budget'
import { metricTable } from '../../src/observability/metrics/metric-table'
import { checkOptions, settingsOf } from '../../src/options'
import { LmdbStore } from '../../src/persistence/lmdb/lmdb-store'
import { standardMemory } from '../../src/ports/machine-memory'
import { maximumOpenFiles } from '../../src/ports/open-files'
import { MqttError } from '../../src/protocol/mqtt-error'
import { Link } from '../../src/testing/faults'
import * as testing from '../../src/testing/index'
import { SimulatedClock } from '../../src/testing/simulated-clock'
import { TestBroker } from '../../src/testing/test-broker'
import { project } from '../support/build'
import { type Member, membersOf } from '../support/declared-members'
import { documents, tablesOf, textOf } from '../support/markdown-file'
import { rowsUnder } from '../support/markdown-table'
import { readSource } from '../support/source-tree'

const reference = (page: string): string => join('docs', 'reference', `${page}.md`)
const plain = (cell: string): string => cell.replaceAll('`', '')
const wordsIn = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, word]) => word!)
const rowsOf = (page: string, heading: string): string[][] => rowsUnder(textOf(reference(page)), heading)
const cells = (page: string, heading: string): string[][] => rowsOf(page, heading).map((row) => row.map(plain))
const number = (cell: string): number => (cell === '∞' ? Number.POSITIVE_INFINITY : Number(cell.replaceAll(',', '')))
const defaults = settingsOf({}, {})

/** The names that an error message about an unknown one gives. */
function namesIn(options: object): string[] {
  try {
    checkOptions(options)
  } catch (error) {
    if (error instanceof MqttError) return error.message.replace(/^.*(?:there are|options are) /, '').split(', ')
  }
  throw new Error('the unknown name was taken')
}

describe('the table of options', () => {
  const rows = cells('options', 'Options')

  it('names every option and no other', () => {
    expect(rows.map(([name]) => name).sort()).toEqual(namesIn({ nothing: 1 }).sort())
  })

  it.each(rows.filter(([, , standard]) => /^(true|false|[\d,]+|[a-z]+-[a-z]+)$/.test(standard!)))(
    'has the default of %s',
    (name, type, standard) => {
      const flat: Record<string, unknown> = {
        ...defaults,
        ...defaults.session,
        queueOverflow: defaults.session.overflow,
      }
      const value = flat[name!] ?? flat[`${name}Ms`]
      if (name === 'allowAnonymous') expect(standard).toBe('false')
      else
        expect(typeof value === 'number' ? number(standard!) : standard).toBe(
          typeof value === 'number' ? value : String(value),
        )
      if (type === 'milliseconds') expect(flat[`${name}Ms`]).toBeTypeOf('number')
    },
  )

  it.each(rows.filter(([, type]) => /^[a-z]+(-[\w]+)*, [a-z]/.test(type!)))(
    'has the words that %s takes',
    (name, type) => {
      for (const word of type!.split(', ')) expect(() => checkOptions({ [name!]: word })).not.toThrow()
      expect(() => checkOptions({ [name!]: 'nothing' } as object)).toThrow(type!)
    },
  )
})

describe('the table of limits', () => {
  const rows = cells('options', 'Limits')

  it('names every limit and no other', () => {
    expect(rows.map(([name]) => name).sort()).toEqual(namesIn({ limits: { nothing: 1 } }).sort())
  })

  it.each(rows)('has range and default of %s', (name, _unit, range, standard) => {
    const [minimum, maximum] = range!.split(' to ').map(number) as [number, number]
    const take = (value: number) => () => checkOptions({ limits: { [name!]: value } })
    expect(take(minimum)).not.toThrow()
    expect(take(maximum)).not.toThrow()
    expect(take(minimum - 1)).toThrow(MqttError)
    if (maximum !== Number.POSITIVE_INFINITY) expect(take(maximum + 1)).toThrow(MqttError)
    const { maximumMessages, maximumBytes } = defaults.session.budget
    const budget = { maximumTotalQueuedMessages: maximumMessages, maximumTotalQueuedBytes: maximumBytes }
    const flat: Record<string, unknown> = { ...defaults, ...defaults.session, ...defaults.outbox, ...budget }
    const memory = standardMemory()
    const [, percent] = /^(\d+) % of memory$/.exec(standard!) ?? []
    const files = /^([\d,]+), (\d)\/(\d) of ulimit -n at most$/.exec(standard!) ?? undefined
    if (percent !== undefined) expect(flat[name!]).toBe(Math.floor((memory * Number(percent)) / 100))
    else if (files !== undefined) {
      const [part, whole] = files.slice(2).map(Number) as [number, number]
      const most = Math.floor(((maximumOpenFiles() ?? Number.POSITIVE_INFINITY) * part) / whole)
      expect(flat[name!]).toBe(Math.min(number(files[1]!), most))
    } else if (name === 'memory') expect(defaults.memory).toEqual(divideMemory(memory))
    else expect(flat[name!]).toBe(number(standard!))
  })
})

describe('the tables of memory', () => {
  const names: Record<string, BudgetName> = {
    'retained messages': 'retained',
    'Topic Aliases': 'aliases',
    'outgoing bytes': 'outgoing',
    'incoming bytes': 'incoming',
    Wills: 'wills',
  }

  it('have each budget and its part', () => {
    const documented = cells('memory', 'Budgets').map(([name, part]) => [names[name!] ?? name, part])
    const budgets = Object.keys(divideMemory(100)) as BudgetName[]
    expect(documented).toEqual(budgets.map((name) => [name, `${partOf(100, name)} %`]))
  })

  it('have what things cost', () => {
    const documented = cells('memory', 'What things cost').flatMap(([, bytes]) =>
      [...bytes!.matchAll(/[\d,]+/g)].map(([digits]) => number(digits)),
    )
    expect(documented).toEqual(Object.values(Cost))
  })
})

describe('the table of events', () => {
  it('names every event and no other', () => {
    const source = readFileSync(join(project, 'src/ports/events.ts'), 'utf8')
    const declared = source.slice(source.indexOf('interface BrokerEvents<')).matchAll(/^ {2}(\w+): \[/gm)
    expect(
      cells('events', 'Events')
        .map(([name]) => name)
        .sort(),
    ).toEqual([...declared].map(([, name]) => name).sort())
  })
})

describe('the tables of metrics', () => {
  it('have every metric, with its type and labels', () => {
    const documented = cells('metrics', 'Metrics').map(([name, type, labels]) => [name, type, labels])
    const statistics = { ...new gnatmq.MqttBroker().statistics, refusedConnections: { GNATMQ_SERVER_BUSY: 1 } }
    const measured = new Measurements().snapshot
    const declared = metricTable().map(({ name, type, values }) => {
      const all = values({ state: 'running', statistics, histograms: () => measured })
      return [name, type, Object.keys(all[0]!.labels).join()]
    })
    expect(documented).toEqual(declared)
  })

  it('have every topic below $SYS', () => {
    const clock = new SimulatedClock()
    const published = new Set<string>()
    const { statistics } = new gnatmq.MqttBroker()
    const publish = (topic: string): void =>
      void published.add(topic.replace('$SYS/broker/', '').replace(/\/\d+min$/, ''))
    new SystemTopics({ clock, intervalMs: 1, statistics: () => statistics, publish }).begin()
    clock.advance(1)
    expect(
      cells('metrics', 'Topics below $SYS')
        .map(([name]) => name)
        .sort(),
    ).toEqual([...published].sort())
  })
})

describe('the table of causes', () => {
  it('names every cause of explain and no other', () => {
    const source = readFileSync(join(project, 'src/ports/explanation.ts'), 'utf8')
    const declared = [...source.matchAll(/^ {2}\| '([\w ]+)'$/gm)].map(([, cause]) => cause)
    expect(cells('objects', 'ExplainCause').map(([cause]) => cause)).toEqual(declared)
  })
})

describe('the table of decisions', () => {
  it('names every decision and its details', () => {
    const source = readFileSync(join(project, 'src/broker/inspection/tracing.ts'), 'utf8')
    const declared = [...source.matchAll(/decide\(\s*'([\w ]+)',[^{]*\{([^}]*)\}/g)].map(([, decision, fields]) => {
      const names = fields!.split(',').map((field) => field.trim().replace(/:.*/, ''))
      return [
        decision,
        names
          .filter((name) => name !== '')
          .sort()
          .join(),
      ]
    })
    const documented = rowsOf('objects', 'TracedDecision').map(([decision, details]) => {
      const names = wordsIn(details!.replace(/: (see|what|the) .*/, ''))
      return [
        plain(decision!),
        names
          .filter((name) => name !== 'messageDropped')
          .sort()
          .join(),
      ]
    })
    expect(documented.sort()).toEqual(declared.sort())
  })
})

describe('the table of channels', () => {
  it('has the channel of every event, and its values', () => {
    const source = readFileSync(join(project, 'src/broker/hooks/event-channels.ts'), 'utf8')
    const declared = [...source.matchAll(/^ {2}(\w+): \[(.*)\],$/gm)].map(([, event, list]) => {
      const [channel, ...values] = list!.replaceAll("'", '').split(', ')
      return [channel, event, values.join(', ')]
    })
    expect(cells('events', 'Channels').sort()).toEqual(declared.sort())
  })
})

/** Tables that have a row for each member of an interface or class: page, heading, its name. */
const membersTables = [
  ['hooks', 'The message of authorizePublish', 'PublishRequest'],
  ['hooks', 'The subscription of authorizeSubscribe', 'SubscribeRequest'],
  ['events', 'The reason of clientDisconnected', 'DisconnectReason'],
  ['events', 'The peer of clientError', 'Peer'],
  ['events', 'The details of clientError', 'ErrorDetails'],
  ['objects', 'PublishOptions', 'PublishOptions'],
  ['objects', 'ApplicationSubscribeOptions', 'ApplicationSubscribeOptions'],
  ['objects', 'RequestOptions', 'RequestOptions'],
  ['objects', 'Message properties', 'MessageProperties'],
  ['objects', 'Client', 'Client'],
  ['objects', 'Statistics', 'BrokerStatistics'],
  ['objects', 'Lists', 'ListOptions'],
  ['objects', 'SessionInfo', 'SessionInfo'],
  ['objects', 'SubscriptionInfo', 'SubscriptionInfo'],
  ['objects', 'ExplainRequest', 'ExplainRequest'],
  ['objects', 'Explanation', 'Explanation'],
  ['objects', 'TraceOptions', 'TraceOptions'],
  ['objects', 'TraceEntry', 'TracedBytes'],
  ['listeners', 'tcp', 'TcpOptions'],
  ['listeners', 'tls', 'TlsListenerOptions'],
  ['listeners', 'webSocket', 'WebSocketOptions'],
  ['stores', 'lmdbStore', 'LmdbStoreOptions'],
  ['stores', 'redisStore', 'RedisStoreOptions'],
] as const

describe.each(membersTables)('in %s, the table "%s"', (page, heading, name) => {
  const members = membersOf(name)
  const rows = rowsOf(page, heading)

  it('names every member and no other', () => {
    // TLS options stand in one row of tls(), and in a sentence of webSocket()
    const inherited = name === 'TlsListenerOptions' ? membersOf('TlsOptions') : []
    const documented = rows.flatMap(([cell]) => wordsIn(cell!)).map((word) => word.replace(/\(.*/, ''))
    expect(documented.sort()).toEqual([...members, ...inherited].map((member) => member.name).sort())
  })

  const withDefault = rows.flatMap(([cell, , standard]) => {
    const member = members.find((one) => one.name === wordsIn(cell!)[0])
    return member?.standard === undefined || standard === undefined ? [] : [[member, plain(standard)] as const]
  })

  it.skipIf(withDefault.length === 0)('has the defaults that the source names', () => {
    for (const [member, standard] of withDefault) expectSameDefault(member, standard)
  })
})

/** The source says it in a sentence, the table in a cell: the first value is the same. */
function expectSameDefault(member: Member, cell: string): void {
  const value = /^(\d[\d,]*( MiB)?|\/\w+|true|false)/
  const declared = value
    .exec(plain(member.standard!))?.[0]
    .replace(/,(?=\d)/g, '')
    .replace(',', '')
  if (declared !== undefined)
    expect([
      member.name,
      value
        .exec(cell)?.[0]
        .replace(/,(?=\d)/g, '')
        .replace(',', ''),
    ]).toEqual([member.name, declared])
}

describe('the tables of hooks', () => {
  it('have a row for each hook', () => {
    const hooks = membersOf('Hooks').map(({ name }) => name)
    const documented = cells('hooks', 'The four hooks').map(([name]) => name)
    expect(documented).toHaveLength(4)
    expect([...documented, 'authenticationMethods'].sort()).toEqual(hooks.sort())
  })

  it.each(rowsOf('hooks', 'Answers').filter(([answer]) => answer!.startsWith('`{')))(
    'have answers of members that exist: %s',
    (answer) => {
      const named = ['Denial', 'Identity', 'IdentityTerms'].flatMap((type) => membersOf(type).map(({ name }) => name))
      const members = ['qos', ...named]
      for (const name of plain(answer!).match(/\w+/g)!) expect(members).toContain(name)
    },
  )
})

describe('the tables of objects', () => {
  const { prototype } = gnatmq.MqttBroker
  const broker = [prototype, Object.getPrototypeOf(prototype)].flatMap(Object.getOwnPropertyNames)

  it('name members of MqttBroker', () => {
    const internal = ['isOpenToAll', 'constructor', 'emit', 'run', 'standardListener', 'isOpenToAll', 'shutDown']
    const others = ['begin', 'inspection', 'addLocal', 'removeLocal', 'runningOrThrow']
    const documented = cells('objects', 'MqttBroker')
      .map(([member]) => member!.replace(/\(.*/, ''))
      .filter((member) => !/^new |^MqttBroker\./.test(member))
    expect([...new Set(documented)].sort()).toEqual(
      [...new Set(broker)].filter((name) => ![...internal, ...others].includes(name)).sort(),
    )
    expect(gnatmq.MqttBroker.start).toBeTypeOf('function')
  })

  it('name members of Message', () => {
    const members = membersOf('ApplicationMessage').map(({ name }) => name)
    expect(cells('objects', 'Message').map(([name]) => name)).toEqual(members)
  })

  it('name functions of the package', () => {
    for (const [call] of cells('objects', 'Functions'))
      expect(gnatmq).toHaveProperty(call!.replace(/\(.*/, ''), expect.any(Function))
  })

  it('name members that certificates have', () => {
    const classes: Record<string, object> = {
      ServerCertificate: gnatmq.ServerCertificate,
      CertificateAuthority: gnatmq.CertificateAuthority,
      PasswordFile: gnatmq.PasswordFile,
      authority: gnatmq.CertificateAuthority.prototype,
      users: gnatmq.PasswordFile.prototype,
    }
    const issued = membersOf('IssuedCertificate').map(({ name }) => name)
    for (const word of rowsOf('objects', 'Certificates in code').flatMap(([cell]) => wordsIn(cell!))) {
      const [owner, member] = word.replace(/\(.*/, '').split('.') as [string, string?]
      if (member === undefined) expect(gnatmq).toHaveProperty(owner)
      else if (owner === 'issued') expect(issued).toContain(member)
      else expect(classes[owner], word).toHaveProperty(member)
    }
  })
})

describe('the other tables of the reference', () => {
  it('name the listeners and their ports', async () => {
    for (const [call, , , port] of cells('listeners', 'Listeners')) {
      const name = call!.replace(/\(.*/, '')
      expect(gnatmq).toHaveProperty(name)
      if (!/^\d+$/.test(port!)) continue
      const page = textOf(reference('listeners'))
      expect(page).toMatch(new RegExp(`\`port\`[^\n]*${port}`))
    }
  })

  it('name the methods of inProcess()', () => {
    const methods = membersOf('InProcessListener').map(({ name }) => name)
    expect(cells('listeners', 'inProcess').map(([method]) => method!.replace(/\(.*/, ''))).toEqual(methods)
  })

  it('name every change of a commit', () => {
    const source = readFileSync(join(project, 'src/ports/store.ts'), 'utf8')
    const types = [...source.matchAll(/readonly type: '(\w+)'/g)].map(([, type]) => type!)
    expect(
      rowsOf('stores', 'The changes')
        .flatMap(([cell]) => wordsIn(cell!))
        .sort(),
    ).toEqual(types.sort())
  })

  it('name the stores', () => {
    const [memory, durable] = rowsOf('stores', 'Stores')
    expect(memory![0]).toContain(gnatmq.MemoryStore.name)
    expect(durable![0]).toContain('lmdbStore')
    expect(new LmdbStore('nowhere', {})).toHaveProperty('backup')
  })

  it('name what gnatmq/testing exports', () => {
    expect(
      cells('testing', 'gnatmq/testing')
        .map(([name]) => name)
        .sort(),
    ).toEqual(Object.keys(testing).sort())
  })

  it.each([
    ['testBroker', TestBroker.prototype, ['constructor', 'missed']],
    ['Link', Link.prototype, ['constructor', 'pass', 'join', 'leave', 'add', 'remove']],
  ])('name the members of %s', (table, prototype, internal) => {
    const fields = table === 'Link' ? ['clientId', 'isPartitioned'] : []
    const members = [...Object.getOwnPropertyNames(prototype), ...fields].filter((name) => !internal.includes(name))
    const documented = cells('testing', table).map(([name]) => name!.replace(/\(.*/, ''))
    expect(documented.sort()).toEqual(members.sort())
  })

  it('name the members of SimulatedClock', () => {
    const members = Object.getOwnPropertyNames(SimulatedClock.prototype)
    const documented = cells('testing', 'SimulatedClock').map(([name]) => name!.replace(/\(.*/, ''))
    expect(documented.sort()).toEqual(
      members.filter((name) => !['constructor', 'add', 'earliest'].includes(name)).sort(),
    )
  })

  it('name the arguments of storeSuite', () => {
    const documented = rowsOf('testing', 'storeSuite').flatMap(([cell]) => wordsIn(cell!))
    const options = membersOf('StoreSuiteOptions').map(({ name }) => name)
    expect(documented.sort()).toEqual(['makePlace', 'name', ...options].sort())
  })

  it('name the fields of a right', () => {
    expect(cells('hooks', 'Rights').map(([name]) => name)).toEqual(membersOf('Right').map(({ name }) => name))
  })

  it('name the fields of an identity', () => {
    const members = ['Identity', 'IdentityTerms'].flatMap((type) => membersOf(type).map(({ name }) => name))
    expect(
      cells('hooks', 'Identity')
        .map(([name]) => name)
        .sort(),
    ).toEqual(members.sort())
  })

  it('name the limits of a client', () => {
    expect(cells('options', 'ClientLimits').map(([name]) => name)).toEqual(
      membersOf('ClientLimits').map(({ name }) => name),
    )
  })

  it('name the answers of an Authentication Method', () => {
    const source = readFileSync(join(project, 'src/ports/hooks.ts'), 'utf8')
    for (const name of ['continue', 'success', 'data', 'username', 'expiresAt']) {
      expect(source).toMatch(new RegExp(`readonly ${name}\\??:`))
      expect(plain(rowsOf('hooks', 'Enhanced authentication').join())).toContain(name)
    }
  })
})

describe('tables of guides and README', () => {
  const known = publicWords()

  /** What stands in a cell as code and looks like a name of this package. */
  const names = (cell: string): string[] =>
    wordsIn(cell).flatMap((word) => word.match(/\b(?:[a-z]+[A-Z]\w*|GNATMQ_\w+)\b/g) ?? [])

  it.each(
    documents
      .filter((document) => /README|CONTRIBUTING|SECURITY|guides/.test(document))
      .flatMap((document) => tablesOf(document).map((heading) => [document, heading] as const)),
  )('in %s, "%s" names what there is', (document, heading) => {
    const rows = rowsUnder(textOf(document), heading)
    expect(rows.length).toBeGreaterThan(1)
    // of a migration table the first column is about the other broker
    const own = document.includes('migrating') ? rows.map((row) => row.slice(1)) : rows
    const unknown = own
      .flat()
      .flatMap(names)
      .filter((name) => !known.has(name))
    expect(unknown).toEqual([])
  })
})

/** Every word of the source. */
function publicWords(): Set<string> {
  const words = new Set<string>()
  for (const { syntax } of readSource(join(project, 'src')))
    for (const [word] of syntax.text.matchAll(/\w+/g)) words.add(word)
  return words
}

describe('every table', () => {
  const proven: Record<string, readonly string[]> = {
    options: ['Options', 'Limits', 'ClientLimits'],
    memory: ['Budgets', 'What things cost'],
    hooks: ['The four hooks', 'Answers', 'Identity', 'Rights', 'Enhanced authentication'],
    events: ['Events', 'Channels'],
    objects: ['MqttBroker', 'Message', 'ExplainCause', 'TracedDecision', 'Functions', 'Certificates in code'],
    listeners: ['Listeners', 'inProcess'],
    stores: ['Stores', 'The changes'],
    metrics: ['Metrics', 'Topics below $SYS'],
    testing: ['gnatmq/testing', 'SimulatedClock', 'storeSuite', 'testBroker', 'Link'],
    // by errors.test.ts and command-line.test.ts
    errors: ['Errors'],
    'command-line': ['Command line'],
  }

  it.each(documents.filter((document) => document.includes('reference')))('of %s is proven by a test', (document) => {
    const page = /([\w-]+)\.md$/.exec(document)![1]!
    const members = membersTables.filter(([one]) => one === page).map(([, heading]) => heading)
    expect(tablesOf(document).sort()).toEqual([...members, ...(proven[page] ?? [])].sort())
  })
})
