import { parseOptions, required } from './arguments'
import { certificateHelp, issuedHelp, issuedOptions, keyOptions } from './certificate-options'
import type { Command } from './command'
import { loadAuthority, writeIssued } from './issued-files'

/** `gnatmq cert server`: makes a server certificate, signed by a CA. */
export const certServer: Command = {
  help: `gnatmq cert server --name HOST --ca FILE --ca-key FILE [options]
Makes a server certificate: HOST.pem, HOST.cer and HOST.key.

  --name HOST         host name that clients connect to
  --san A,B,...       more host names and IP addresses
${issuedHelp}
${certificateHelp}`,

  async run(args, { library, terminal }) {
    const { values } = parseOptions(args, { ...issuedOptions, san: { type: 'string', multiple: true } })
    const name = required(values.name, 'name')
    const hosts = (values.san ?? []).flatMap((list) => list.split(',')).map((host) => host.trim())
    const options = keyOptions(values)
    const authority = await loadAuthority(values, await library())
    await writeIssued(await authority.issueServer({ name, hosts, ...options }), name, values, terminal)
  },
}
