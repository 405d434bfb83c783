import { readFileSync } from 'node:fs'

/** The version in a package.json, by its path from this folder. */
export const versionOf = (path) => JSON.parse(readFileSync(new URL(path, import.meta.url), 'utf8')).version
