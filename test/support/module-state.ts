import ts from 'typescript'
import type { SourceFile } from './source-tree'

/** What a call at module level may make: nothing that changes afterwards. */
const harmlessCalls = new Set(['Object.freeze', 'promisify'])

/**
 * What a module could remember from one broker to the next: `let`, static fields that are not readonly, and whatever is
 * made when the module is loaded, `new` and the results of calls included. As `path: name`.
 */
export function moduleState({ path, syntax }: SourceFile): string[] {
  const found: string[] = []
  const add = (name: ts.Node): void => {
    found.push(`${path}: ${name.getText(syntax)}`)
  }
  for (const statement of syntax.statements) {
    if (ts.isClassDeclaration(statement)) for (const member of statement.members) lookAtMember(member, add)
    if (!ts.isVariableStatement(statement)) continue
    const isConstant = (statement.declarationList.flags & ts.NodeFlags.Const) !== 0
    for (const { name, type, initializer } of statement.declarationList.declarations) {
      const isReadonly = isReadonlyType(type)
      if (!isConstant || (initializer !== undefined && !isReadonly && makesState(initializer, syntax))) add(name)
    }
  }
  return found
}

function lookAtMember(member: ts.ClassElement, add: (name: ts.Node) => void): void {
  if (!ts.isPropertyDeclaration(member)) return
  const kinds = member.modifiers?.map(({ kind }) => kind) ?? []
  if (!kinds.includes(ts.SyntaxKind.StaticKeyword)) return
  const { initializer, name } = member
  const isReadonly = kinds.includes(ts.SyntaxKind.ReadonlyKeyword)
  if (!isReadonly || (initializer !== undefined && makesState(initializer, member.getSourceFile()))) add(name)
}

/** `ReadonlyMap`, `ReadonlySet`, `Readonly<…>` and `readonly T[]`. */
function isReadonlyType(type: ts.TypeNode | undefined): boolean {
  if (type === undefined) return false
  if (ts.isTypeOperatorNode(type)) return type.operator === ts.SyntaxKind.ReadonlyKeyword
  return ts.isTypeReferenceNode(type) && /^Readonly/.test(type.typeName.getText())
}

/** Functions make what they make when they are called: they are not looked into. */
function makesState(node: ts.Node, syntax: ts.SourceFile): boolean {
  if (ts.isFunctionLike(node)) return false
  if (ts.isAsExpression(node) && node.type.getText(syntax) === 'const') return lookInside(node.expression, syntax, true)
  if (ts.isNewExpression(node) || ts.isArrayLiteralExpression(node) || ts.isObjectLiteralExpression(node)) return true
  if (ts.isCallExpression(node)) return !harmlessCalls.has(node.expression.getText(syntax))
  return lookInside(node, syntax, false)
}

function lookInside(node: ts.Node, syntax: ts.SourceFile, areConstant: boolean): boolean {
  const inspect = (child: ts.Node): boolean => {
    const isLiteral = ts.isArrayLiteralExpression(child) || ts.isObjectLiteralExpression(child)
    if (areConstant && isLiteral) return lookInside(child, syntax, true)
    if (areConstant && ts.isPropertyAssignment(child)) return inspect(child.initializer)
    return makesState(child, syntax)
  }
  if (areConstant && (ts.isArrayLiteralExpression(node) || ts.isObjectLiteralExpression(node)))
    return ts.forEachChild(node, (child) => inspect(child) || undefined) ?? false
  return ts.forEachChild(node, (child) => inspect(child) || undefined) ?? false
}
