import { SaxesParser } from 'saxes'
import { GatewayError } from '../core/errors.ts'
import { decodeXml } from './charset.ts'
import { parsePlainXml } from './plain-xml.ts'
import { SCHEMA_INSTANCE_NAMESPACE, type XmlElement, type XmlTypeName } from './xml-element.ts'

export type XmlBounds = {
  readonly bytesMax: number
  readonly depthMax: number
  readonly elementsMax: number
}

const DEFAULT_BOUNDS: XmlBounds = { bytesMax: 1_048_576, depthMax: 64, elementsMax: 50_000 }

type OpenElement = {
  name: string
  namespace: string
  type?: XmlTypeName
  attributes: Map<string, string>
  children: XmlElement[]
  text: string
}

/**
 * Parses one XML document into a tree. `charset` is the one that HTTP named, if any. Namespaces are
 * resolved, only the five predefined and numeric entities are decoded, a DOCTYPE is refused.
 * Throws `protocol_error` for anything not well-formed or over the bounds.
 */
export function parseXml(bytes: Uint8Array, charset?: string, bounds: Partial<XmlBounds> = {}): XmlElement {
  const { bytesMax, depthMax, elementsMax } = { ...DEFAULT_BOUNDS, ...bounds }
  if (bytes.byteLength > bytesMax) throw malformed('the document is too large')
  // saxes takes a declaration only at the very start.
  const text = decodeXml(bytes, charset).trimStart()
  try {
    return parsePlainXml(text, { depthMax, elementsMax }) ?? buildTree(text, { depthMax, elementsMax })
  } catch (error) {
    if (error instanceof GatewayError) throw error
    throw malformed('the document is not well-formed XML', error)
  }
}

function buildTree(text: string, bounds: Pick<XmlBounds, 'depthMax' | 'elementsMax'>): XmlElement {
  const parser = new SaxesParser({ xmlns: true, position: false })
  const open: OpenElement[] = []
  let root: XmlElement | undefined
  let elements = 0

  parser.on('doctype', () => {
    throw malformed('a document type is not allowed')
  })
  parser.on('opentag', (tag) => {
    elements += 1
    if (open.length >= bounds.depthMax) throw malformed('the document is nested too deeply')
    if (elements > bounds.elementsMax) throw malformed('the document has too many elements')
    const element: OpenElement = {
      name: tag.local,
      namespace: tag.uri,
      attributes: new Map(),
      children: [],
      text: '',
    }
    for (const attribute of Object.values(tag.attributes)) {
      if (attribute.prefix === 'xmlns' || attribute.name === 'xmlns') continue
      const key = attribute.uri === '' ? attribute.local : `{${attribute.uri}}${attribute.local}`
      element.attributes.set(key, attribute.value)
      if (attribute.local === 'type' && attribute.uri === SCHEMA_INSTANCE_NAMESPACE) {
        element.type = resolveTypeName(attribute.value, (prefix) => parser.resolve(prefix))
      }
    }
    open.push(element)
  })
  const onText = (part: string): void => {
    const element = open.at(-1)
    if (element !== undefined) element.text += part
  }
  parser.on('text', onText)
  parser.on('cdata', onText)
  parser.on('closetag', () => {
    const element = open.pop()
    if (element === undefined) return
    element.text = element.text.trim()
    const parent = open.at(-1)
    if (parent === undefined) root = element
    else parent.children.push(element)
  })
  parser.write(text).close()
  if (root === undefined) throw malformed('the document has no root element')
  return root
}

/** The trap of this protocol: in events the prefix `xsi` means BroadSoft's namespace, not schema-instance. */
function resolveTypeName(value: string, resolve: (prefix: string) => string | undefined): XmlTypeName {
  const name = value.trim()
  const colon = name.indexOf(':')
  const prefix = colon === -1 ? '' : name.slice(0, colon)
  return { namespace: resolve(prefix) ?? '', name: name.slice(colon + 1) }
}

const malformed = (detail: string, cause?: unknown): GatewayError =>
  new GatewayError('protocol_error', cause === undefined ? { detail } : { detail, cause })
