import { isDeepStrictEqual } from 'node:util'

/** An element of a list that has an id of its own. */
export type Kept<Element> = { readonly id: number; readonly element: Element }

/** The difference of two lists; of what has changed, the element as it is, and as it was. */
export type ElementChanges<Element> = {
  readonly removed: readonly Kept<Element>[]
  readonly added: readonly Element[]
  readonly changed: readonly (Kept<Element> & { readonly before: Element })[]
}

/** What became of the elements of a list, by their ids; one without an id is new. */
export function elementChanges<Element>(
  before: readonly Kept<Element>[],
  after: readonly { readonly id: number | undefined; readonly element: Element }[],
): ElementChanges<Element> {
  const known = new Map(before.map(({ id, element }) => [id, element]))
  const kept = new Set(after.map(({ id }) => id))
  return {
    removed: before.filter(({ id }) => !kept.has(id)),
    added: after.filter(({ id }) => id === undefined).map(({ element }) => element),
    changed: after.flatMap(({ id, element }) => {
      const was = id === undefined ? undefined : known.get(id)
      return id === undefined || was === undefined || isDeepStrictEqual(was, element)
        ? []
        : [{ id, element, before: was }]
    }),
  }
}

/** Whether the two lists are the same. */
export const isUnchanged = <Element>({ removed, added, changed }: ElementChanges<Element>): boolean =>
  removed.length + added.length + changed.length === 0

/** What to keep of a change: the elements that it touched, as they were or as they are. */
export const touchedElements = <Element extends object>(
  { removed, added, changed }: ElementChanges<Element>,
  when: 'before' | 'after',
): readonly object[] =>
  when === 'before'
    ? [
        ...changed.map(({ id, before }) => ({ id, ...before })),
        ...removed.map(({ id, element }) => ({ id, ...element })),
      ]
    : [...changed.map(({ id, element }) => ({ id, ...element })), ...added]
