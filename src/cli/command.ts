import type { Terminal } from './terminal'

/** What the commands use of the package. */
export type Library = Pick<
  typeof import('../index'),
  | 'CertificateAuthority'
  | 'MqttBroker'
  | 'MqttError'
  | 'MqttSslProtocols'
  | 'PasswordFile'
  | 'ServerCertificate'
  | 'hashPassword'
  | 'tcp'
  | 'tls'
>

/** Where a command runs. The package is loaded only by those who need it. */
export interface CommandContext {
  library(): Promise<Library>
  terminal: Terminal
}

/** One command of `gnatmq`. */
export interface Command {
  /** What `--help` prints. */
  help: string
  run(args: string[], context: CommandContext): Promise<void>
}
