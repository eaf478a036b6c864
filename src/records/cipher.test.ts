import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Cipher } from './cipher.ts'

const KEY = Buffer.alloc(32, 1)
const OTHER_KEY = Buffer.alloc(32, 2)
const UNREADABLE = expect.objectContaining({ code: 'internal' })
const PLACE = { table: 'network_secrets', row: 'n1', field: 'password' }

describe('Cipher', () => {
  test('any text comes back from its envelope, which never repeats and does not show it', () => {
    const cipher = new Cipher([KEY])
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 200 }), (text) => {
        const envelope = cipher.encrypt(text, PLACE)
        expect(envelope).toMatch(/^v1\.[0-9a-f]{8}\.[\w-]{16}\.[\w-]{22}\.[\w-]*$/)
        expect(cipher.decrypt(envelope, PLACE)).toBe(text)
        expect(cipher.encrypt(text, PLACE)).not.toBe(envelope)
        expect(text.length > 5 && envelope.includes(text)).toBe(false)
      }),
      { numRuns: 100 },
    )
  })

  test('an envelope with any one bit changed is refused', () => {
    const cipher = new Cipher([KEY])
    const envelope = cipher.encrypt('correct horse', PLACE)
    const parts = envelope.split('.')
    for (const [index, part] of parts.entries()) {
      if (index < 2) continue
      const bytes = Buffer.from(part, 'base64url')
      for (let bit = 0; bit < bytes.length * 8; bit += 1) {
        const changed = Buffer.from(bytes)
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        const damaged = parts.with(index, changed.toString('base64url')).join('.')
        expect(() => cipher.decrypt(damaged, PLACE)).toThrow(UNREADABLE)
      }
    }
  })

  test('a shortened tag, a missing part and another version are refused', () => {
    const cipher = new Cipher([KEY])
    const [version, id, nonce, tag, text] = cipher.encrypt('correct horse', PLACE).split('.')
    const shortTag = Buffer.from(tag ?? '', 'base64url')
      .subarray(0, 12)
      .toString('base64url')
    const damaged = [
      [version, id, nonce, shortTag, text],
      [version, id, nonce, tag],
      ['v2', id, nonce, tag, text],
      [version, id, nonce, tag, text, ''],
    ]
    for (const parts of damaged) expect(() => cipher.decrypt(parts.join('.'), PLACE)).toThrow(UNREADABLE)
  })

  test('an envelope does not open at another table, row or field', () => {
    const cipher = new Cipher([KEY])
    const envelope = cipher.encrypt('correct horse', PLACE)
    const places = [
      { ...PLACE, table: 'endpoint_secrets' },
      { ...PLACE, row: 'n2' },
      { ...PLACE, field: 'username' },
      { table: 'network_secrets', row: 'n1"', field: '"password' },
    ]
    for (const place of places) expect(() => cipher.decrypt(envelope, place)).toThrow(UNREADABLE)
  })

  test('another secret key is told apart from damage; an added one opens both', () => {
    const old = new Cipher([OTHER_KEY]).encrypt('correct horse', PLACE)
    const refusal = (() => {
      try {
        return new Cipher([KEY]).decrypt(old, PLACE)
      } catch (error) {
        return error instanceof Error && error.cause instanceof Error ? error.cause.message : ''
      }
    })()
    expect(refusal).toContain('another CALLHALF_SECRET_KEY')
    const both = new Cipher([KEY, OTHER_KEY])
    expect(both.decrypt(old, PLACE)).toBe('correct horse')
    expect(new Cipher([KEY]).decrypt(both.encrypt('new', PLACE), PLACE)).toBe('new')
  })

  test('the same text hashes alike under one key and differently under another', () => {
    expect(new Cipher([KEY]).hash('ck_1')).toEqual(new Cipher([KEY]).hash('ck_1'))
    expect(new Cipher([KEY]).hash('ck_1')).not.toEqual(new Cipher([OTHER_KEY]).hash('ck_1'))
    expect(new Cipher([KEY]).hash('ck_1')).toHaveLength(32)
  })

  test('a secret key of another length is refused', () => {
    expect(() => new Cipher([Buffer.alloc(31)])).toThrow(UNREADABLE)
  })
})
