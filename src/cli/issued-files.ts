import { readFile } from 'node:fs/promises'
import { required, UsageError } from './arguments'
import type { Library } from './command'
import type { Terminal } from './terminal'
import { pathOf, type WrittenFile, writeFiles } from './written-files'

type Authority = Awaited<ReturnType<Library['CertificateAuthority']['load']>>
type Issued = Awaited<ReturnType<Authority['issueServer']>>

interface AuthorityValues {
  ca?: string | undefined
  'ca-key'?: string | undefined
  'ca-password'?: string | undefined
  pfx?: string | undefined
  password?: string | undefined
}

/** The CA of `--ca` and `--ca-key`. */
export async function loadAuthority(values: AuthorityValues, library: Library): Promise<Authority> {
  const cert = required(values.ca, 'ca')
  const key = required(values['ca-key'], 'ca-key')
  // An empty password would leave the key in the open without a word.
  if (values.password !== undefined) required(values.password, 'password')
  if (values.pfx !== undefined && values.password === undefined) {
    throw new UsageError('--pfx needs --password: a PFX file is protected by one')
  }
  return library.CertificateAuthority.load({
    cert: await readFile(cert),
    key: await readFile(key),
    passphrase: values['ca-password'],
  })
}

/** Writes a certificate, its key and, with `--pfx`, all of it in one file. */
export async function writeIssued(
  issued: Issued,
  name: string,
  values: { pfx?: string; password?: string; out?: string; force?: boolean },
  terminal: Terminal,
): Promise<void> {
  const { pfx, password } = values
  const path = (extension: string) => pathOf(values.out ?? '.', name, extension)
  const files: WrittenFile[] = [
    { path: path('.pem'), content: issued.cert, what: 'the certificate', secret: false },
    { path: path('.cer'), content: issued.certDer, what: 'the same in DER, for Windows', secret: false },
    {
      path: path('.key'),
      content: password ? issued.keyPem(password) : issued.key,
      what: password ? 'the private key, encrypted' : 'the private key, not encrypted',
      secret: true,
    },
  ]
  if (pfx !== undefined && password) {
    const what = 'certificate, private key and CA, with the password'
    files.push({ path: pfx, content: await issued.pfx(password), what, secret: true })
  }
  await writeFiles(files, values.force ?? false, terminal)
}
