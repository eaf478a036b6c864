import { textOf } from '../xml.ts'
import type { XmlElement } from '../xml.ts'

/** The `expires` of a request in seconds; undefined when it is left out. */
export function parseExpires(body: XmlElement | undefined): number | undefined | 'invalid' {
  const text = textOf(body, 'expires')
  if (text === undefined) return undefined
  return /^\d{1,10}$/.test(text) ? Number(text) : 'invalid'
}

/** Whether this is an XSD `PositiveInt`. */
export const isPositive = (text: string): boolean => /^\d{1,10}$/.test(text) && Number(text) > 0
