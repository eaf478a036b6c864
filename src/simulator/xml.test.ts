import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { fromBadgerFish, toBadgerFish } from './badgerfish.ts'
import { element, parseXml, serialisePlain, serialisePrefixed } from './xml.ts'
import type { XmlElement } from './xml.ts'

/** Characters that XML 1.0 allows, without those that a parser normalises at the edges. */
const text = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 20 })
  .map((value) =>
    value
      .toWellFormed()
      // oxlint-disable-next-line no-control-regex -- what XML 1.0 forbids or normalises
      .replaceAll(/[\u0000-\u001F\uFFFE\uFFFF\u0085\u2028]/g, '')
      .trim(),
  )
  .filter((value) => value !== '')

const { tree } = fc.letrec<{ tree: XmlElement }>((tie) => ({
  tree: fc.record({
    name: fc.constantFrom('call', 'state', 'party'),
    attributes: fc.constant({}),
    children: fc.oneof(
      { maxDepth: 4 },
      text.map((value) => [value]),
      fc.array(tie('tree'), { maxLength: 3 }),
    ),
  }),
}))

describe('xml', () => {
  test('what is serialised is parsed back to the same tree, with and without prefixes', () => {
    fc.assert(
      fc.property(tree, (node) => {
        expect(parseXml(serialisePlain(node))).toEqual(node)
        const prefixed = serialisePrefixed(node).replace(
          /^<xsi:(\w+)/,
          '<xsi:$1 xmlns:xsi="http://schema.broadsoft.com/xsi"',
        )
        expect(parseXml(prefixed)).toEqual(node)
      }),
    )
  })

  test('a type is written with the prefixes of an event, and with declarations in an action', () => {
    const endpoint = element('endpoint', [element('addressOfRecord', 'a@example.net')], { type: 'AccessEndpoint' })
    expect(serialisePrefixed(endpoint)).toBe(
      '<xsi:endpoint xsi1:type="xsi:AccessEndpoint"><xsi:addressOfRecord>a@example.net</xsi:addressOfRecord></xsi:endpoint>',
    )
    expect(serialisePlain(endpoint)).toBe(
      '<endpoint xsi1:type="xsi:AccessEndpoint" xmlns:xsi="http://schema.broadsoft.com/xsi" xmlns:xsi1="http://www.w3.org/2001/XMLSchema-instance"><addressOfRecord>a@example.net</addressOfRecord></endpoint>',
    )
  })

  test.each(['', '<a>', '<a></b>', '<a/><b/>', 'text', '<!DOCTYPE a [<!ENTITY x "y">]><a>&x;</a>'])(
    '%j is refused as an invalid request',
    (document) => {
      expect(() => parseXml(document)).toThrow(expect.objectContaining({ code: 'invalid_request' }))
    },
  )

  test('text is taken as it is meant: entities, CDATA, no white space around it, no declarations among attributes', () => {
    expect(
      parseXml('<x:a xmlns:x="urn:x" x:b="1&amp;2">\n <c> &#252;&lt; </c> <d><![CDATA[<e>]]></d>\n<!-- f --></x:a>'),
    ).toEqual({
      name: 'a',
      attributes: { b: '1&2' },
      children: [
        { name: 'c', attributes: {}, children: ['ü<'] },
        { name: 'd', attributes: {}, children: ['<e>'] },
      ],
    })
  })

  test('elements nested without end are refused', () => {
    expect(() => parseXml('<a>'.repeat(10_000))).toThrow(expect.objectContaining({ code: 'invalid_request' }))
  })

  test('characters that XML forbids are left out', () => {
    expect(serialisePlain(element('a', 'x\u0000\uD800y'))).toBe('<a>x\uFFFDy</a>')
  })
})

const call = (id: string): XmlElement => element('call', [element('callId', id)])

describe('BadgerFish', () => {
  test('one child is an object, several are an array, none is an empty object', () => {
    expect(toBadgerFish(element('Calls'))).toBe('{"Calls":{}}')
    expect(toBadgerFish(element('Calls', [call('1')]))).toBe('{"Calls":{"call":{"callId":{"$":"1"}}}}')
    expect(toBadgerFish(element('Calls', [call('1'), call('2'), call('3')]))).toBe(
      '{"Calls":{"call":[{"callId":{"$":"1"}},{"callId":{"$":"2"}},{"callId":{"$":"3"}}]}}',
    )
  })

  test('a document survives the way there and back when children of one name stand together', () => {
    fc.assert(
      fc.property(fc.array(text, { maxLength: 4 }), text, (events, name) => {
        const document = element('Subscription', [
          ...events.map((event) => element('event', event)),
          element('name', name),
        ])
        expect(fromBadgerFish(toBadgerFish(document))).toEqual(document)
      }),
    )
  })

  test.each(['', '[]', '{}', 'null', '{'])('%j is refused as an invalid request', (body) => {
    expect(() => fromBadgerFish(body)).toThrow(expect.objectContaining({ code: 'invalid_request' }))
  })
})
