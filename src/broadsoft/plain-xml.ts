import { SCHEMA_INSTANCE_NAMESPACE, type XmlElement, type XmlTypeName } from './xml-element.ts'

/** What a plain document has nothing of: entities, comments, CDATA, carriage returns, characters beyond the usual. */
const UNUSUAL = /[^\t\n\x20-\x25\x27-\x7e\u00a0-\ud7ff\ue000-\ufffd]|<!|\]\]>/
const DECLARATION = /^<\?xml version="1\.0"(?: encoding="[A-Za-z][\w.-]*")?(?: standalone="(?:yes|no)")? ?\?>/
const BLANK = /^[\t\n ]*$/
/** Values that XML changes before they are read, and those that are not allowed. */
const UNUSUAL_VALUE = /[\t\n<]/
const RESERVED_PREFIX = /^xml/i
const NO_ATTRIBUTES: ReadonlyMap<string, string> = new Map()
const NO_CHILDREN: readonly XmlElement[] = []

const TAB = 0x09
const LF = 0x0a
const SPACE = 0x20
const DOUBLE_QUOTE = 0x22
const QUOTE = 0x27
const SLASH = 0x2f
const COLON = 0x3a
const EQUALS = 0x3d
const GREATER = 0x3e

/** Namespaces by prefix; the default one has the prefix ''. */
type Scope = ReadonlyMap<string, string>
type Attribute = { readonly prefix: string; readonly local: string; readonly value: string }

type OpenElement = {
  readonly name: string
  readonly namespace: string
  readonly type?: XmlTypeName
  readonly attributes: ReadonlyMap<string, string>
  children: XmlElement[] | undefined
  text: string
  /** As it is written, with its prefix. */
  readonly written: string
  readonly scope: Scope
}

/**
 * Reads a document of the kind that nearly all are: elements, attributes and text, nothing else. It takes a
 * fifth of a full parser's time, because it copies pieces of text instead of looking at each character.
 *
 * Undefined when there is anything in the document that it does not know, well-formed or not: then a full
 * parser has to say. What it does read is well-formed, and the full parser reads the same.
 */
export function parsePlainXml(
  text: string,
  bounds: { readonly depthMax: number; readonly elementsMax: number },
): XmlElement | undefined {
  return UNUSUAL.test(text) ? undefined : new PlainReader(text, bounds).read()
}

class PlainReader {
  readonly #text: string
  readonly #depthMax: number
  readonly #elementsMax: number
  readonly #open: OpenElement[] = []
  /** Where the reader is, between tags or in one. */
  #at: number
  #elements = 0
  #root: XmlElement | undefined

  constructor(text: string, { depthMax, elementsMax }: { readonly depthMax: number; readonly elementsMax: number }) {
    this.#text = text
    this.#at = DECLARATION.exec(text)?.[0].length ?? 0
    this.#depthMax = depthMax
    this.#elementsMax = elementsMax
  }

  read(): XmlElement | undefined {
    for (;;) {
      const next = this.#text.indexOf('<', this.#at)
      const end = next === -1 ? this.#text.length : next
      if (end > this.#at && !this.#takeText(this.#text.slice(this.#at, end))) return undefined
      if (next === -1) return this.#open.length === 0 ? this.#root : undefined
      this.#at = next + 1
      const isRead = this.#text.charCodeAt(this.#at) === SLASH ? this.#readEndTag() : this.#readStartTag()
      if (!isRead) return undefined
    }
  }

  /** Outside of the root there is only white space. */
  #takeText(part: string): boolean {
    const element = this.#open.at(-1)
    if (element === undefined) return BLANK.test(part)
    element.text += part
    return true
  }

  #readEndTag(): boolean {
    const element = this.#open.pop()
    if (element === undefined || !this.#text.startsWith(element.written, this.#at + 1)) return false
    this.#at += 1 + element.written.length
    this.#skipSpace()
    if (this.#text.charCodeAt(this.#at) !== GREATER) return false
    this.#at += 1
    this.#close(element)
    return true
  }

  #readStartTag(): boolean {
    const nameAt = this.#at
    const colonAt = this.#skipName()
    if (colonAt === undefined || this.#root !== undefined) return false
    const written = this.#text.slice(nameAt, this.#at)
    const attributes = this.#readAttributes()
    if (attributes === undefined) return false
    const isEmpty = this.#text.charCodeAt(this.#at) === SLASH
    if (isEmpty) this.#at += 1
    if (this.#text.charCodeAt(this.#at) !== GREATER) return false
    this.#at += 1
    const prefix = colonAt === -1 ? '' : written.slice(0, colonAt - nameAt)
    const element = this.#toElement(
      { written, prefix, name: written.slice(colonAt === -1 ? 0 : prefix.length + 1) },
      attributes,
    )
    if (element === undefined) return false
    if (isEmpty) this.#close(element)
    else this.#open.push(element)
    return true
  }

  #toElement(
    { written, prefix, name }: { readonly written: string; readonly prefix: string; readonly name: string },
    attributes: readonly Attribute[],
  ): OpenElement | undefined {
    this.#elements += 1
    if (this.#open.length >= this.#depthMax || this.#elements > this.#elementsMax) return undefined
    const outer = this.#open.at(-1)?.scope ?? NO_ATTRIBUTES
    const common = { written, name, children: undefined, text: '' }
    if (attributes.length === 0) {
      const namespace = namespaceOf(prefix, outer)
      return namespace === undefined ? undefined : { ...common, namespace, attributes: NO_ATTRIBUTES, scope: outer }
    }
    const scope = scopeOf(attributes, outer)
    const namespace = scope && namespaceOf(prefix, scope)
    const values = scope && valuesOf(attributes, scope)
    if (scope === undefined || namespace === undefined || values === undefined) return undefined
    const typeName = values.get(`{${SCHEMA_INSTANCE_NAMESPACE}}type`)
    if (typeName === undefined) return { ...common, namespace, attributes: values, scope }
    const type = typeOf(typeName, scope)
    return type && { ...common, namespace, type, attributes: values, scope }
  }

  #close({ name, namespace, type, attributes, children, text }: OpenElement): void {
    const element: XmlElement = {
      name,
      namespace,
      attributes,
      children: children ?? NO_CHILDREN,
      text: text.trim(),
      ...(type !== undefined && { type }),
    }
    const parent = this.#open.at(-1)
    if (parent === undefined) this.#root = element
    else if (parent.children === undefined) parent.children = [element]
    else parent.children.push(element)
  }

  /** Up to the end of the tag, which is next; undefined for what is not understood. */
  #readAttributes(): readonly Attribute[] | undefined {
    const attributes: Attribute[] = []
    for (;;) {
      const before = this.#at
      this.#skipSpace()
      const code = this.#text.charCodeAt(this.#at)
      if (code === GREATER || code === SLASH) return attributes
      const attribute = this.#at > before ? this.#readAttribute() : undefined
      if (attribute === undefined) return undefined
      attributes.push(attribute)
    }
  }

  #readAttribute(): Attribute | undefined {
    const nameAt = this.#at
    const colonAt = this.#skipName()
    if (colonAt === undefined) return undefined
    const written = this.#text.slice(nameAt, this.#at)
    const quote = this.#text.charCodeAt(this.#at + 1)
    if (this.#text.charCodeAt(this.#at) !== EQUALS || (quote !== DOUBLE_QUOTE && quote !== QUOTE)) return undefined
    const end = this.#text.indexOf(quote === QUOTE ? "'" : '"', this.#at + 2)
    if (end === -1) return undefined
    const value = this.#text.slice(this.#at + 2, end)
    this.#at = end + 1
    if (UNUSUAL_VALUE.test(value)) return undefined
    if (colonAt === -1) return { prefix: '', local: written, value }
    return { prefix: written.slice(0, colonAt - nameAt), local: written.slice(colonAt - nameAt + 1), value }
  }

  /** Steps over a name. Returns where its colon is, -1 when it has none; undefined when it is no usual name. */
  #skipName(): number | undefined {
    let colonAt = -1
    let startsPart = true
    for (; ; this.#at += 1) {
      const code = this.#text.charCodeAt(this.#at)
      if (isLetter(code) || (!startsPart && isDigitOrMark(code))) startsPart = false
      else if (code === COLON && colonAt === -1 && !startsPart) {
        colonAt = this.#at
        startsPart = true
      } else return startsPart ? undefined : colonAt
    }
  }

  #skipSpace(): void {
    for (let code = this.#text.charCodeAt(this.#at); code === SPACE || code === LF || code === TAB;) {
      this.#at += 1
      code = this.#text.charCodeAt(this.#at)
    }
  }
}

/** A to Z, a to z, _ */
const isLetter = (code: number): boolean =>
  (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a) || code === 0x5f
/** 0 to 9, - and . */
const isDigitOrMark = (code: number): boolean => (code >= 0x30 && code <= 0x39) || code === 0x2d || code === 0x2e

/** Undefined when the prefix is not declared. */
const namespaceOf = (prefix: string, scope: Scope): string | undefined =>
  scope.get(prefix) ?? (prefix === '' ? '' : undefined)

const isDeclaration = ({ prefix, local }: Attribute): boolean =>
  prefix === 'xmlns' || (prefix === '' && local === 'xmlns')

/** The outer scope with what these attributes declare; undefined when a declaration is odd. */
function scopeOf(attributes: readonly Attribute[], outer: Scope): Scope | undefined {
  let scope: Map<string, string> | undefined
  const declared = new Set<string>()
  for (const attribute of attributes) {
    if (!isDeclaration(attribute)) continue
    const prefix = attribute.prefix === '' ? '' : attribute.local
    const { value } = attribute
    // The names that XML itself uses have rules of their own.
    const isOdd = RESERVED_PREFIX.test(prefix) || (value === '' && prefix !== '') || value !== value.trim()
    if (isOdd || value.startsWith('http://www.w3.org/XML/') || value.startsWith('http://www.w3.org/2000/xmlns')) {
      return undefined
    }
    if (declared.has(prefix)) return undefined
    declared.add(prefix)
    scope ??= new Map(outer)
    scope.set(prefix, value)
  }
  return scope ?? outer
}

/** The attributes that are no declarations; undefined when one is there twice, or its prefix is not declared. */
function valuesOf(attributes: readonly Attribute[], scope: Scope): ReadonlyMap<string, string> | undefined {
  let values: Map<string, string> | undefined
  for (const attribute of attributes) {
    if (isDeclaration(attribute)) continue
    const { prefix, local, value } = attribute
    const namespace = prefix === '' ? '' : scope.get(prefix)
    if (namespace === undefined) return undefined
    const key = namespace === '' ? local : `{${namespace}}${local}`
    values ??= new Map()
    if (values.has(key)) return undefined
    values.set(key, value)
  }
  return values ?? NO_ATTRIBUTES
}

/** As in the full parser, an undeclared prefix of a type means no namespace. */
function typeOf(value: string, scope: Scope): XmlTypeName | undefined {
  const written = value.trim()
  const colon = written.indexOf(':')
  const prefix = colon === -1 ? '' : written.slice(0, colon)
  if (RESERVED_PREFIX.test(prefix)) return undefined
  return { namespace: scope.get(prefix) ?? '', name: written.slice(colon + 1) }
}
