import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { copyFile, readFile, symlink, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'tsup'
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { hashPassword } from '../../src/security/password-file'
import { runCli, temporaryFolder } from './recorded-terminal'

const project = dirname(dirname(dirname(fileURLToPath(import.meta.url))))
const patience = { timeout: 15_000, interval: 50 }

/** A folder as the package is installed: `dist/cli/main.js`, its manifest, and its dependencies. */
let installed: string
let main: string
const running: ChildProcess[] = []

beforeAll(async () => {
  installed = await temporaryFolder()
  await copyFile(join(project, 'package.json'), join(installed, 'package.json'))
  await symlink(join(project, 'node_modules'), join(installed, 'node_modules'))
  await build({
    config: false,
    silent: true,
    entry: { main: join(project, 'src/cli/main.ts') },
    outDir: join(installed, 'dist/cli'),
    format: ['esm'],
    target: 'node20',
    splitting: false,
    external: ['@peculiar/x509', 'pkijs', 'reflect-metadata', 'node-forge'],
  })
  main = join(installed, 'dist/cli/main.js')
}, 60_000)

afterEach(async () => {
  for (const child of running.splice(0)) {
    if (child.exitCode !== null || child.signalCode !== null) continue
    const exit = once(child, 'exit')
    child.kill('SIGKILL')
    await exit
  }
})

/** A process and all that it has said so far. */
function start(command: string, args: string[], input?: string) {
  const child = spawn(command, args, { cwd: installed, stdio: 'pipe' })
  running.push(child)
  const said = { output: '', errors: '' }
  child.stdout.on('data', (chunk) => (said.output += chunk))
  child.stderr.on('data', (chunk) => (said.errors += chunk))
  const code = once(child, 'close').then(([status]) => status as number | null)
  if (input !== undefined) child.stdin.end(input)
  return { child, said, code }
}

const gnatmq = (...args: string[]) => start(process.execPath, [main, ...args])

/** As a person pastes it: through a shell. */
const paste = (line: string) => start('sh', ['-c', `exec ${line}`])

async function listening(broker: ReturnType<typeof gnatmq>) {
  const ended = broker.code.then((status) => {
    throw new Error(`gnatmq ended with ${status}: ${broker.said.errors}`)
  })
  const ready = vi.waitFor(() => expect(broker.said.output).toContain('endAsync()'), patience)
  await Promise.race([ready, ended])
  ended.catch(() => undefined)
  const lines = broker.said.output.split('\n').map((line) => line.trim())
  const lineOf = (word: string) => lines.find((line) => line.startsWith(word))!
  const snippet = lines.slice(lines.indexOf('MQTT.js:') + 1)
  return { subscribe: lineOf('mosquitto_sub'), publish: lineOf('mosquitto_pub'), snippet: snippet.join('\n') }
}

/** The three ways that were printed reach the broker and each other. */
async function expectToWork(lines: Awaited<ReturnType<typeof listening>>) {
  const subscriber = paste(lines.subscribe)
  await vi.waitFor(async () => {
    const publisher = paste(lines.publish)
    expect(await publisher.code, publisher.said.errors).toBe(0)
    expect(subscriber.said.output, subscriber.said.errors).toContain('lamp/1 on\n')
  }, patience)
  const before = subscriber.said.output.length
  await writeFile(join(installed, 'client.mjs'), lines.snippet)
  const client = start(process.execPath, ['client.mjs'])
  expect(await client.code, client.said.errors).toBe(0)
  await vi.waitFor(() => expect(subscriber.said.output.slice(before)).toContain('lamp/1 on\n'), patience)
}

describe('gnatmq', () => {
  it('makes a certificate, prints lines that work as pasted, and stops when it is asked to', async () => {
    const data = join(await temporaryFolder(), "it's data")
    const broker = gnatmq('--port', '0', '--host', '127.0.0.1', '--data', data)
    const lines = await listening(broker)
    expect(broker.said.output).toMatch(/gnatmq listens on mqtts:\/\/127\.0\.0\.1:\d+\n/)
    await expectToWork(lines)
    broker.child.kill('SIGTERM')
    expect(await broker.code).toBe(0)
    expect(broker.said.errors).toBe('')

    const again = gnatmq('--port', '0', '--host', '127.0.0.1', '--data', data)
    await listening(again)
    expect(again.said.output).not.toContain('made a')
    again.child.kill('SIGINT')
    expect(await again.code).toBe(0)
  }, 60_000)

  it('keeps all but TLS clients out, and TLS clients that do not trust its CA stay away', async () => {
    const broker = gnatmq('--port', '0', '--host', '127.0.0.1', '--data', await temporaryFolder())
    const { publish } = await listening(broker)
    const plain = paste(publish.replace(/--cafile \S+/, ''))
    expect(await plain.code).not.toBe(0)
    const strange = paste(publish.replace(/--cafile \S+/, '--capath /etc/ssl/certs'))
    expect(await strange.code).not.toBe(0)
  }, 60_000)

  it('speaks plain MQTT on this machine when it is told to', async () => {
    const broker = gnatmq('--plain', '--port', '0')
    const lines = await listening(broker)
    expect(broker.said.output).toMatch(/mqtt:\/\/127\.0\.0\.1:\d+\n/)
    await expectToWork(lines)
    const open = gnatmq('--plain', '--port', '0', '--host', '0.0.0.0')
    expect(await open.code).toBe(1)
    expect(open.said.errors).toMatch(/^gnatmq: [^\n]*--users FILE[^\n]* \(GNATMQ_ANONYMOUS_LISTENER\)\n$/)
  }, 60_000)

  it('lets only the users of the password file in', async () => {
    const users = join(await temporaryFolder(), 'users')
    const added = start(process.execPath, [main, 'passwd', users, 'ada'], 'pass word\n')
    expect(await added.code, added.said.errors).toBe(0)
    expect(added.said.output).toBe(`added ada in ${users}\n`)
    const broker = gnatmq('--plain', '--port', '0', '--users', users)
    const { publish } = await listening(broker)
    expect(publish).toContain('-u ada -P PASSWORD')
    expect(await paste(publish).code).not.toBe(0)
    expect(await paste(publish.replace('-u ada -P PASSWORD', '')).code).not.toBe(0)
    expect(await paste(publish.replace('PASSWORD', "'pass word'")).code).toBe(0)
  }, 60_000)

  it('goes on when the reader of its output goes', async () => {
    const broker = gnatmq('--plain', '--port', '0')
    const { publish } = await listening(broker)
    broker.child.stdout.destroy()
    broker.child.stderr.destroy()
    expect(await paste(publish).code).toBe(0)
    broker.child.kill('SIGTERM')
    expect((await once(broker.child, 'exit'))[0]).toBe(0)
  }, 60_000)

  it('reads users and certificate anew at SIGHUP, and keeps what it has when a file is broken', async () => {
    const folder = await temporaryFolder()
    const users = join(folder, 'users')
    await writeFile(users, `ada:${await hashPassword('first')}\n`)
    const broker = gnatmq('--plain', '--port', '0', '--users', users)
    const { publish } = await listening(broker)
    const login = (password: string) => paste(publish.replace('PASSWORD', password)).code
    expect(await login('first')).toBe(0)
    await writeFile(users, `ada:${await hashPassword('second')}\n`)
    broker.child.kill('SIGHUP')
    await vi.waitFor(async () => expect(await login('second')).toBe(0), patience)
    expect(await login('first')).not.toBe(0)
    await writeFile(users, 'nonsense\n')
    broker.child.kill('SIGHUP')
    await vi.waitFor(() => expect(broker.said.errors).toMatch(/the users stay as they were: .*line 1/), patience)
    expect(await login('second')).toBe(0)
  }, 60_000)

  it('takes a PFX, a TLS version, and names a host of the certificate', async () => {
    const folder = await temporaryFolder()
    const pfx = join(folder, 'GnatMQ.pfx')
    const ca = ['--ca', join(folder, 'MyCARoot.pem'), '--ca-key', join(folder, 'MyCARoot.key')]
    expect(await gnatmq('cert', 'ca', '--name', 'MyCARoot', '--out', folder).code).toBe(0)
    const server = ['cert', 'server', '--name', 'localhost', ...ca, '--pfx', pfx, '--password', 'secret']
    expect(await gnatmq(...server, '--out', folder).code).toBe(0)
    const broker = gnatmq('--port', '0', '--pfx', pfx, '--password', 'secret', '--ssl-protocol', 'TLSv1_2')
    const { publish } = await listening(broker)
    expect(publish).toContain('--cafile CA.pem -h localhost')
    const mine = publish.replace('CA.pem', join(folder, 'MyCARoot.pem'))
    expect(await paste(mine).code).toBe(0)
    expect(await paste(`${mine} --tls-version tlsv1.2`).code).toBe(0)
    expect(await paste(`${mine} --tls-version tlsv1.3`).code).not.toBe(0)
    const wrong = gnatmq('--port', '0', '--pfx', pfx, '--password', 'wrong')
    expect(await wrong.code).toBe(1)
    expect(wrong.said.errors).toMatch(/^gnatmq: [^\n]* \(GNATMQ_CERTIFICATE_PASSPHRASE\)\n$/)
  }, 60_000)

  it('says in one line when it cannot listen', async () => {
    const taken = createServer().listen(0, '127.0.0.1')
    await once(taken, 'listening')
    const { port } = taken.address() as { port: number }
    const broker = gnatmq('--port', String(port), '--host', '127.0.0.1', '--data', await temporaryFolder())
    expect(await broker.code).toBe(1)
    expect(broker.said.errors).toMatch(/^gnatmq: [^\n]* \(GNATMQ_PORT_IN_USE\)\n$/)
    taken.close()
  }, 60_000)

  it('refuses a password file that lets nobody in, before it listens', async () => {
    const users = join(await temporaryFolder(), 'users')
    await writeFile(users, `ada:${await hashPassword('secret')}\nnonsense\n`)
    const run = await runCli(['--plain', '--port', '0', '--users', users])
    expect(run).toMatchObject({ code: 1, output: '' })
    expect(run.errors).toMatch(/users, line 2: .* \(GNATMQ_PASSWORD_FILE_INVALID\)$/)
    expect(await readFile(users, 'utf8')).toContain('nonsense')
  })

  it('warns where every client of other machines may connect, unless that is meant or nobody reaches it', async () => {
    const data = await temporaryFolder()
    const warned = async (...args: string[]) =>
      (await runCli(['--port', '0', '--data', data, ...args])).errors.includes('every client that reaches the broker')
    expect(await warned('--host', '0.0.0.0')).toBe(true)
    expect(await warned('--host', '0.0.0.0', '--allow-anonymous')).toBe(false)
    expect(await warned('--host', '127.0.0.1')).toBe(false)
    const users = join(data, 'users')
    await writeFile(users, `ada:${await hashPassword('secret')}\n`)
    expect(await warned('--host', '0.0.0.0', '--users', users)).toBe(false)
  })
})
