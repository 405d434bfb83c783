import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import ts from 'typescript'
import { project } from './build'

/** A public member of an interface or a class, as the source declares it. */
export interface Member {
  name: string
  /** What its docstring says behind `Default:`. */
  standard: string | undefined
}

/** The public members that a file of src declares for an interface or a class, without inherited ones. */
export function membersOf(file: string, name: string): Member[] {
  const text = readFileSync(join(project, 'src', file), 'utf8')
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const declaration = source.statements.find(
    (statement): statement is ts.InterfaceDeclaration | ts.ClassDeclaration =>
      (ts.isInterfaceDeclaration(statement) || ts.isClassDeclaration(statement)) && statement.name?.text === name,
  )
  if (declaration === undefined) throw new Error(`${file} does not declare ${name}`)
  const members: Member[] = []
  for (const member of declaration.members) {
    if (ts.isConstructorDeclaration(member)) {
      for (const parameter of member.parameters)
        if (isPublicField(parameter)) members.push({ name: parameter.name.getText(), standard: undefined })
    } else if (member.name !== undefined && !ts.isPrivateIdentifier(member.name) && !isPrivate(member))
      members.push({ name: member.name.getText(), standard: defaultIn(member.getFullText()) })
  }
  return members
}

const isPrivate = (node: ts.Node): boolean =>
  ts.canHaveModifiers(node) && (ts.getModifiers(node) ?? []).some(({ kind }) => kind === ts.SyntaxKind.PrivateKeyword)

/** A parameter property, such as `readonly certDer: Uint8Array`. */
const isPublicField = (parameter: ts.ParameterDeclaration): boolean =>
  (ts.getModifiers(parameter) ?? []).some(({ kind }) => kind === ts.SyntaxKind.ReadonlyKeyword) && !isPrivate(parameter)

const defaultIn = (text: string): string | undefined =>
  /Default: ((?:[^.]|\.\d)*)/.exec(text.replaceAll(/\n\s*\*?/g, ' '))?.[1]
