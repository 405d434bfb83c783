import { execFile } from 'node:child_process'
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { build } from 'tsup'
import { afterAll, beforeAll, expect, it } from 'vitest'

const project = fileURLToPath(new URL('..', import.meta.url))
const run = promisify(execFile)
/** As docs/guides/embedding.md has it: CommonJS packages inside an ESM bundle need Node's `require`. */
const banner = "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);"

const program = `
import { MqttBroker } from ${JSON.stringify(join(project, 'src/index.ts'))}
const broker = await MqttBroker.start({ port: 0 })
await broker.publish({ topic: 'a', payload: 'b', retain: true })
console.log(broker.statistics.retainedMessages)
await broker.stop()
`

let folder: string

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gnatmq-bundle-'))
  await writeFile(join(folder, 'program.ts'), program)
  await symlink(join(project, 'node_modules'), join(folder, 'node_modules'))
})

afterAll(() => rm(folder, { recursive: true, force: true }))

it('runs as one ESM file that holds every dependency', async () => {
  await build({
    config: false,
    silent: true,
    entry: { program: join(folder, 'program.ts') },
    outDir: join(folder, 'out'),
    format: ['esm'],
    target: 'node20',
    outExtension: () => ({ js: '.mjs' }),
    noExternal: [/^(?!node:)/],
    external: ['@peculiar/x509', 'pkijs', 'reflect-metadata', 'node-forge', 'bufferutil', 'utf-8-validate'],
    banner: { js: banner },
  })
  await rm(join(folder, 'node_modules'))
  const { stdout } = await run(process.execPath, [join(folder, 'out/program.mjs')])
  expect(stdout).toBe('1\n')
}, 60_000)
