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

/** The surroundings of a command. The package is loaded only by commands that need it. */
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
