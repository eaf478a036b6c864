import { afterAll, beforeAll, expect, test } from 'vitest'
import type { StreamClient } from '../../src/client/client.ts'
import { connect } from '../../src/client/client.ts'
import { BreakableNetwork } from '../support/breakable-network.ts'
import { checkedWebSocket } from '../support/checked-web-socket.ts'
import { addTenant, startInstallation, type Installation, type Tenant } from '../support/installation.ts'
import { until } from '../support/until.ts'

const ANN = { id: 'ann@example.net', number: '+15550100001', name: 'Ann Albers' }
const CALLER = '+15550199001'
const DIAL = { subscriber_id: ANN.id, subscriber_number: ANN.number, remote_number: CALLER }

let installation: Installation
let tenant: Tenant
let network: BreakableNetwork
let client: StreamClient
const problems: string[] = []
const events: string[] = []
/** Called with each message as it goes out. */
let onSend: (message: string) => void = () => undefined

beforeAll(async () => {
  installation = await startInstallation()
  tenant = await addTenant(installation, [ANN])
  network = await new BreakableNetwork(Number(new URL(installation.gateway.url).port)).start()
  const Checked = checkedWebSocket((problem) => problems.push(problem))
  client = connect({
    url: network.url,
    appId: tenant.appId,
    apiKey: tenant.apiKey,
    transports: ['websocket'],
    limits: { backoffMinMs: 10, backoffMaxMs: 50 },
    onEvent: (event) => events.push('call_id' in event.data ? `${event.event} ${event.data.call_id}` : event.event),
    WebSocket: class extends Checked {
      override send(data: string): void {
        super.send(data)
        onSend(data)
      }
    },
  })
  await until('live', () => (client.state.name === 'live' ? true : undefined))
})

afterAll(async () => {
  await client.close()
  await network.stop()
  await installation.stop()
})

async function ring(): Promise<string> {
  const path = `/users/${encodeURIComponent(ANN.id)}/incoming-calls`
  const { body } = await installation.control.call('POST', path, { from: CALLER })
  return (body as { call_id: string }).call_id
}

const callsInNetwork = async (): Promise<readonly { readonly call_id: string }[]> =>
  ((await installation.control.call('GET', '/calls')).body as { calls: { call_id: string }[] }).calls

const mirrored = (id: string) => [...client.calls().values()].find(({ call_id }) => call_id === id)
const stateBecomes = (id: string, state: string | undefined) =>
  until(`${id} to be ${state}`, () => (mirrored(id)?.state === state ? true : undefined))

test('a call that rings is answered, held, resumed and ended over the stream, and the mirror follows', async () => {
  const id = await ring()
  await stateBecomes(id, 'ringing')
  await client.answer(id)
  await stateBecomes(id, 'active')
  await client.hold(id)
  await stateBecomes(id, 'held')
  await client.resume(id)
  await stateBecomes(id, 'active')
  expect(mirrored(id)).toMatchObject({ subscriber_name: 'Ann Albers', remote_number: CALLER, sequence_number: '4' })
  await client.end(id)
  await stateBecomes(id, undefined)
  expect(await callsInNetwork()).toEqual([])
})

test('a command that does not apply is refused as over HTTP', async () => {
  await expect(client.hold('callhalf-unknown:0')).rejects.toMatchObject({ status: 404, code: 'call_not_found' })
  const id = await ring()
  await stateBecomes(id, 'ringing')
  await expect(client.hold(id)).rejects.toMatchObject({ status: 409, code: 'call_state_conflict' })
  await expect(client.dial({ ...DIAL, remote_number: 'nobody' })).rejects.toMatchObject({
    status: 400,
    code: 'invalid_request',
    problem: { errors: [{ field: 'remote_number' }] },
  })
  await client.end(id)
  await stateBecomes(id, undefined)
})

test('a call whose stream breaks while it is placed is placed once, and the client is told which one it is', async () => {
  const placed: string[] = []
  for (const delayMs of [0, 0, 1, 2, 5, 10, 20]) {
    onSend = (message) => {
      if (!message.includes('"dial"')) return
      onSend = () => undefined
      if (delayMs === 0) network.break()
      else setTimeout(() => network.break(), delayMs)
    }
    const { call } = await client.dial(DIAL)
    placed.push(call.call_id)
    expect((await callsInNetwork()).map(({ call_id }) => call_id)).toEqual([call.call_id])
    // The gateway hears of it by an event, which may come after the answer.
    await until('the call to be known', () => (mirrored(call.call_id) === undefined ? undefined : true))
    // Not over the stream, which may still be about to break.
    await tenant.client.call('DELETE', tenant.path(`/calls/${encodeURIComponent(call.call_id)}`))
    await until('the end', async () => ((await callsInNetwork()).length === 0 ? true : undefined))
  }
  expect(new Set(placed).size).toBe(7)
})

test('an app that loses its subscriber during a call is told, and sees the call no more', async () => {
  const id = await ring()
  await stateBecomes(id, 'ringing')
  const path = `/admin/apps/${tenant.appId}/subscribers/${encodeURIComponent(ANN.id)}`
  await installation.admin.call('DELETE', path)
  await until('the news', () => (events.includes('subscriber.unassigned') ? true : undefined))
  expect(client.calls().size).toBe(0)
  await expect(client.answer(id)).rejects.toMatchObject({ status: 404 })
  const { networkId } = tenant
  await installation.admin.call('PUT', path, { network_id: networkId, subscriber_number: ANN.number })
  await stateBecomes(id, 'ringing')
  expect(events.filter((event) => event.startsWith('subscriber.'))).toEqual([
    ...(events[0] === 'subscriber.assigned' ? ['subscriber.assigned'] : []),
    'subscriber.unassigned',
    'subscriber.assigned',
  ])
  await client.end(id)
})

test('everything that went over the streams was what the schemas say', () => {
  expect(problems).toEqual([])
})
