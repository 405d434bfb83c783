// Builds the documentation as a static site in docs/.vitepress/dist: guides, reference, and the API from the source.
//
//   npm run docs                  builds it; a link that leads nowhere fails
//   npm run docs -- --serve       builds it and serves it on http://localhost:4173
//
// The generator has a package of its own, so that users and developers do not install it with the project.
import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const docs = dirname(fileURLToPath(import.meta.url))
const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm'

function run(command, args) {
  const { status, error } = spawnSync(command, args, { cwd: docs, stdio: 'inherit', shell: command === npm })
  if (error !== undefined) throw error
  if (status !== 0) process.exit(status ?? 1)
}

/** Runs the command of a package of docs/node_modules. */
function runBin(name, ...args) {
  const folder = join(docs, 'node_modules', name)
  const { bin } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
  run(process.execPath, [join(folder, typeof bin === 'string' ? bin : bin[name]), ...args])
}

if (!existsSync(join(docs, 'node_modules', 'vitepress'))) run(npm, ['ci', '--no-audit', '--no-fund'])
rmSync(join(docs, 'api'), { recursive: true, force: true })
runBin('typedoc', '--options', 'typedoc.json')
runBin('vitepress', 'build')
if (process.argv.includes('--serve')) runBin('vitepress', 'preview', '--host', '127.0.0.1')
