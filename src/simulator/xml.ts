import { XMLParser, XMLValidator } from 'fast-xml-parser'
import * as v from 'valibot'
import { GatewayError } from '../core/errors.ts'

/** The namespace of everything in XSI. */
export const XSI_NAMESPACE = 'http://schema.broadsoft.com/xsi'
export const SCHEMA_INSTANCE_NAMESPACE = 'http://www.w3.org/2001/XMLSchema-instance'
export const XML_DECLARATION = '<?xml version="1.0" encoding="UTF-8"?>'

/** An element by its local name; the serialiser decides about prefixes. */
export type XmlElement = {
  readonly name: string
  /** Value of the schema-instance `type` attribute, a local name of the XSI namespace. */
  readonly type?: string
  readonly attributes?: Readonly<Record<string, string>>
  readonly children: readonly (XmlElement | string)[]
}

type Content = string | number | readonly (XmlElement | undefined)[]

/** An element with text or children; undefined children are left out. */
export function element(
  name: string,
  content: Content = [],
  options: { readonly type?: string; readonly attributes?: Readonly<Record<string, string>> | undefined } = {},
): XmlElement {
  const children =
    typeof content === 'object' ? content.filter((child) => child !== undefined) : [String(content)].filter(Boolean)
  return {
    name,
    children,
    ...(options.type === undefined ? {} : { type: options.type }),
    ...(options.attributes === undefined ? {} : { attributes: options.attributes }),
  }
}

/** An element with text, or nothing when there is no text. */
export const optional = (name: string, content: string | number | undefined): XmlElement | undefined =>
  content === undefined || content === '' ? undefined : element(name, content)

/** An empty element whose presence means true. */
export const flag = (name: string, isSet: boolean | undefined): XmlElement | undefined =>
  isSet === true ? element(name) : undefined

/** Serialises for events: every element has the prefix `xsi`, types the prefix `xsi1`. */
export const serialisePrefixed = (node: XmlElement): string =>
  serialise(node, { prefix: 'xsi:', typeAttribute: (type) => ` xsi1:type="xsi:${type}"` })

/** Serialises for actions and subscriptions: default namespace, prefixes declared where a type needs them. */
export const serialisePlain = (node: XmlElement): string =>
  serialise(node, {
    prefix: '',
    typeAttribute: (type) =>
      ` xsi1:type="xsi:${type}" xmlns:xsi="${XSI_NAMESPACE}" xmlns:xsi1="${SCHEMA_INSTANCE_NAMESPACE}"`,
  })

type Style = { readonly prefix: string; readonly typeAttribute: (type: string) => string }

function serialise(node: XmlElement, style: Style): string {
  const name = style.prefix + node.name
  let start = `<${name}`
  if (node.type !== undefined) start += style.typeAttribute(node.type)
  for (const [key, value] of Object.entries(node.attributes ?? {})) start += ` ${key}="${escape(value)}"`
  if (node.children.length === 0) return `${start}/>`
  let content = ''
  for (const child of node.children) content += typeof child === 'string' ? escape(child) : serialise(child, style)
  return `${start}>${content}</${name}>`
}

const ESCAPES: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

/** Escapes for text and attributes, and drops characters that XML 1.0 does not allow. */
export const escape = (text: string): string =>
  text
    .toWellFormed()
    // oxlint-disable-next-line no-control-regex -- these are the characters that XML 1.0 forbids
    .replaceAll(/[\u0000-\u0008\u000B\u000C\u000E-\u001F\uFFFE\uFFFF]/g, '')
    .replaceAll(/[&<>"]/g, (character) => ESCAPES[character] ?? character)

/** A node as the parser gives it in document order: one key with the children, or text, beside attributes. */
const ParsedNodesSchema = v.array(v.record(v.string(), v.unknown()))
const AttributesSchema = v.optional(v.record(v.string(), v.string()), {})

/** Parses a request body into local names. Throws GatewayError `invalid_request`. */
export function parseXml(text: string): XmlElement {
  // Nothing in the protocol declares a document type, and entities of one are a known attack.
  if (/<!DOCTYPE/i.test(text)) throw new GatewayError('invalid_request', { detail: 'a document type is not allowed' })
  const validity = XMLValidator.validate(text)
  if (validity !== true) {
    throw new GatewayError('invalid_request', { detail: `not well-formed XML: ${validity.err.msg}` })
  }
  const parser = new XMLParser({
    preserveOrder: true,
    ignoreAttributes: false,
    attributeNamePrefix: '',
    removeNSPrefix: true,
    parseTagValue: false,
    parseAttributeValue: false,
    ignoreDeclaration: true,
    ignorePiTags: true,
    htmlEntities: true,
  })
  const roots = toElements(parseNodes(parser, text)).filter((node) => typeof node !== 'string')
  const [root] = roots
  if (root === undefined || roots.length > 1) {
    throw new GatewayError('invalid_request', { detail: 'the document must have one root element' })
  }
  return root
}

function parseNodes(parser: XMLParser, text: string): unknown {
  try {
    return parser.parse(text)
  } catch (cause) {
    // Its own limits, such as that of nesting.
    throw new GatewayError('invalid_request', { detail: 'the document is not acceptable', cause })
  }
}

function toElements(nodes: unknown): (XmlElement | string)[] {
  return v.parse(ParsedNodesSchema, nodes).flatMap((node): readonly (XmlElement | string)[] => {
    const [name] = Object.keys(node).filter((key) => key !== ':@')
    if (name === undefined) return []
    if (name === '#text') return [String(node[name])]
    const { xmlns: _namespace, ...attributes } = v.parse(AttributesSchema, node[':@'])
    return [{ name, attributes, children: toElements(node[name]) }]
  })
}

/** The first child of this local name, compared without case. */
export const childOf = (node: XmlElement | undefined, name: string): XmlElement | undefined => childrenOf(node, name)[0]

/** All children of this local name, compared without case. */
export const childrenOf = (node: XmlElement | undefined, name: string): XmlElement[] =>
  (node?.children ?? []).filter(
    (child): child is XmlElement => typeof child !== 'string' && child.name.toLowerCase() === name.toLowerCase(),
  )

/** The text of a child, trimmed; undefined when it is missing or empty. */
export function textOf(node: XmlElement | undefined, name: string): string | undefined {
  const text = contentOf(childOf(node, name))
  return text === '' ? undefined : text
}

/** The text directly inside an element, trimmed. */
export const contentOf = (node: XmlElement | undefined): string =>
  (node?.children ?? [])
    .filter((child) => typeof child === 'string')
    .join('')
    .trim()
