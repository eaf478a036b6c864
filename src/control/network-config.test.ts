import { describe, expect, it } from 'vitest'
import { ScriptedAdapterType } from '../../test/support/scripted-adapter.ts'
import { joinConfig, splitConfig } from './network-config.ts'

const type = new ScriptedAdapterType()
const known = { config: { nodes: ['https://xsp1.example.net'], note: 'lab' }, secrets: { password: 'old' } }

describe('splitConfig', () => {
  it('parts what may be shown from what is kept encrypted', () => {
    expect(splitConfig(type, { nodes: ['https://xsp1.example.net'], password: 'hunter2' })).toEqual({
      config: { nodes: ['https://xsp1.example.net'] },
      secrets: { password: 'hunter2' },
    })
  })

  it('names the field that is wrong and never the password', () => {
    expect(() => splitConfig(type, { nodes: ['https://a.example.net', 'no url'], password: ['hunter2'] })).toThrow(
      expect.objectContaining({
        code: 'invalid_request',
        fields: {
          errors: [
            { field: 'config.nodes.1', message: 'is not valid' },
            { field: 'config.password', message: 'must be a string' },
          ],
        },
      }),
    )
  })

  it.each([[undefined], [null], ['text'], [[]], [5]])('refuses %j as a configuration', (config) => {
    expect(() => splitConfig(type, config)).toThrow('config: must be an object')
  })

  it('a change keeps what it does not name, the password above all', () => {
    expect(splitConfig(type, { nodes: ['https://xsp2.example.net'] }, known)).toEqual({
      config: { nodes: ['https://xsp2.example.net'], note: 'lab' },
      secrets: { password: 'old' },
    })
  })

  it('null removes an optional field and may not remove a required one', () => {
    expect(splitConfig(type, { note: null }, known).config).toEqual({ nodes: ['https://xsp1.example.net'] })
    expect(() => splitConfig(type, { password: null }, known)).toThrow('config.password: is required')
  })

  it('takes no prototype from a hostile key', () => {
    const hostile: unknown = JSON.parse('{"__proto__": {"password": "x"}, "nodes": ["https://a.example.net"]}')
    expect(() => splitConfig(type, hostile)).toThrow('config.password: is required')
  })

  it('what was split is joined again to what the adapter runs with', () => {
    expect(joinConfig(type, known)).toEqual({ nodes: ['https://xsp1.example.net'], note: 'lab', password: 'old' })
  })
})
