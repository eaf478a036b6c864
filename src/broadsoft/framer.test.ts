import * as fc from 'fast-check'
import { describe, expect, test, vi } from 'vitest'
import { CHANNEL, eventDocument, HEARTBEAT } from '../../test/fixtures/xsi/documents.ts'
import { failureOf } from '../../test/support/failure-of.ts'
import { isGatewayError } from '../core/errors.ts'
import { parseXml } from './document.ts'
import { Framer } from './framer.ts'

const BOUND = 1_048_576

const framer = (documentBytesMax = BOUND): Framer => new Framer({ documentBytesMax })

const feed = (target: Framer, bytes: Uint8Array, size: number): string[] => {
  const documents: string[] = []
  for (let i = 0; i < bytes.byteLength; i += size) {
    for (const document of target.push(bytes.subarray(i, i + size))) documents.push(document.toString('utf8'))
  }
  return documents
}

const frame = (text: string, size = BOUND): string[] => {
  const target = framer()
  const documents = feed(target, Buffer.from(text), size)
  target.end()
  return documents
}

const NAMED = eventDocument({ type: 'CallReceivedEvent', payload: '<xsi:name>Zoë 日本 😀 &amp; Søn</xsi:name>' })

describe('documents in a stream', () => {
  test('a channel reply, a heartbeat and an event joined in one read come out as three documents', () => {
    expect(frame(CHANNEL + HEARTBEAT + NAMED)).toEqual([CHANNEL, HEARTBEAT, NAMED])
  })

  test('a heartbeat is 97 bytes and needs nothing after it', () => {
    expect(
      framer()
        .push(Buffer.from(HEARTBEAT))
        .map((document) => document.byteLength),
    ).toEqual([97])
  })

  test('the same documents come out at every split point, even within a character', () => {
    const bytes = Buffer.from(CHANNEL + HEARTBEAT + NAMED)
    for (let split = 1; split < bytes.byteLength; split += 1) {
      const target = framer()
      const parts = [...target.push(bytes.subarray(0, split)), ...target.push(bytes.subarray(split))]
      target.end()
      expect(parts.map(String), `split at ${split}`).toEqual([CHANNEL, HEARTBEAT, NAMED])
    }
  })

  test.each([1, 2, 17])('the same documents come out in chunks of %i bytes', (size) => {
    expect(frame(CHANNEL + HEARTBEAT + NAMED, size)).toEqual([CHANNEL, HEARTBEAT, NAMED])
  })

  test('a document is handed out with the byte that closes its root, not with the next document', () => {
    const bytes = Buffer.from(HEARTBEAT)
    const target = framer()
    expect(target.push(bytes.subarray(0, -1))).toEqual([])
    expect(target.push(bytes.subarray(-1)).map(String)).toEqual([HEARTBEAT])
  })

  test.each([
    ['white space and line feeds between documents', ' \r\n\t<a/>\n\n<b></b>\n', ['<a/>', '<b></b>']],
    ['documents without a declaration', '<a/><b/><c>x</c>', ['<a/>', '<b/>', '<c>x</c>']],
    ['the other spelling of the heartbeat', '<ChannelHeartbeat/>', ['<ChannelHeartbeat/>']],
    ['white space after the name of an end tag', '<a></a \n>', ['<a></a \n>']],
    ['an element of the root’s name inside the root', '<a><a></a></a>', ['<a><a></a></a>']],
    ['> and / in attribute values', `<a x=">" y='/>"'><b/></a>`, [`<a x=">" y='/>"'><b/></a>`]],
    ['end tags in CDATA', '<a><![CDATA[</a>]]]]></a>', ['<a><![CDATA[</a>]]]]></a>']],
    ['end tags in comments', '<a><!-- </a> - -> --></a>', ['<a><!-- </a> - -> --></a>']],
    ['markup in processing instructions', '<a><?x </a> ??></a>', ['<a><?x </a> ??></a>']],
    [
      'a comment between the declaration and the root',
      '<?xml version="1.0"?><!--c--><a/>',
      ['<?xml version="1.0"?><!--c--><a/>'],
    ],
    ['comments and instructions between documents, which belong to none', '<a/><!--c--><?p q?><b/>', ['<a/>', '<b/>']],
    [
      'an instruction whose target only begins with xml',
      '<a><?xml-stylesheet x?></a>',
      ['<a><?xml-stylesheet x?></a>'],
    ],
  ])('takes %s', (_, text, documents) => {
    expect(frame(text)).toEqual(documents)
    expect(frame(text, 1)).toEqual(documents)
  })

  test('a document is a copy: changing the chunk afterwards does not change it', () => {
    const chunk = Buffer.from('<a/>')
    const [document] = framer().push(chunk)
    chunk.fill(0)
    expect(document?.toString()).toBe('<a/>')
  })

  test('a document of exactly the bound is taken, one byte more is not', () => {
    const document = `<a>${'x'.repeat(93)}</a>`
    expect(framer(100).push(Buffer.from(document))).toHaveLength(1)
    expect(() => framer(99).push(Buffer.from(document))).toThrow('a document is too large')
  })
})

describe('broken streams', () => {
  test.each([
    ['text outside a root', 'hello<a/>', 'text outside a root'],
    ['text after a root', '<a/>hello', 'text outside a root'],
    ['an HTTP header in the stream', 'HTTP/1.1 200 OK\r\n', 'text outside a root'],
    ['a DOCTYPE', '<!DOCTYPE a><a/>', 'document type'],
    ['an entity bomb', '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "bb">]><a>&b;</a>', 'document type'],
    ['CDATA outside a root', '<![CDATA[x]]>', 'document type'],
    ['an end tag first', '</a>', 'no start tag'],
    ['tags that cross', '<a><b></a></b>', 'tags do not match'],
    ['a root closed by another name', '<a></b>', 'tags do not match'],
    [
      'a lost end tag before the next document',
      '<?xml version="1.0"?><a><b><?xml version="1.0"?>',
      'declaration stands within',
    ],
    ['two declarations', '<?xml version="1.0"?><?xml version="1.0"?><a/>', 'declaration stands within'],
    ['a tag within a tag', '<a <b>', 'a tag is not closed'],
    ['a < in an attribute value', '<a b="<"/>', 'attribute value'],
    ['a malformed empty tag', '<a / >', 'tag is malformed'],
    ['a malformed comment', '<a><!-x--></a>', 'comment is malformed'],
    ['a malformed CDATA section', '<a><![CDATO[x]]></a>', 'CDATA section is malformed'],
    ['a bare <', '<a>1 < 2</a>', 'tag is malformed'],
    ['white space before a name', '< a/>', 'tag is malformed'],
  ])('refuses %s', (_, text, message) => {
    expect(() => framer().push(Buffer.from(text))).toThrow(message)
    expect(() => feed(framer(), Buffer.from(text), 1)).toThrow(message)
  })

  test('refuses 10,000 levels of nesting at the 65th', () => {
    const target = framer()
    target.push(Buffer.from('<a>'.repeat(64)))
    expect(() => target.push(Buffer.from('<a>'.repeat(9936)))).toThrow('nested too deeply')
  })

  test('throws the same error again on every later call', () => {
    const target = framer()
    const errors = [
      () => target.push(Buffer.from('x')),
      () => target.push(Buffer.from('<a/>')),
      () => target.end(),
    ].map((call) => {
      try {
        call()
        return 'nothing thrown'
      } catch (error) {
        return error
      }
    })
    expect(isGatewayError(errors[0], 'protocol_error')).toBe(true)
    expect(errors[1]).toBe(errors[0])
    expect(errors[2]).toBe(errors[0])
  })

  test.each(['<', '<?xml version="1.0"?>', '<a>', '<a', '<a><b></b>', '<!-- half'])(
    'the end of the stream after %j is within a document',
    (text) => {
      const target = framer()
      target.push(Buffer.from(text))
      expect(() => target.end()).toThrow('ended within a document')
    },
  )

  test.each(['', '\n', '<a/>', '<a/>\n', '<a/><!--bye-->'])(
    'the end of the stream after %j is between documents',
    (text) => {
      const target = framer()
      target.push(Buffer.from(text))
      expect(() => target.end()).not.toThrow()
    },
  )
})

/** The bytes that framing a document of this size in 1-byte chunks moves in memory. */
const copiedBytes = (size: number): number => {
  let bytes = 0
  const original: unknown = Reflect.get(Uint8Array.prototype, 'set')
  if (typeof original !== 'function') throw new Error('there is no Uint8Array.prototype.set')
  const concat = vi.spyOn(Buffer, 'concat')
  const set = vi.spyOn(Uint8Array.prototype, 'set').mockImplementation(function (
    this: Uint8Array,
    source: ArrayLike<number>,
    offset?: number,
  ) {
    bytes += source.length
    Reflect.apply(original, this, [source, offset])
  })
  try {
    expect(feed(framer(), Buffer.from(`<a>${'x'.repeat(size)}</a>`), 1)).toHaveLength(1)
    expect(concat).not.toHaveBeenCalled()
  } finally {
    set.mockRestore()
    concat.mockRestore()
  }
  return bytes
}

describe('cost', () => {
  test('100 MB of text in one document is refused after the bound, holding no more than that', () => {
    const target = framer()
    const chunk = Buffer.alloc(65_536, 'x')
    target.push(Buffer.from('<a>'))
    let taken = 0
    const pushAll = (): void => {
      for (; taken < 1600; taken += 1) target.push(chunk)
    }
    expect(pushAll).toThrow('a document is too large')
    // 16 × 64 KiB are the bound; the opening tag makes the 16th the first over it.
    expect(taken).toBe(15)
  })

  test('the bytes copied for a document in 1-byte chunks grow linearly with its size', () => {
    for (const size of [10_000, 40_000, 160_000]) {
      const bytes = copiedBytes(size)
      expect(bytes).toBeGreaterThan(size)
      expect(bytes).toBeLessThan(4 * size)
    }
  })
})

describe('any chunking', () => {
  const name = fc.constantFrom('a', 'xsi:Event', 'Ünï-code.1', 'b_2')
  const text = fc.string({ unit: 'grapheme', maxLength: 20 }).map((value) => value.replaceAll(/[<>&\p{Cc}]/gu, '·'))
  const filling = fc.oneof(
    text,
    text.map((value) => `<![CDATA[</a>${value}]]]>`.replace(']]]>', ']]>')),
    text.map((value) => `<!--<a>${value.replaceAll('-', '')}-->`),
    text.map((value) => `<?pi ${value.replaceAll('?', '')}?>`),
  )
  const { element } = fc.letrec<{ element: string }>((tie) => ({
    element: fc
      .tuple(
        name,
        fc.option(text.map((value) => value.replaceAll('"', "'"))),
        fc.array(fc.oneof({ maxDepth: 3, depthIdentifier: 'xml' }, filling, tie('element')), { maxLength: 3 }),
      )
      .map(([tag, value, children]) => {
        const attribute = value === null ? '' : ` y="${value}>"`
        return children.length === 0 ? `<${tag}${attribute}/>` : `<${tag}${attribute}>${children.join('')}</${tag}>`
      }),
  }))
  const document = fc
    .tuple(fc.constantFrom('', '<?xml version="1.0" encoding="UTF-8"?>', '<?xml version="1.0"?>\n'), element)
    .map(([declaration, root]) => declaration + root)
  const separators = fc.constantFrom('', '\n', '  \r\n')

  test('of any list of documents gives the same documents', () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(document, separators), { minLength: 1, maxLength: 5 }),
        fc.array(fc.integer({ min: 1, max: 60 }), { minLength: 1, maxLength: 20 }),
        (documents, sizes) => {
          const bytes = Buffer.from(documents.map((pair) => pair.join('')).join(''))
          const target = framer()
          const framed: string[] = []
          for (let i = 0, turn = 0; i < bytes.byteLength; turn += 1) {
            const size = sizes[turn % sizes.length] ?? 1
            for (const one of target.push(bytes.subarray(i, i + size))) framed.push(String(one))
            i += size
          }
          target.end()
          expect(framed).toEqual(documents.map(([one]) => one))
        },
      ),
      { numRuns: 300 },
    )
  })

  test('of any bytes throws nothing but protocol_error, and frames nothing over the bound', () => {
    const soup = fc
      .array(
        fc.oneof(
          fc.constantFrom('<a>', '</a>', '<b/>', '<?', '?>', '<!--', '-->', '<![CDATA[', ']]>', '"', '=', ' ', 'x'),
          fc.string(),
        ),
        {
          maxLength: 30,
        },
      )
      .map((parts) => Buffer.from(parts.join('')))
    fc.assert(
      fc.property(fc.oneof(soup, fc.uint8Array({ maxLength: 200 })), fc.integer({ min: 1, max: 50 }), (bytes, size) => {
        const target = framer(64)
        const framed: Buffer[] = []
        const failure = failureOf(() => {
          for (let i = 0; i < bytes.byteLength; i += size) framed.push(...target.push(bytes.subarray(i, i + size)))
          target.end()
        })
        expect(failure === undefined || isGatewayError(failure, 'protocol_error')).toBe(true)
        expect(framed.every(({ byteLength }) => byteLength <= 64)).toBe(true)
      }),
      { numRuns: 1000 },
    )
  })

  test('frames whatever the parser finds well-formed', () => {
    fc.assert(
      fc.property(document, (one) => {
        const bytes = Buffer.from(one)
        try {
          parseXml(bytes)
        } catch {
          return
        }
        expect(frame(one)).toEqual([one])
      }),
    )
  })
})
