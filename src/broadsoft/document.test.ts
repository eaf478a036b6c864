import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { failureOf } from '../../test/support/failure-of.ts'
import { isGatewayError } from '../core/errors.ts'
import { parseXml } from './document.ts'
import { childOf, childrenOf, hasFlag, textOf } from './xml-element.ts'

const parse = (text: string) => parseXml(Buffer.from(text))

describe('parseXml', () => {
  test('resolves names and types by namespace, whatever the prefixes', () => {
    const root = parse(
      '<x:Event xmlns:x="http://schema.broadsoft.com/xsi" xmlns:i="http://www.w3.org/2001/XMLSchema-instance" i:type="x:SubscriptionEvent"/>',
    )
    expect(root).toMatchObject({
      name: 'Event',
      namespace: 'http://schema.broadsoft.com/xsi',
      type: { namespace: 'http://schema.broadsoft.com/xsi', name: 'SubscriptionEvent' },
    })
  })

  test('a type attribute of BroadSoft’s own namespace is not a schema-instance type', () => {
    const root = parse('<xsi:Event xmlns:xsi="http://schema.broadsoft.com/xsi" xsi:type="xsi:Trap"/>')
    expect(root.type).toBeUndefined()
    expect(root.attributes.get('{http://schema.broadsoft.com/xsi}type')).toBe('xsi:Trap')
  })

  test('a type may use a prefix that is declared on an ancestor, before or after it', () => {
    const root = parse(
      '<a xmlns:s="http://www.w3.org/2001/XMLSchema-instance" s:type="late:T" xmlns:late="urn:late"><b s:type="late:U"/></a>',
    )
    expect(root.type).toEqual({ namespace: 'urn:late', name: 'T' })
    expect(root.children[0]?.type).toEqual({ namespace: 'urn:late', name: 'U' })
  })

  test('decodes entities and character references, joins CDATA, trims', () => {
    expect(parse('<a>\n Smith &amp; S&#248;n <![CDATA[<&>]]> </a>').text).toBe('Smith & Søn <&>')
  })

  test('elements named like object properties are just elements', () => {
    const root = parse('<a><__proto__>1</__proto__><constructor x="2"/></a>')
    expect(textOf(root, '__proto__')).toBe('1')
    expect(childOf(root, 'constructor')?.attributes.get('x')).toBe('2')
  })

  test('finds children only in the parent’s namespace', () => {
    const root = parse('<a xmlns="urn:a"><b xmlns="urn:b">no</b><b>yes</b><b/></a>')
    expect(textOf(root, 'b')).toBe('yes')
    expect(childrenOf(root, 'b')).toHaveLength(2)
    expect(hasFlag(root, 'c')).toBe(false)
    expect(textOf(undefined, 'b')).toBeUndefined()
  })

  test.each([
    ['tags that cross', '<a><b></a></b>'],
    ['a document that ends early', '<a><b>'],
    ['a bare ampersand', '<a>a & b</a>'],
    ['an unknown entity', '<a>&nbsp;</a>'],
    ['two roots', '<a/><b/>'],
    ['text after the root', '<a/>x'],
    ['a duplicate attribute', '<a x="1" x="2"/>'],
    ['an unbound prefix', '<x:a/>'],
    ['a control character', '<a>\u0001</a>'],
    ['nothing', ''],
    ['white space only', ' \n'],
    ['a document type', '<!DOCTYPE a><a/>'],
    ['an entity bomb', '<!DOCTYPE a [<!ENTITY b "bbbb"><!ENTITY c "&b;&b;&b;">]><a>&c;</a>'],
    ['an external entity', '<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>'],
    ['10,000 levels of nesting', '<a>'.repeat(10_000)],
    ['too many elements', `<a>${'<b/>'.repeat(50_000)}</a>`],
    ['more bytes than the bound', `<a>${'x'.repeat(1_048_576)}</a>`],
  ])('refuses %s', (_, text) => {
    expect(
      isGatewayError(
        failureOf(() => parse(text)),
        'protocol_error',
      ),
    ).toBe(true)
  })

  test.each([
    ['the charset of HTTP', Buffer.from('<a>S\xf8n</a>', 'latin1'), 'ISO-8859-1', 'Søn'],
    [
      'HTTP before the declaration',
      Buffer.from('<?xml version="1.0" encoding="windows-1251"?><a>S\xf8n</a>', 'latin1'),
      'iso-8859-1',
      'Søn',
    ],
    [
      'the declaration in any case',
      Buffer.from("<?xml version='1.0' encoding='iso-8859-1'?><a>S\xf8n</a>", 'latin1'),
      undefined,
      'Søn',
    ],
    [
      'windows-1251',
      Buffer.from('<?xml version="1.0" encoding="windows-1251"?><a>\xcf\xf0\xe8</a>', 'latin1'),
      undefined,
      'При',
    ],
    ['UTF-8 by default', Buffer.from('<a>Søn</a>'), undefined, 'Søn'],
    ['UTF-8 for a charset that does not exist', Buffer.from('<a>Søn</a>'), 'x-unheard-of', 'Søn'],
    ['a byte order mark', Buffer.from('\ufeff<a>Søn</a>'), undefined, 'Søn'],
    [
      'invalid bytes as U+FFFD',
      Buffer.from([0x3c, 0x61, 0x3e, 0x53, 0xff, 0x3c, 0x2f, 0x61, 0x3e]),
      undefined,
      'S\ufffd',
    ],
  ])('decodes %s', (_, bytes, charset, text) => {
    expect(parseXml(bytes, charset).text).toBe(text)
  })

  test('of any bytes throws nothing but protocol_error', () => {
    const soup = fc
      .array(
        fc.oneof(
          fc.constantFrom(
            '<a>',
            '</a>',
            '<b x="',
            '"',
            '/>',
            '<?xml version="1.0"?>',
            '<![CDATA[',
            ']]>',
            '&#0;',
            '&lt;',
            'xmlns:p=""',
            '<p:a',
          ),
          fc.string(),
        ),
        { maxLength: 20 },
      )
      .map((parts) => Buffer.from(parts.join('')))
    fc.assert(
      fc.property(
        fc.oneof(soup, fc.uint8Array({ maxLength: 200 })),
        fc.option(fc.string(), { nil: undefined }),
        (bytes, charset) => {
          const failure = failureOf(() => parseXml(bytes, charset))
          expect(failure === undefined || isGatewayError(failure, 'protocol_error')).toBe(true)
        },
      ),
      { numRuns: 1000 },
    )
  })
})
