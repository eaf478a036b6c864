import { GatewayError } from '../core/errors.ts'
import { XSI_NAMESPACE } from './xml.ts'
import type { XmlElement } from './xml.ts'

type Json = { [key: string]: string | Json | Json[] }

/** BadgerFish JSON of a document, as `format=json` asks for it (XSI Interface Specification 2020.07, p. 31). */
export function toBadgerFish(root: XmlElement): string {
  return JSON.stringify({ [root.name]: toJson(root) })
}

function toJson(node: XmlElement): Json {
  const json: Json = {}
  for (const [name, value] of Object.entries(node.attributes ?? {})) {
    if (name === 'xmlns') json['@xmlns'] = { $: value }
    else json[`@${name}`] = value
  }
  if (node.type !== undefined) {
    json['@xmlns'] = { xsi: XSI_NAMESPACE, xsi1: 'http://www.w3.org/2001/XMLSchema-instance' }
    json['@xsi1:type'] = `xsi:${node.type}`
  }
  const text = node.children.filter((child) => typeof child === 'string').join('')
  if (text !== '') json['$'] = text
  for (const child of node.children) {
    if (typeof child === 'string') continue
    const value = toJson(child)
    const existing = json[child.name]
    if (existing === undefined) json[child.name] = value
    else if (Array.isArray(existing)) existing.push(value)
    else if (typeof existing !== 'string') json[child.name] = [existing, value]
  }
  return json
}

/** The document of a BadgerFish body. Throws GatewayError `invalid_request`. */
export function fromBadgerFish(text: string): XmlElement {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw new GatewayError('invalid_request', { detail: 'not valid JSON', cause })
  }
  const [root] = isRecord(json) ? Object.entries(json) : []
  if (root === undefined) throw new GatewayError('invalid_request', { detail: 'the JSON document has no root' })
  return fromJson(root[0], root[1])
}

function fromJson(name: string, json: unknown): XmlElement {
  if (typeof json === 'string' || typeof json === 'number') return { name, children: [String(json)] }
  if (!isRecord(json)) return { name, children: [] }
  const children: (XmlElement | string)[] = []
  for (const [key, value] of Object.entries(json)) {
    if (key === '$') children.push(String(value))
    else if (Array.isArray(value)) children.push(...value.map((item: unknown) => fromJson(key, item)))
    else if (!key.startsWith('@')) children.push(fromJson(key, value))
  }
  return { name, children }
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
