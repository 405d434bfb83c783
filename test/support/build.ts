import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { copyFile, mkdir, mkdtemp, readdir, rename, rm, stat, symlink } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build, type Options } from 'tsup'
import tsupConfig from '../../tsup.config'

/** What `npm run build` makes, but for the declarations: without them, their builds would write the bundles again. */
const bundles = [tsupConfig]
  .flat()
  .map((options) => (typeof options === 'function' ? {} : options))
  .filter(({ dts }) => typeof dts !== 'object' || dts.only !== true)
  .map((options): Options => ({ ...options, dts: false }))

/** The folder of package.json. */
export const project = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/**
 * The package as it is installed, without declarations: package.json, dist, and its dependencies. Built once for each
 * state of the source, whoever asks first; the project's own dist is left alone.
 */
export async function builtPackage(): Promise<string> {
  const home = join(project, '.tmp')
  const folder = join(home, `package-${await stateOfSource()}`)
  if (existsSync(folder)) return folder
  await mkdir(home, { recursive: true })
  await removeOutdated(home)
  const fresh = await mkdtemp(join(home, 'building-'))
  await copyFile(join(project, 'package.json'), join(fresh, 'package.json'))
  await symlink(join(project, 'node_modules'), join(fresh, 'node_modules'))
  for (const options of bundles) await build({ ...options, config: false, outDir: join(fresh, 'dist'), silent: true })
  try {
    await rename(fresh, folder)
  } catch (error) {
    // another test file was first
    if (!existsSync(folder)) throw error
    await rm(fresh, { recursive: true })
  }
  return folder
}

/** Builds of an hour ago: nobody runs them any more. */
async function removeOutdated(home: string): Promise<void> {
  const hourAgo = Date.now() - 3_600_000
  for (const name of await readdir(home)) {
    if (!/^(package|building)-/.test(name)) continue
    const status = await stat(join(home, name)).catch(() => undefined)
    if (status !== undefined && status.mtimeMs < hourAgo) await rm(join(home, name), { recursive: true, force: true })
  }
}

async function stateOfSource(): Promise<string> {
  const hash = createHash('sha256')
  const files = ['package.json', 'tsup.config.ts']
  for (const entry of await readdir(join(project, 'src'), { recursive: true, withFileTypes: true }))
    if (entry.isFile()) files.push(join('src', entry.parentPath.slice(join(project, 'src').length), entry.name))
  for (const file of files.sort()) hash.update(`${file} ${(await stat(join(project, file))).mtimeMs}\n`)
  return hash.digest('hex').slice(0, 16)
}
