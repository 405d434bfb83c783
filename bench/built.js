import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

const project = fileURLToPath(new URL('..', import.meta.url))

/** The address of the built module, which is built if it is missing. Throws when that fails. */
export function builtModule(chosen) {
  if (chosen !== undefined) return pathToFileURL(resolve(chosen)).href
  const file = join(project, 'dist/index.js')
  if (!existsSync(file)) {
    console.log('building dist …')
    const { status } = spawnSync('npm', ['run', 'build'], {
      cwd: project,
      stdio: ['ignore', 'ignore', 'inherit'],
      shell: process.platform === 'win32',
    })
    if (status !== 0 || !existsSync(file)) throw new Error('npm run build failed')
  } else if (newestSource() > statSync(file).mtimeMs)
    console.log('dist is older than src: this measures what was built, not what is written (npm run build)')
  return pathToFileURL(file).href
}

function newestSource() {
  const files = readdirSync(join(project, 'src'), { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  )
  return Math.max(...files.map((entry) => statSync(join(entry.parentPath ?? entry.path, entry.name)).mtimeMs))
}
