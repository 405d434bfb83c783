const PREFIX = '$application/'

/** The Client Identifier of a session of the application's own. Clients cannot have such a one. */
export function applicationIdentifier(name: string): string {
  return PREFIX + name
}

export function isApplicationIdentifier(clientId: string): boolean {
  return clientId.startsWith(PREFIX)
}
