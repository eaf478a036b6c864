import { SaxesParser } from 'saxes'
import { GatewayError, isGatewayError } from '../core/errors.ts'

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
  IS_PLAIN.test(text)
    ? text
    : text
        .toWellFormed()
        // oxlint-disable-next-line no-control-regex -- these are the characters that XML 1.0 forbids
        .replaceAll(/[\u0000-\u0008\u000B\u000C\u000E-\u001F\uFFFE\uFFFF]/g, '')
        .replaceAll(/[&<>"]/g, (character) => ESCAPES[character] ?? character)

/** Nothing but characters that stand for themselves, as nearly all text is. */
const IS_PLAIN = /^[\w .:;,@+/()*'#=!?%~$^[\]{}|-]*$/

const DEPTH_MAX = 64

type OpenElement = { readonly name: string; readonly attributes: Record<string, string>; readonly children: Child[] }
type Child = XmlElement | string

/**
 * Parses a request body into local names, white space around texts left out. Throws GatewayError
 * `invalid_request`.
 */
export function parseXml(text: string): XmlElement {
  try {
    return buildTree(text)
  } catch (cause) {
    if (isGatewayError(cause)) throw cause
    throw new GatewayError('invalid_request', { detail: 'not well-formed XML', cause })
  }
}

function buildTree(text: string): XmlElement {
  const parser = new SaxesParser({ xmlns: false, position: false })
  const open: OpenElement[] = []
  let root: XmlElement | undefined
  parser.on('doctype', () => {
    // Nothing in the protocol declares a document type, and entities of one are a known attack.
    throw new GatewayError('invalid_request', { detail: 'a document type is not allowed' })
  })
  parser.on('opentag', (tag) => {
    if (open.length >= DEPTH_MAX)
      throw new GatewayError('invalid_request', { detail: 'elements are nested too deeply' })
    open.push({ name: localName(tag.name), attributes: localAttributes(tag.attributes), children: [] })
  })
  const onText = (part: string): void => {
    const trimmed = part.trim()
    if (trimmed !== '') open.at(-1)?.children.push(trimmed)
  }
  parser.on('text', onText)
  parser.on('cdata', onText)
  parser.on('closetag', () => {
    const closed = open.pop()
    const parent = open.at(-1)
    if (parent === undefined) root = closed
    else if (closed !== undefined) parent.children.push(closed)
  })
  parser.write(text).close()
  if (root === undefined)
    throw new GatewayError('invalid_request', { detail: 'the document must have one root element' })
  return root
}

const localName = (name: string): string => name.slice(name.indexOf(':') + 1)

/** Without the declarations of namespaces. */
function localAttributes(attributes: Readonly<Record<string, string>>): Record<string, string> {
  const local: Record<string, string> = {}
  for (const [name, value] of Object.entries(attributes)) {
    if (name !== 'xmlns' && !name.startsWith('xmlns:')) local[localName(name)] = value
  }
  return local
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
