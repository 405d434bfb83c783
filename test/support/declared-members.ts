import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { project } from './build'

/** A public member of an interface or a class, as the source declares it. */
export interface Member {
  name: string
  /** What its docstring says behind `Default:`. */
  standard: string | undefined
}

/** The public members that src declares for an exported interface or class, without inherited ones. */
export function membersOf(name: string): Member[] {
  const members: Member[] = []
  for (const member of declarationOf(name).members) {
    if (ts.isConstructorDeclaration(member)) {
      for (const parameter of member.parameters)
        if (isPublicField(parameter)) members.push({ name: parameter.name.getText(), standard: undefined })
    } else if (member.name !== undefined && !ts.isPrivateIdentifier(member.name) && !isPrivate(member))
      members.push({ name: member.name.getText(), standard: defaultIn(member.getFullText()) })
  }
  return members
}

type Declaration = ts.InterfaceDeclaration | ts.ClassDeclaration

function declarationOf(name: string): Declaration {
  const folder = join(project, 'src')
  const pattern = new RegExp(`^export (interface|class) ${name}\\b`, 'm')
  for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
    if (!file.endsWith('.ts')) continue
    const text = readFileSync(join(folder, file), 'utf8')
    if (!pattern.test(text)) continue
    const { statements } = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
    const isIt = (one: ts.Statement): one is Declaration =>
      (ts.isInterfaceDeclaration(one) || ts.isClassDeclaration(one)) && one.name?.text === name
    return statements.find(isIt)!
  }
  throw new Error(`src exports no interface or class ${name}`)
}

const isPrivate = (node: ts.Node): boolean =>
  ts.canHaveModifiers(node) && (ts.getModifiers(node) ?? []).some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword)

/** A parameter property, such as `readonly certDer: Uint8Array`. */
const isPublicField = (parameter: ts.ParameterDeclaration): boolean =>
  (ts.getModifiers(parameter) ?? []).some(({ kind }) => kind === ts.SyntaxKind.ReadonlyKeyword) && !isPrivate(parameter)

const defaultIn = (text: string): string | undefined =>
  /Default: ((?:[^.]|\.\d)*)/.exec(text.replaceAll(/\n\s*\*?/g, ' '))?.[1]
