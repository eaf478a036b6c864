/**
 * Decodes an XML document: by the charset that HTTP named, else by the XML declaration, else UTF-8.
 * Bytes that are invalid in it become U+FFFD: a broken caller name must not cost the document.
 * (XSI: events are always UTF-8, profile documents follow the user's locale, often ISO-8859-1.)
 */
export function decodeXml(bytes: Uint8Array, charset?: string): string {
  return (decoderFor(charset) ?? decoderFor(declaredCharset(bytes)) ?? UTF_8).decode(bytes)
}

/** Of nearly all documents; a decoder keeps nothing from one whole document to the next. */
const UTF_8 = new TextDecoder('utf-8')

/** The `charset` parameter of a Content-Type header; undefined when it names none. */
export const charsetOf = (contentType: string | undefined): string | undefined =>
  /;\s*charset\s*=\s*"?([^\s";]+)/i.exec(contentType ?? '')?.[1]

const decoderFor = (label: string | undefined): InstanceType<typeof TextDecoder> | undefined => {
  if (label === undefined) return undefined
  if (/^utf-8$/i.test(label)) return UTF_8
  try {
    return new TextDecoder(label)
  } catch {
    return undefined
  }
}

const declaredCharset = (bytes: Uint8Array): string | undefined => {
  const head = Buffer.from(bytes.buffer, bytes.byteOffset, Math.min(bytes.byteLength, 256)).toString('latin1')
  return /^\s*<\?xml\s[^>]*?\sencoding\s*=\s*["']([\w.:-]+)["']/i.exec(head)?.[1]
}
