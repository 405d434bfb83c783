import { spawnSync } from 'node:child_process'
import { chmod, readdir, readFile, stat, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { PasswordFile } from '../../src/security/password-file'
import { runCli, temporaryFolder } from './recorded-terminal'

const bytes = (text: string) => new TextEncoder().encode(text)

describe('gnatmq passwd', () => {
  it('makes the file, adds users, and changes passwords', async () => {
    const path = join(await temporaryFolder(), 'users')
    const passwd = (username: string, password: string) => runCli(['passwd', path, username], { password })
    expect(await passwd('ada', 'first')).toEqual({ code: 0, output: `added ada in ${path}`, errors: '' })
    expect((await passwd('bob', 'builder')).output).toBe(`added bob in ${path}`)
    expect((await passwd('ada', 'second')).output).toBe(`updated ada in ${path}`)
    const file = await PasswordFile.read(path)
    expect(file.usernames).toEqual(['ada', 'bob'])
    expect(await file.verify('ada', bytes('second'))).toBe(true)
    expect(await file.verify('ada', bytes('first'))).toBe(false)
    expect(await file.verify('bob', bytes('builder'))).toBe(true)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect((await readFile(path, 'utf8')).endsWith('\n')).toBe(true)
  })

  it('leaves everything else in the file as it is: comments, mode, and what a link points to', async () => {
    const folder = await temporaryFolder()
    const path = join(folder, 'users')
    const made = spawnSync('mosquitto_passwd', ['-c', '-b', path, 'ada', 'lovelace'], { encoding: 'utf8' })
    expect(made.status, made.stderr).toBe(0)
    const line = (await readFile(path, 'utf8')).trim()
    await writeFile(path, `# staff\n${line}`)
    await chmod(path, 0o640)
    await symlink(path, join(folder, 'link'))
    expect(await runCli(['passwd', join(folder, 'link'), 'adam'], { password: 'smith' })).toMatchObject({ code: 0 })
    const text = await readFile(path, 'utf8')
    expect(text).toMatch(/^# staff\nada:[^\n]+\nadam:\$7\$[^\n]+\n$/)
    expect(text).toContain(line)
    expect((await stat(path)).mode & 0o777).toBe(0o640)
    expect((await readdir(folder)).sort()).toEqual(['link', 'users'])
  })

  it('takes a user out', async () => {
    const path = join(await temporaryFolder(), 'users')
    for (const username of ['ada', 'bob']) await runCli(['passwd', path, username], { password: 'secret' })
    expect((await runCli(['passwd', path, 'ada', '--delete'])).output).toBe(`removed ada from ${path}`)
    expect((await PasswordFile.read(path)).usernames).toEqual(['bob'])
    const again = await runCli(['passwd', path, 'ada', '--delete'])
    expect(again).toEqual({ code: 1, output: '', errors: `gnatmq: ${path} has no user "ada"` })
  })

  it('changes nothing without a password, or in a file that is broken', async () => {
    const path = join(await temporaryFolder(), 'users')
    const empty = await runCli(['passwd', path, 'ada'], { password: '' })
    expect(empty).toMatchObject({ code: 1, output: '' })
    expect(empty.errors).toMatch(/^gnatmq: the password is empty.*\(GNATMQ_OPTION_INVALID\)$/)
    await writeFile(path, 'nonsense\n')
    const broken = await runCli(['passwd', path, 'ada'], { password: 'secret' })
    expect(broken.errors).toMatch(/users, line 1: .* \(GNATMQ_PASSWORD_FILE_INVALID\)$/)
    expect(await readFile(path, 'utf8')).toBe('nonsense\n')
  })
})
