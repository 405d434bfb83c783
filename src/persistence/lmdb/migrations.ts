import type { Environment, Write } from './environment'

/** The format that this version writes. */
export const FORMAT = 1

/** By the format that each starts from: the writes that make it the next format. */
export const migrations: Readonly<Record<number, (environment: Environment) => Write[]>> = {}
