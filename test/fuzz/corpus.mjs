// Short conversations that once made a broker refuse something in a way that no other had. Text, so that they can be read.
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const corpusFolder = fileURLToPath(new URL('../abuse/corpus', import.meta.url))

/** `# what it brings about`, then one packet a line, in hexadecimal. */
export function readCorpus(folder = corpusFolder) {
  mkdirSync(folder, { recursive: true })
  return readdirSync(folder)
    .filter((name) => name.endsWith('.txt'))
    .sort()
    .map((name) => {
      const [title, ...lines] = readFileSync(join(folder, name), 'utf8').trim().split('\n')
      return { name, kind: title.replace(/^# /, ''), packets: lines.map((line) => Buffer.from(line, 'hex')) }
    })
}

/** Adds a conversation; its name is made of what it brings about. Returns the name. */
export function addToCorpus(folder, kind, packets) {
  const slug = kind
    .toLowerCase()
    .replace(/^gnatmq_/, '')
    .replaceAll(/[^a-z0-9]+/g, '-')
    .slice(0, 80)
    .replace(/-+$/, '')
  const text = `# ${kind}\n${packets.map((bytes) => bytes.toString('hex')).join('\n')}\n`
  for (let n = 1; ; n++) {
    const name = n === 1 ? `${slug}.txt` : `${slug}-${n}.txt`
    if (existsSync(join(folder, name))) continue
    writeFileSync(join(folder, name), text)
    return name
  }
}
