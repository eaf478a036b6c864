import { ServerResponse, IncomingMessage } from 'node:http'
import { Socket } from 'node:net'
import { expect, test } from 'vitest'
import { systemClock } from '../core/clock.ts'
import { silentLogger } from '../core/logger.ts'
import { Channels, setKeyOf } from './channels.ts'
import { FaultPlan } from './faults.ts'
import { LiveSettings } from './settings.ts'
import { StreamWriter } from './stream-writer.ts'
import { Timers } from './timers.ts'

test('among channels of equal priority events are shared out by weight', () => {
  let draw = 0
  const timers = new Timers(systemClock, silentLogger)
  const channels = new Channels({ timers, settings: new LiveSettings(), random: () => draw, newId: () => 'unused' })
  const add = (id: string, priority: number, weight: number) => {
    const response = new ServerResponse(new IncomingMessage(new Socket()))
    const stream = new StreamWriter({ response, faults: new FaultPlan(), timers, random: () => 0 })
    channels.open(id, {
      ownerId: 'owner',
      channelSetId: 'set',
      applicationId: undefined,
      priority,
      weight,
      xspIndex: 0,
      stream,
      grantedSeconds: 3_600,
    })
  }
  add('light', 1, 10)
  add('heavy', 1, 30)
  add('standby', 2, 1_000)
  const counts: Record<string, number> = {}
  for (draw = 0; draw < 1; draw += 1 / 400) {
    const id = channels.pick(setKeyOf('owner', 'set'), new Set())?.id ?? ''
    counts[id] = (counts[id] ?? 0) + 1
  }
  expect(Object.keys(counts).toSorted()).toEqual(['heavy', 'light'])
  expect((counts['heavy'] ?? 0) / (counts['light'] ?? 1)).toBeCloseTo(3, 0)
  expect(channels.pick(setKeyOf('owner', 'set'), new Set(['light', 'heavy']))?.id).toBe('standby')
  expect(channels.pick(setKeyOf('owner', 'other'), new Set())).toBeUndefined()
  timers.stop()
})
