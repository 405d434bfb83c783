import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { runCli, temporaryFolder } from './recorded-terminal'

/** Usage is checked before anything is loaded. */
const library = () => Promise.reject(new Error('the package was loaded'))

describe('gnatmq', () => {
  it('prints its version', async () => {
    const { version } = JSON.parse(await readFile(new URL('../../package.json', import.meta.url), 'utf8'))
    expect(await runCli(['--version'], { library })).toEqual({ code: 0, output: version, errors: '' })
  })

  it.each([
    [['--help'], ['--port', '--host', '--plain', '--pfx', '--cert', '--ssl-protocol', '--users', '--data']],
    [['-h'], ['gnatmq cert', 'gnatmq passwd']],
    [['passwd', '--help'], ['FILE USER']],
    [
      ['cert', '--help'],
      ['cert ca', 'cert server', 'cert client'],
    ],
    [
      ['cert', 'ca', '--help'],
      ['--bits', '--curve', '--hash', '--days', '--out', '--force'],
    ],
    [
      ['cert', 'server', '--name', 'a', '--help'],
      ['--san', '--ca-key', '--pfx'],
    ],
    [['cert', 'client', '--help'], ['--ca-password']],
  ])('helps with %j', async (args, words) => {
    const { code, output, errors } = await runCli(args, { library })
    expect({ code, errors }).toEqual({ code: 0, errors: '' })
    for (const word of words) expect(output).toContain(word)
  })

  it('helps with every option that it takes, within 120 columns', async () => {
    const { output } = await runCli(['--help'], { library })
    const source = await readFile(new URL('../../src/cli/run.ts', import.meta.url), 'utf8')
    const table = /const options = \{([\s\S]*?)\} as const/.exec(source)![1]
    const names = [...table!.matchAll(/^ {2}'?([a-z-]+)'?:/gm)].map(([, name]) => name)
    expect(names.length).toBeGreaterThan(8)
    for (const name of names) expect(output).toContain(`--${name} `)
    for (const line of output.split('\n')) expect(line.length).toBeLessThanOrEqual(120)
  })

  it.each([
    [['serve'], /"serve" is no command/],
    [['--prot', '1'], /Unknown option '--prot'/],
    [['--port'], /--port/],
    [['--port', 'x'], /--port is "x": use 0 to 65535/],
    [['--port', '65536'], /0 to 65535/],
    [['--port', '1', 'extra'], /unexpected argument "extra"/],
    [['--plain', '--pfx', 'a'], /--plain is without TLS: leave --pfx out/],
    [['--plain', '--ssl-protocol', 'TLSv1_2'], /leave --ssl-protocol out/],
    [['--pfx', 'a', '--cert', 'b', '--key', 'c'], /leave --cert and --key out/],
    [['--cert', 'b'], /--cert and --key belong together/],
    [['--password', 'b'], /--password opens/],
    [['--users', 'a', '--allow-anonymous'], /leave --allow-anonymous out/],
    [['passwd', 'file'], /USER is missing/],
    [['passwd', 'file', 'a:b'], /"a:b" is no user name/],
    [['passwd', 'file', '#a'], /is no user name/],
    [['passwd', 'file', 'user', '--create'], /Unknown option '--create'/],
    [['cert'], /ca, server, client/],
    [['cert', '--name', 'x'], /ca, server, client/],
    [['cert', 'toString'], /"cert toString" is no command/],
    [['cert', 'ca'], /--name is missing/],
    [['cert', 'ca', '--name', 'x', '--bits', '1024'], /--bits is "1024": use 2048 to 4096/],
    [['cert', 'ca', '--name', 'x', '--key', 'dsa'], /--key is "dsa": use rsa, ec/],
    [['cert', 'ca', '--name', 'x', '--curve', 'P-1'], /use P-256, P-384, P-521/],
    [['cert', 'ca', '--name', 'x', '--hash', 'md5'], /--hash is "md5": use SHA-256, SHA-384, SHA-512/],
    [['cert', 'ca', '--name', 'x', '--days', '0'], /--days is "0"/],
    [['cert', 'ca', '--name', 'x', '--password', ''], /--password is missing/],
    [['cert', 'ca', '--san', 'x'], /Unknown option '--san'/],
  ])('refuses %j with exit code 2', async (args, message) => {
    const { code, output, errors } = await runCli(args, { library })
    expect(code).toBe(2)
    expect(output).toBe('')
    expect(errors).toMatch(/^gnatmq: .*\nTry "gnatmq --help"\.$/)
    expect(errors).toMatch(message)
  })

  it('says in one line, with its code, what went wrong', async () => {
    const missing = join(await temporaryFolder(), 'missing')
    const { code, errors } = await runCli(['--users', missing])
    expect(code).toBe(1)
    expect(errors).toMatch(/^gnatmq: the password file .*missing cannot be read.* \(GNATMQ_PASSWORD_FILE_INVALID\)$/)
  })
})
