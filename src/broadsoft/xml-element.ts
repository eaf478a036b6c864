/** The namespace of everything in XSI. */
export const XSI_NAMESPACE = 'http://schema.broadsoft.com/xsi'
/** XMLSchema-instance: where `type` and `nil` live. BroadWorks binds it to the prefix `xsi1`. */
export const SCHEMA_INSTANCE_NAMESPACE = 'http://www.w3.org/2001/XMLSchema-instance'

/** The value of a schema-instance `type` attribute, its prefix resolved. */
export type XmlTypeName = { readonly namespace: string; readonly name: string }

/** An element by namespace and local name; prefixes are gone. */
export type XmlElement = {
  readonly name: string
  readonly namespace: string
  readonly type?: XmlTypeName
  /** By local name, or `{namespace}name` for an attribute in a namespace; declarations are left out. */
  readonly attributes: ReadonlyMap<string, string>
  readonly children: readonly XmlElement[]
  /** The element's own text and CDATA, without that of its children, trimmed. */
  readonly text: string
}

/** The first child of this local name in the parent's namespace. */
export const childOf = (parent: XmlElement | undefined, name: string): XmlElement | undefined =>
  parent?.children.find((child) => child.name === name && child.namespace === parent.namespace)

/** All children of this local name in the parent's namespace. */
export const childrenOf = (parent: XmlElement | undefined, name: string): readonly XmlElement[] =>
  parent?.children.filter((child) => child.name === name && child.namespace === parent.namespace) ?? []

/** The text of the first such child; undefined when there is none or it is empty. */
export const textOf = (parent: XmlElement | undefined, name: string): string | undefined => {
  const text = childOf(parent, name)?.text
  return text === '' ? undefined : text
}

/** XSI writes true as an empty element: its presence is the value. */
export const hasFlag = (parent: XmlElement | undefined, name: string): boolean => childOf(parent, name) !== undefined

/**
 * The same text on its own, for whoever keeps it: as it is cut from a document, a string holds on to the
 * whole of it.
 */
export const detached = (text: string): string => Buffer.from(text, 'utf8').toString('utf8')

/** {@link textOf}, on its own. */
export const detachedTextOf = (parent: XmlElement | undefined, name: string): string | undefined => {
  const text = textOf(parent, name)
  return text === undefined ? undefined : detached(text)
}
