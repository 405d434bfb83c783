import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, sep } from 'node:path'
import ts from 'typescript'

/** One file of the source, parsed. `path` is relative to src, with slashes. */
export interface SourceFile {
  readonly path: string
  readonly syntax: ts.SourceFile
}

/** A path below src, or the name of a package, as a file imports it. Types count as imports too. */
export interface Import {
  readonly from: string
  readonly to: string
}

export function parse(path: string, text: string): SourceFile {
  return { path, syntax: ts.createSourceFile(path, text, ts.ScriptTarget.ES2022, true) }
}

/** All TypeScript files below a folder. */
export function readSource(root: string): SourceFile[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort()
    .map((file) => parse(relative(root, file).split(sep).join('/'), readFileSync(file, 'utf8')))
}

/** The first folder of a path, or the file itself where it lies in src. A package is a room of its own. */
export function roomOf(path: string): string {
  return path.startsWith('@') || !path.includes('/') || path.startsWith('node:')
    ? path
    : path.slice(0, path.indexOf('/'))
}

/** Every import, export from, import type and dynamic import of a file. */
export function importsOf({ path, syntax }: SourceFile): Import[] {
  const imports: Import[] = []
  const add = (specifier: ts.Node | undefined): void => {
    if (specifier !== undefined && ts.isStringLiteralLike(specifier))
      imports.push({ from: path, to: target(path, specifier.text) })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) add(node.moduleSpecifier)
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal)
    else if (ts.isExternalModuleReference(node)) add(node.expression)
    else if (ts.isCallExpression(node) && loads(node.expression)) add(node.arguments[0])
    ts.forEachChild(node, visit)
  }
  visit(syntax)
  return imports
}

const loads = (called: ts.Node): boolean =>
  called.kind === ts.SyntaxKind.ImportKeyword || (ts.isIdentifier(called) && called.text === 'require')

function target(path: string, specifier: string): string {
  if (!specifier.startsWith('.')) return specifier
  const joined = join(dirname(path), specifier).split(sep).join('/')
  return joined.includes('/') || joined.endsWith('.ts') ? joined : `${joined}.ts`
}

export function lineCount({ syntax }: SourceFile): number {
  const { text } = syntax
  return text.split('\n').length - (text.endsWith('\n') ? 1 : 0)
}

/** Functions with a body of more than `limit` lines, by where they begin. */
export function longFunctions({ path, syntax }: SourceFile, limit: number): string[] {
  const found: string[] = []
  const lineAt = (position: number): number => syntax.getLineAndCharacterOfPosition(position).line + 1
  const visit = (node: ts.Node): void => {
    if (ts.isFunctionLike(node) && 'body' in node && node.body !== undefined) {
      const first = lineAt(node.getStart(syntax))
      const lines = lineAt(node.getEnd()) - first + 1
      if (lines > limit) found.push(`${path}:${first} has ${lines} lines`)
    }
    ts.forEachChild(node, visit)
  }
  visit(syntax)
  return found
}

const impureNames = new Set([
  'Date',
  'performance',
  'process',
  'setTimeout',
  'setInterval',
  'setImmediate',
  'queueMicrotask',
  'fetch',
  'crypto',
])

/** What a pure room may not have: await, a clock, timers, randomness. */
export function impurities({ path, syntax }: SourceFile): string[] {
  const found: string[] = []
  const visit = (node: ts.Node): void => {
    const named = ts.isIdentifier(node) && impureNames.has(node.text) && !isMemberName(node)
    const random = ts.isPropertyAccessExpression(node) && node.getText(syntax) === 'Math.random'
    const waits = ts.isAwaitExpression(node) || node.kind === ts.SyntaxKind.AsyncKeyword
    if (named || random || waits) found.push(`${path}: ${node.getText(syntax)}`)
    ts.forEachChild(node, visit)
  }
  visit(syntax)
  return found
}

/** `packet.date` and `{ process: 1 }` only share the name. */
function isMemberName(node: ts.Identifier): boolean {
  const { parent } = node
  if (ts.isPropertyAccessExpression(parent)) return parent.name === node
  return (
    (ts.isPropertyAssignment(parent) || ts.isPropertySignature(parent) || ts.isPropertyDeclaration(parent)) &&
    parent.name === node
  )
}

/** Statements that are more than exports of other files' names. */
export function otherThanExports({ path, syntax }: SourceFile): string[] {
  return syntax.statements
    .filter((statement) => !(ts.isExportDeclaration(statement) && statement.moduleSpecifier !== undefined))
    .map((statement) => `${path}: ${statement.getText(syntax).split('\n')[0]}`)
}

/** A way from a room back to itself, or undefined. */
export function findCycle(edges: ReadonlyMap<string, ReadonlySet<string>>): string[] | undefined {
  const finished = new Set<string>()
  const walk = (room: string, way: readonly string[]): string[] | undefined => {
    if (way.includes(room)) return [...way.slice(way.indexOf(room)), room]
    if (finished.has(room)) return undefined
    for (const next of edges.get(room) ?? []) {
      const cycle = walk(next, [...way, room])
      if (cycle !== undefined) return cycle
    }
    finished.add(room)
    return undefined
  }
  for (const room of edges.keys()) {
    const cycle = walk(room, [])
    if (cycle !== undefined) return cycle
  }
  return undefined
}
