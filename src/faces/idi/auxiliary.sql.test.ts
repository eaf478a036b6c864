import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { IdiRig, type RigEnvironment } from '../../../test/support/idi-rig.ts'
import { STORES } from '../../../test/support/records.ts'

describe.each(STORES)('what is the same in every environment, on %s', (store) => {
  let rig: IdiRig
  let environment: RigEnvironment
  beforeAll(async () => {
    rig = await IdiRig.start({ store })
    environment = await rig.addEnvironment()
  })
  afterAll(() => rig.stop())

  test('transitions are spelled as in the document and searched by their fields', async () => {
    const answer = await rig.send(
      environment,
      'GET',
      "provisionedObjectTransitions?$filter=provisionedObjectStatusID eq 1 and name ne 'Change'&$orderby=name desc&$count=true",
    )
    expect(answer.status).toBe(200)
    expect(answer.body).toEqual({
      '@count': 2,
      value: [
        {
          name: 'Restore',
          provisionedObjectStatus: 'Active',
          provisionedObjectStatusID: 1,
          provisionedObjectTranstionID: 4,
        },
        {
          name: 'Activate',
          provisionedObjectStatus: 'Active',
          provisionedObjectStatusID: 1,
          provisionedObjectTranstionID: 1,
        },
      ],
    })
  })

  test('transitions are found and sorted by their id as it is spelled in answers', async () => {
    const search = 'provisionedObjectTransitions?$filter=provisionedObjectTranstionID ge 4&$select=name'
    const { body } = await rig.send(environment, 'GET', `${search}&$orderby=provisionedObjectTranstionID desc`)
    expect(body).toEqual({ value: [{ name: 'Change' }, { name: 'Restore' }] })
  })

  test('the next link is absolute and leads through all data types, with the fields that were asked for', async () => {
    const seen: unknown[] = []
    let path: string | undefined = 'dataTypes?$top=3&$select=name'
    while (path !== undefined) {
      const { body } = await rig.send(environment, 'GET', path)
      const page = body as { readonly '@nextLink'?: string; readonly value: readonly unknown[] }
      seen.push(...page.value)
      path = page['@nextLink']?.replace(/^http:\/\/[^/]+\/ProvisioningManagement\/2X\/[^/]+\/api\//, '')
    }
    expect(seen).toEqual(
      ['Choice', 'Boolean', 'Text', 'Whole Number', 'Decimal', 'Date', 'Phone Number'].map((name) => ({ name })),
    )
  })

  test("another app's environment does not exist", async () => {
    const stranger = await rig.addEnvironment()
    const answer = await rig.send({ ...stranger, name: environment.name }, 'GET', 'dataTypes')
    expect(answer).toMatchObject({ status: 404, body: { errors: [{ loggingNumber: 500_032 }] } })
  })

  test('what every operation can refuse is in the envelope of the document, too', async () => {
    const path = `/ProvisioningManagement/2X/${environment.name}/api/safeguard/allowedInternalID`
    const { key } = environment
    const { request } = rig.provisioning
    const answers = [
      await request('GET', path),
      await request('POST', path, { key, body: '[{' }),
      await request('POST', path, { key, body: '[]', headers: { 'content-type': 'text/plain' } }),
      await request('POST', path, { key, body: `["${'x'.repeat(1_100_000)}"]` }),
    ]
    expect(answers.map(({ status }) => status)).toEqual([401, 400, 415, 413])
    expect(answers.map(({ body }) => body)).toMatchObject(
      [500_401, 500_002, 500_415, 500_413].map((loggingNumber) => ({ errors: [{ field: '', loggingNumber }] })),
    )
  })

  test('a field that there is not is a 400 which names the option', async () => {
    const answer = await rig.send(environment, 'GET', 'dataTypes?$filter=colour eq 1')
    expect(answer).toMatchObject({ status: 400, body: { errors: [{ field: '$filter', loggingNumber: 500_002 }] } })
  })
})
