import { parseOptions, required } from './arguments'
import { certificateHelp, issuedHelp, issuedOptions, keyOptions } from './certificate-options'
import type { Command } from './command'
import { loadAuthority, writeIssued } from './issued-files'

/** `gnatmq cert client`: makes a client certificate, signed by a CA. */
export const certClient: Command = {
  help: `gnatmq cert client --name NAME --ca FILE --ca-key FILE [options]
Makes a client certificate: NAME.pem, NAME.cer and NAME.key.

  --name NAME         identity of the client
${issuedHelp}
${certificateHelp}`,

  async run(args, { library, terminal }) {
    const { values } = parseOptions(args, issuedOptions)
    const name = required(values.name, 'name')
    const options = keyOptions(values)
    const authority = await loadAuthority(values, await library())
    await writeIssued(await authority.issueClient({ name, ...options }), name, values, terminal)
  },
}
