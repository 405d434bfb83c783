import { chmod, chown, open, readFile, realpath, rename, rm, stat } from 'node:fs/promises'
import { parseOptions, UsageError } from './arguments'
import type { Command } from './command'

/** `gnatmq passwd`: adds a user to a password file, or gives it another password. */
export const passwd: Command = {
  help: `gnatmq passwd FILE USER [options]
Adds USER to a password file, or changes its password. Makes the file if there is none.
Asks for the password, or takes the first line of its input. The file is one of mosquitto_passwd, too.

  --delete            takes the user out`,

  async run(args, { library, terminal }) {
    const { values, positionals } = parseOptions(args, { delete: { type: 'boolean' } }, ['FILE', 'USER'])
    const [path, username] = positionals
    if (username === '' || /[:\r\n]/.test(username!) || username!.startsWith('#')) {
      throw new UsageError(`"${username}" is no user name: it must not be empty, begin with # or hold a colon`)
    }
    const { PasswordFile, hashPassword } = await library()
    const before = await textOf(path!)
    // A file that is broken stays as it is, for its owner to look at.
    const known = before.trim() !== '' && PasswordFile.parse(before, path!).usernames.includes(username!)
    if (values.delete) {
      if (!known) throw new Error(`${path} has no user "${username}"`)
      await replaceFile(path!, withUser(before, username!, undefined))
      terminal.print(`removed ${username} from ${path}`)
      return
    }
    const hash = await hashPassword(await terminal.readPassword(`Password of ${username}`))
    await replaceFile(path!, withUser(before, username!, hash))
    terminal.print(`${known ? 'updated' : 'added'} ${username} in ${path}`)
  },
}

/** The text with the user's line replaced, added at the end, or taken out. */
function withUser(text: string, username: string, hash: string | undefined): string {
  const lines = text.split(/\r?\n/)
  if (lines.at(-1) === '') lines.pop()
  const added = hash === undefined ? [] : [`${username}:${hash}`]
  const at = lines.findIndex((line) => line.replace(/^\uFEFF/, '').startsWith(`${username}:`))
  lines.splice(at < 0 ? lines.length : at, at < 0 ? 0 : 1, ...added)
  return lines.map((line) => `${line}\n`).join('')
}

async function textOf(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return ''
    throw error
  }
}

/** At once, so that a broker which reads it meanwhile sees the old file or the new one. Keeps its mode and owner. */
async function replaceFile(path: string, text: string): Promise<void> {
  const target = await realpath(path).catch(() => path)
  const former = await stat(target).catch(() => undefined)
  const temporary = `${target}.${process.pid}.new`
  try {
    const file = await open(temporary, 'wx', 0o600)
    try {
      await file.writeFile(text)
      await file.sync()
    } finally {
      await file.close()
    }
    await chmod(temporary, former === undefined ? 0o600 : former.mode & 0o777)
    // Only root may. For other users the file belongs to them now, as every file that they write does.
    if (former !== undefined) await chown(temporary, former.uid, former.gid).catch(() => undefined)
    await rename(temporary, target)
  } catch (error) {
    await rm(temporary, { force: true })
    throw error
  }
}
