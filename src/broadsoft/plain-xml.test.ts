import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseXml } from './document.ts'
import { parsePlainXml } from './plain-xml.ts'
import type { XmlElement } from './xml-element.ts'

const BOUNDS = { depthMax: 64, elementsMax: 1_000 }

/** By the full parser: a comment is nothing that the plain one knows. */
function parseFully(text: string): XmlElement | 'refused' {
  try {
    return parseXml(Buffer.from(`${text}<!---->`))
  } catch {
    return 'refused'
  }
}

const EVENT =
  '<?xml version="1.0" encoding="UTF-8"?><xsi:Event xmlns:xsi="http://schema.broadsoft.com/xsi" ' +
  'xmlns:xsi1="http://www.w3.org/2001/XMLSchema-instance" xsi1:type="xsi:SubscriptionEvent">' +
  '<xsi:eventID>e-1</xsi:eventID><xsi:eventData xsi1:type="xsi:CallHeldEvent"><xsi:call>\n  ' +
  '<xsi:address countryCode="1">tel:+15550100</xsi:address><xsi:allowAnswer/> x </xsi:call></xsi:eventData></xsi:Event>'

test('an event is a plain document', () => {
  const root = parsePlainXml(EVENT, BOUNDS)
  expect(root).toMatchObject({ name: 'Event', namespace: 'http://schema.broadsoft.com/xsi' })
  expect(root).toEqual(parseFully(EVENT))
})

const name = fc.constantFrom('a', 'b', 'call-Id_1.x', 'x:a', 'y:b', 'x:xmlnsy', 'u:a', 'xml:a', '__proto__')
const value = fc.oneof(
  fc.constantFrom('', '1', 'x:T', 'u:T', 'T', ' a b ', "it's", 'urn:x', 'a > b', 'xml:T', 'a\nb', 'ü'),
  fc.string({ maxLength: 4 }),
)
const attribute = fc
  .tuple(
    fc.oneof(
      name,
      fc.constantFrom('xmlns', 'xmlns:x', 'xmlns:y', 'xmlns:i', 'i:type', 'x:type', 'type', 'xmlns:xml', 'xmlns:xmlq'),
    ),
    fc.oneof(
      value,
      fc.constantFrom(
        'urn:a',
        'urn:b',
        'http://www.w3.org/2001/XMLSchema-instance',
        'http://www.w3.org/XML/1998/namespace',
        'http://www.w3.org/2000/xmlns/',
      ),
    ),
    fc.constantFrom('"', "'"),
  )
  .map(([written, text, quote]) => `${written}=${quote}${text.replaceAll(/[&<"']/g, '')}${quote}`)
const text = fc.oneof(
  fc.constantFrom('', ' ', '\n  ', 'text', '+15550100', ' Zoë ', '😀', '\u0085', '\uFFFE', ']]>', '&amp;'),
  fc.string({ maxLength: 5 }).map((any) => any.replaceAll(/[&<]/g, '')),
)
const { element } = fc.letrec<{ element: string }>((tie) => ({
  element: fc
    .tuple(
      name,
      fc.array(attribute, { maxLength: 3 }),
      fc.array(fc.oneof({ maxDepth: 4 }, text, tie('element')), { maxLength: 4 }),
      fc.boolean(),
    )
    .map(([written, attributes, content, isShort]) => {
      const start = [written, ...attributes].join(' ')
      return content.length === 0 && isShort ? `<${start}/>` : `<${start}>${content.join('')}</${written}>`
    }),
}))
/** The prefixes are usually declared. */
const document = fc
  .tuple(
    fc.constantFrom('', '<?xml version="1.0"?>', '<?xml version="1.0" encoding="UTF-8"?>\n', '<?xml version="1.1"?>'),
    element,
    fc.boolean(),
  )
  .map(([declaration, root, isBare]) =>
    isBare
      ? declaration + root
      : `${declaration}<r xmlns:x="urn:x" xmlns:y="urn:y" xmlns:i="http://www.w3.org/2001/XMLSchema-instance">${root}</r>`,
  )

test('what is read as plain is what the full parser reads', () => {
  let plain = 0
  fc.assert(
    fc.property(document, (written) => {
      const root = parsePlainXml(written, BOUNDS)
      if (root === undefined) return
      plain += 1
      expect(root).toEqual(parseFully(written))
    }),
    { numRuns: 2_000 },
  )
  expect(plain).toBeGreaterThan(80)
})

/** What markup is made of, and what it must not have. */
const MARKS = '<>/="\' :&;!?[]-xa1\n\t\r\u0000\uFFFE'

test('a document that was damaged anywhere is left to the full parser, unless that reads the same in it', () => {
  const damage = fc.record({
    at: fc.nat(),
    removed: fc.nat({ max: 3 }),
    added: fc.oneof(fc.string({ unit: fc.constantFrom(...MARKS.split('')), maxLength: 3 }), name),
  })
  let plain = 0
  fc.assert(
    fc.property(
      fc.oneof(fc.constant(EVENT), document),
      fc.array(damage, { minLength: 1, maxLength: 2 }),
      (whole, damages) => {
        let written = whole
        for (const { at, removed, added } of damages) {
          const start = at % (written.length + 1)
          written = written.slice(0, start) + added + written.slice(start + removed)
        }
        const root = parsePlainXml(written.trimStart(), BOUNDS)
        if (root === undefined) return
        plain += 1
        expect(root).toEqual(parseFully(written))
      },
    ),
    { numRuns: 5_000 },
  )
  expect(plain).toBeGreaterThan(100)
})

test('a document over a bound is left to the full parser', () => {
  expect(parsePlainXml('<a><b/></a>', { depthMax: 2, elementsMax: 2 })).toBeDefined()
  expect(parsePlainXml('<a><b/></a>', { depthMax: 1, elementsMax: 2 })).toBeUndefined()
  expect(parsePlainXml('<a><b/></a>', { depthMax: 2, elementsMax: 1 })).toBeUndefined()
})
