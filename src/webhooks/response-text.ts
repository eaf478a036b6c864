/** What is kept of an answer, as it came. */
export const RESPONSE_BYTES_MAX = 4_096
/** And as the JSON that carries it to the records: a receiver must not choose how much that is. */
const JSON_BYTES_MAX = 6_144

/**
 * The first part of an answer's body, fit to be kept: no store takes a NUL, the other control characters but
 * tab and line ends would be six bytes each in JSON, and no half character is left when it was `cut`.
 */
export function toResponseText(body: Buffer, { cut }: { readonly cut: boolean }): string {
  // oxlint-disable-next-line no-control-regex -- they are what is replaced
  const text = body.toString().replaceAll(/[\u0000-\u0008\u000b\u000c\u000e-\u001f]/g, '\uFFFD')
  const whole = cut ? text.replace(/\uFFFD$/, '') : text
  // A byte is three as the replacement character, and no more in any other way.
  return body.length * 3 > JSON_BYTES_MAX ? shorten(whole) : whole
}

/** The characters that fit. */
function shorten(text: string): string {
  if (jsonBytes(text) <= JSON_BYTES_MAX) return text
  let bytes = 0
  let end = 0
  for (const character of text) {
    bytes += jsonBytes(character)
    if (bytes > JSON_BYTES_MAX) break
    end += character.length
  }
  return text.slice(0, end)
}

/** Without the quotation marks around it. */
const jsonBytes = (text: string): number => Buffer.byteLength(JSON.stringify(text)) - 2
