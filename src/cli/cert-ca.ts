import { parseOptions, required } from './arguments'
import { certificateHelp, certificateOptions, keyOptions } from './certificate-options'
import type { Command } from './command'
import { pathOf, writeFiles } from './written-files'

/** `gnatmq cert ca`: makes a Certificate Authority. */
export const certCa: Command = {
  help: `gnatmq cert ca --name NAME [options]
Makes a Certificate Authority: NAME.pem and NAME.cer, its certificate, and NAME.key, its private key.

  --name NAME         name of the CA
  --password P        encrypts the private key
${certificateHelp}`,

  async run(args, { library, terminal }) {
    const { values } = parseOptions(args, certificateOptions)
    const name = required(values.name, 'name')
    const password = values.password === undefined ? undefined : required(values.password, 'password')
    const options = keyOptions(values)
    const { CertificateAuthority } = await library()
    const authority = await CertificateAuthority.create({ name, ...options })
    const path = (extension: string) => pathOf(values.out ?? '.', name, extension)
    const files = [
      { path: path('.pem'), content: authority.cert, what: 'the certificate, which clients trust', secret: false },
      { path: path('.cer'), content: authority.certDer, what: 'the same in DER, for Windows', secret: false },
      {
        path: path('.key'),
        content: password === undefined ? authority.key : authority.keyPem(password),
        what: password === undefined ? 'the private key, not encrypted' : 'the private key, encrypted',
        secret: true,
      },
    ]
    await writeFiles(files, values.force ?? false, terminal)
  },
}
