import jsonPatch, { JsonPatchError } from 'fast-json-patch'
import * as v from 'valibot'
import { GatewayError } from '../../../core/errors.ts'
import { invalidRequest } from '../../../core/parse-input.ts'
import { PATCH_OPS, type PatchOp, type PatchTable } from './patch-tables.ts'

// Of this CommonJS module, Node finds some exports by their names only through the default one.
const { applyOperation } = jsonPatch

const OPERATIONS_MAX = 1_000
const PATH_LENGTH_MAX = 200
/** Of what is given for a property: resources are four deep, and what checks them afterwards does the rest. */
const VALUE_DEPTH_MAX = 8
/** The ids of elements begin here, and no list is as long: what is less is an index. */
const ELEMENT_ID_MIN = 10_001

/** A JSON Patch (RFC 6902) as it is sent; {@link applyPatch} says what of it is allowed. */
export const PatchBody = v.pipe(
  v.array(
    v.object({
      op: v.pipe(v.string(), v.maxLength(20), v.description('add, remove or replace')),
      path: v.pipe(
        v.string(),
        v.maxLength(PATH_LENGTH_MAX),
        v.description('Such as /name. An element of a list is named by its index or its id; - is after the last one'),
      ),
      value: v.pipe(v.optional(v.unknown()), v.description('For add and replace')),
    }),
  ),
  v.maxLength(OPERATIONS_MAX, `must have up to ${OPERATIONS_MAX} operations`),
)
export type Patch = v.InferOutput<typeof PatchBody>

/** What a patch is applied to. */
export type Patchable = {
  readonly table: PatchTable
  /** As whoever makes such a thing sends it: without ids, and what is not set is absent. It is left as it is. */
  readonly document: object
  /** The list in it whose elements have ids, and these in the order of the elements. */
  readonly list?: { readonly name: string; readonly ids: readonly number[] }
}

/** What comes out of a patch. */
export type Patched = {
  /** Still to be checked as a whole, by the schema of a new one. */
  readonly document: unknown
  /** Of the elements of the list: one that was replaced keeps its id, one that was added has none. */
  readonly ids: readonly (number | undefined)[]
}

/**
 * Applies a patch to a copy of a document, one operation after the other. Throws `invalid_request` at the first that
 * names a property which is not there, or does to one what the table does not allow.
 */
export function applyPatch(patch: Patch, { document, table, list }: Patchable): Patched {
  const copy: unknown = structuredClone(document)
  const ids: (number | undefined)[] = [...(list?.ids ?? [])]
  for (const { op, path, value } of patch) {
    const { pattern, element, rest } = readPath(path, list?.name)
    if (!isOp(op) || !Object.hasOwn(table, pattern) || table[pattern]?.includes(op) !== true) throw invalidPath(path)
    if (op !== 'remove') checkValue(value)
    if (element === undefined) {
      applyOne(copy, { op, path, given: path, value })
      continue
    }
    const isWhole = rest === ''
    const index = indexOf(element, { ids, isAdded: isWhole && op === 'add' })
    if (index === undefined) throw invalidPath(path)
    applyOne(copy, { op, path: `/${list?.name}/${index}${rest}`, given: path, value })
    if (isWhole && op === 'add') ids.splice(index, 0, undefined)
    if (isWhole && op === 'remove') ids.splice(index, 1)
  }
  return { document: copy, ids }
}

/** The error for an operation on a path that there is not, or which must not be done there; in the document's words. */
const invalidPath = (path: string): GatewayError =>
  new GatewayError('invalid_request', {
    detail: `Value for argument 'path' is not valid '${path}'.`,
    fields: { field: 'path' },
  })

type ReadPath = {
  /** As tables have it. */
  readonly pattern: string
  /** What names an element of the list, and what follows it; of other paths, neither. */
  readonly element?: string
  readonly rest?: string
}

function readPath(path: string, list: string | undefined): ReadPath {
  const [, name, element, rest = ''] = /^\/([^/]+)\/([^/]+)(\/.*)?$/s.exec(path) ?? []
  if (list === undefined || name !== list || element === undefined) return { pattern: path }
  return { pattern: `/${list}/#${rest}`, element, rest }
}

/** Where an element is, or where one that is added comes; undefined when there is no such place. */
function indexOf(
  element: string,
  { ids, isAdded }: { readonly ids: readonly (number | undefined)[]; readonly isAdded: boolean },
): number | undefined {
  if (element === '-') return isAdded ? ids.length : undefined
  if (!/^(0|[1-9]\d{0,14})$/.test(element)) return undefined
  const number = Number(element)
  const index = number < ELEMENT_ID_MIN ? number : ids.indexOf(number)
  return index >= 0 && index < ids.length + (isAdded ? 1 : 0) ? index : undefined
}

const isOp = (op: string): op is PatchOp => PATCH_OPS.some((known) => known === op)

function checkValue(value: unknown): void {
  if (value === undefined) throw invalidRequest([{ field: 'value', message: 'is required' }])
  if (isDeeper(value, VALUE_DEPTH_MAX)) throw invalidRequest([{ field: 'value', message: 'is nested too deeply' }])
}

const isDeeper = (value: unknown, depth: number): boolean =>
  typeof value === 'object' &&
  value !== null &&
  (depth === 0 || Object.values(value).some((entry) => isDeeper(entry, depth - 1)))

type Resolved = { readonly op: PatchOp; readonly path: string; readonly given: string; readonly value: unknown }

function applyOne(document: unknown, { op, path, given, value }: Resolved): void {
  try {
    applyOperation(document, op === 'remove' ? { op, path } : { op, path, value }, true)
  } catch (cause) {
    if (cause instanceof JsonPatchError) throw invalidPath(given)
    throw cause
  }
}
