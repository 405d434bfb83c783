import { type ParseArgsConfig, parseArgs } from 'node:util'

/** A command line that says something else than it should: exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** What `node:util` may be told of the options of a command. */
export type OptionTable = NonNullable<ParseArgsConfig['options']>

/** `parseArgs`, strict, with UsageError in place of its errors. */
export function parseOptions<T extends OptionTable>(args: string[], options: T, operands: readonly string[] = []) {
  const parsed = parse(args, options)
  const { positionals } = parsed
  if (positionals.length > operands.length) throw new UsageError(`unexpected argument "${positionals.at(-1)}"`)
  if (positionals.length < operands.length) throw new UsageError(`${operands[positionals.length]} is missing`)
  return parsed
}

function parse<T extends OptionTable>(args: string[], options: T) {
  try {
    return parseArgs({ args, options, strict: true, allowPositionals: true })
  } catch (error) {
    // The first sentence names the option; the rest is advice on "--" that seldom helps.
    throw new UsageError(error instanceof Error ? error.message.split('. ')[0] : String(error))
  }
}

/** The value of an option that the command cannot do without. */
export function required(value: string | undefined, option: string): string {
  if (value === undefined || value === '') throw new UsageError(`--${option} is missing`)
  return value
}

/** The value of an option that is a whole number. */
export function wholeNumber(
  value: string | undefined,
  option: string,
  minimum: number,
  maximum: number,
): number | undefined {
  if (value === undefined) return undefined
  const number = /^\d{1,6}$/.test(value) ? Number(value) : Number.NaN
  if (number >= minimum && number <= maximum) return number
  throw new UsageError(`--${option} is "${value}": use ${minimum} to ${maximum}`)
}

/** The value of an option that is one of a few words, in any case. */
export function oneOf<T extends string>(
  value: string | undefined,
  option: string,
  words: Readonly<Record<string, T>>,
): T | undefined {
  if (value === undefined) return undefined
  const word = value.toLowerCase()
  if (Object.hasOwn(words, word)) return words[word]
  throw new UsageError(`--${option} is "${value}": use ${[...new Set(Object.values(words))].join(', ')}`)
}
