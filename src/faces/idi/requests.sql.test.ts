import { sql } from 'kysely'
import { beforeEach, describe, expect, test } from 'vitest'
import type { ApiResponse } from '../../../test/support/checked-request.ts'
import { STORES } from '../../../test/support/records.ts'
import { until } from '../../../test/support/until.ts'
import { useIdiScene } from '../../../test/support/use-idi-scene.ts'

const TIME = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3}Z$/
const ACCOUNT = { accountNumber: 23_330_999, name: 'Test Account Name 123' }
const DEFINITION = {
  code: 'POC1',
  name: 'Test object',
  dataDefinitions: [
    { dataTypeID: 3, isRequired: false, isVisible: true, name: 'Metaswitch Technical Contact' },
    { dataTypeID: 4, isRequired: false, isVisible: true, name: 'Lines', defaultValue: '2' },
    {
      dataTypeID: 3,
      isRequired: false,
      isVisible: true,
      name: 'Reason',
      transitionOptions: [{ provisionedObjectTransitionID: 3, isRequired: true, isVisible: true }],
    },
    { dataTypeID: 3, isRequired: true, isVisible: true, name: 'Label', defaultValue: '#[upper(@[Lines])] lines' },
  ],
}
/** The document's sample, without the ids of others. */
const SAMPLE = {
  accountInformation: ACCOUNT,
  extendedInformationItems: [{ keyName: 'Metaswitch Technical Contact', value: 'Bob Smith' }],
  isReadOnly: false,
  provisionedObjectCode: 'POC1',
  provisionedObjectEndDate: '2019-08-24T14:15:22Z',
  provisionedObjectInternalID: 'ID001',
  provisionedObjectStartDate: '2019-08-24T14:15:22Z',
  provisionedObjectStatusID: 1,
  provisionedObjectTransitionID: 1,
  provisioningRequestLinks: [{ linkTypeID: 1, linkType: 'Orders', linkValue: 'service/2x/endpoint/resource' }],
  provisioningRequestVariableOutcomes: [{ OutcomeCode: 'TestOutcome', VariableCode: 'TestVariable' }],
  workItemInstanceID: 100_001,
}

type Shown = Readonly<Record<string, unknown>> & {
  readonly provisioningRequestID: number
  readonly provisioningRequestBatchID?: number
  readonly status: string
}
const shown = ({ body }: ApiResponse) => body as Shown
const valuesOf = ({ body }: ApiResponse) =>
  (body as { readonly value: readonly Readonly<Record<string, unknown>>[] }).value
const errorsOf = ({ body }: ApiResponse) =>
  (body as { readonly errors: readonly Readonly<Record<string, unknown>>[] }).errors

describe.each(STORES)('provisioning requests, on %s', (store) => {
  const scene = useIdiScene(store)
  const { send } = scene
  let profileID: number
  beforeEach(async () => {
    await must('safeguard/disable')
    await must('provisionableObjectDefinition', DEFINITION)
    const variable = {
      code: 'TestVariable',
      dataTypeID: 1,
      isActive: true,
      name: 'Test',
      outcomes: [{ outcomeCode: 'TestOutcome', sequenceNumber: 1, value: '1' }],
    }
    await must('variable', variable)
    profileID = await addProfile('Provisioning')
  })

  const must = async (path: string, body?: unknown): Promise<ApiResponse> => {
    const answer = await send('POST', path, body)
    if (answer.status >= 300) throw new Error(`${path} answered ${JSON.stringify(answer)}`)
    return answer
  }
  /** One without scenarios: its work is done elsewhere. */
  const addProfile = async (name: string, of = scene.environment): Promise<number> => {
    const { body } = await scene.rig.send(of, 'POST', 'profile', { name })
    return Number(Object(body).profileID)
  }
  const submit = async (more: object = {}): Promise<Shown> => {
    const answer = await send('POST', 'provisioningRequest', { ...SAMPLE, profileID, ...more })
    expect(answer).toMatchObject({ status: 201 })
    return shown(answer)
  }
  const submitOnce = (body: object) =>
    scene.rig.provisioning.request(
      'POST',
      `/ProvisioningManagement/2X/${scene.environment.name}/api/provisioningRequest`,
      {
        key: scene.environment.key,
        body: { ...SAMPLE, profileID, ...body },
        headers: { 'idempotency-key': 'order-81' },
      },
    )
  const read = async (id: number) => shown(await send('GET', `provisioningRequest/${id}`))
  const reach = (id: number, status: string) =>
    until(`request ${id} to be ${status}`, async () => ((await read(id)).status === status ? true : undefined))
  const act = (id: number, action: string, body?: unknown) => send('POST', `provisioningRequest/${id}/${action}`, body)
  const refusal = async (more: object) => {
    const answer = await send('POST', 'provisioningRequest', { ...SAMPLE, profileID, ...more })
    return [answer.status, ...errorsOf(answer).map(({ field }) => field)]
  }

  test("the document's sample is taken, and answered and read in its shape", async () => {
    const made = await submit({ provisioningRequestBatchTotalObjectCount: 10 })
    expect(made).toEqual({
      accountInformation: ACCOUNT,
      createDate: expect.stringMatching(TIME),
      createUser: expect.stringMatching(/^key:/),
      isReadOnly: false,
      lastModifiedDate: expect.stringMatching(TIME),
      lastModifiedUser: expect.stringMatching(/^key:/),
      profile: {
        createDate: expect.stringMatching(TIME),
        createUser: expect.stringMatching(/^key:/),
        lastModifiedDate: expect.stringMatching(TIME),
        lastModifiedUser: expect.stringMatching(/^key:/),
        name: 'Provisioning',
        profileID,
      },
      profileID,
      provisionedObjectCode: 'POC1',
      provisionedObjectEndDate: '2019-08-24T14:15:22.000Z',
      provisionedObjectInternalID: 'ID001',
      provisionedObjectStartDate: '2019-08-24T14:15:22.000Z',
      provisionedObjectStatus: 'Active',
      provisionedObjectStatusID: 1,
      provisionedObjectTransition: 'Activate',
      provisionedObjectTransitionID: 1,
      provisioningRequestBatchID: made.provisioningRequestBatchID,
      provisioningRequestBatchTotalObjectCount: 10,
      provisioningRequestID: made.provisioningRequestID,
      provisioningRequestLinks: SAMPLE.provisioningRequestLinks,
      regenerationCount: 0,
      reprocessing: false,
      status: 'Submitted',
      statusID: 1,
      wasForced: false,
      wasRegenerated: false,
      workItemInstanceID: 100_001,
    })
    await reach(made.provisioningRequestID, 'In Progress')
    expect(await read(made.provisioningRequestID)).toMatchObject({ ...made, ...IN_PROGRESS })
    expect(valuesOf(await send('GET', `provisioningRequest/${made.provisioningRequestID}/variableOutcome`))).toEqual(
      SAMPLE.provisioningRequestVariableOutcomes,
    )
    const given = await send('GET', `provisioningRequest/${made.provisioningRequestID}/extendedInformationItem`)
    expect(valuesOf(given)).toEqual(SAMPLE.extendedInformationItems)
  })

  test('the transition says the status, and null is as good as nothing', async () => {
    const made = await submit({
      provisionedObjectStatusID: null,
      provisionedObjectTransitionID: 2,
      provisionedObjectEndDate: null,
      extendedInformationItems: null,
    })
    expect(made).toMatchObject({ provisionedObjectStatusID: 2, provisionedObjectStatus: 'Suspended' })
    expect(made).not.toHaveProperty('provisionedObjectEndDate')
  })

  test('what is wrong with a request is said field by field, and nothing is made', async () => {
    const other = await scene.rig.addEnvironment()
    const theirs = await addProfile('Theirs', other)
    const cases: readonly (readonly [object, readonly unknown[]])[] = [
      [{ profileID: 1_000_000 }, [404, 'profileID']],
      [{ profileID: theirs }, [404, 'profileID']],
      [{ profileID: 'one' }, [400, 'profileID']],
      [{ accountInformation: undefined }, [400, 'accountInformation']],
      [{ colour: 'red' }, [400, 'colour']],
      [{ provisionedObjectStatusID: 2 }, [400, 'provisionedObjectStatusID']],
      [{ provisionedObjectStatusID: 99 }, [400, 'provisionedObjectStatusID']],
      [{ provisionedObjectTransitionID: 99 }, [400, 'provisionedObjectTransitionID']],
      [{ provisionedObjectCode: 'NONE' }, [400, 'provisionedObjectCode', 'extendedInformationItems.0.keyName']],
      [{ provisionedObjectEndDate: '2019-08-23T14:15:22Z' }, [400, 'provisionedObjectEndDate']],
      [{ provisionedObjectStartDate: 'tomorrow' }, [400, 'provisionedObjectStartDate']],
      [{ provisioningRequestBatchID: 1_000_000 }, [404, 'provisioningRequestBatchID']],
      [{ regeneratedFromProvisioningRequestID: 1_000_000 }, [404, 'regeneratedFromProvisioningRequestID']],
      [
        { provisioningRequestLinks: [{ linkTypeID: 7, linkValue: 'x' }] },
        [400, 'provisioningRequestLinks.0.linkTypeID'],
      ],
      [
        { provisioningRequestVariableOutcomes: [{ VariableCode: 'None', OutcomeCode: 'x' }] },
        [400, 'provisioningRequestVariableOutcomes.0.VariableCode'],
      ],
      [
        { provisioningRequestVariableOutcomes: [{ VariableCode: 'TestVariable', OutcomeCode: 'x' }] },
        [400, 'provisioningRequestVariableOutcomes.0.OutcomeCode'],
      ],
      [
        {
          extendedInformationItems: [
            { keyName: 'Lines', value: 'two' },
            { keyName: 'Colour', value: 'red' },
          ],
        },
        [400, 'extendedInformationItems.0.value', 'extendedInformationItems.1.keyName'],
      ],
      [{ extendedInformationItems: [{ keyName: 'Lines', value: '@[Nobody]' }] }, [400, 'extendedInformationItems']],
      [{ extendedInformationItems: [{ keyName: 'Lines', value: '@[Label]' }] }, [400, 'extendedInformationItems']],
      [{ provisionedObjectTransitionID: 3, provisionedObjectStatusID: 3 }, [400, 'extendedInformationItems']],
    ]
    for (const [more, expected] of cases) expect(await refusal(more)).toEqual(expected)
    const missing = await send('POST', 'provisioningRequest', {
      ...SAMPLE,
      profileID,
      provisionedObjectTransitionID: 3,
      provisionedObjectStatusID: 3,
    })
    expect(errorsOf(missing)[0]).toMatchObject({
      loggingNumber: 500_002,
      message: "Value for argument 'extendedInformationItems' is not valid: Reason is required.",
    })
    expect(valuesOf(await send('GET', 'provisioningRequest'))).toEqual([])
  })

  test('a repetition with the same key is answered like the first and submits nothing', async () => {
    const first = await submitOnce({})
    const again = await submitOnce({})
    expect([first.status, again.status, again.headers.get('idempotency-replayed')]).toEqual([201, 201, 'true'])
    expect(again.body).toEqual(first.body)
    expect((await submitOnce({ provisionedObjectInternalID: 'ID002' })).status).toBe(422)
    expect(valuesOf(await send('GET', 'provisioningRequest'))).toHaveLength(1)
  })

  test('a profile that names definitions is for these alone', async () => {
    const { body } = await must('provisionableObjectDefinition', { code: 'POC2', name: 'Other' })
    const { provisionableObjectDefinitionID } = Object(body)
    await must(`profile/${profileID}/provisionableObjectDefinition`, [{ provisionableObjectDefinitionID }])
    expect(await refusal({})).toEqual([400, 'provisionedObjectCode'])
    await submit({ provisionedObjectCode: 'POC2', extendedInformationItems: [] })
  })

  test('a batch is made, joined until it is full, and closed when its last member has ended', async () => {
    const first = await submit({ provisioningRequestBatchTotalObjectCount: 2 })
    const provisioningRequestBatchID = first.provisioningRequestBatchID
    const second = await submit({ provisioningRequestBatchID, provisioningRequestBatchTotalObjectCount: 2 })
    expect(second).toMatchObject({ provisioningRequestBatchID, provisioningRequestBatchTotalObjectCount: 2 })
    expect(await submit({})).not.toHaveProperty('provisioningRequestBatchID')
    expect(await refusal({ provisioningRequestBatchID })).toEqual([400, 'provisioningRequestBatchID'])
    const complete = (path = 'provisioningRequestBatch') =>
      send('POST', `${path}/${provisioningRequestBatchID}/complete`)
    expect(await complete()).toMatchObject({ status: 200, body: { isOpen: true, wasOpen: true } })
    await act(first.provisioningRequestID, 'complete')
    expect((await complete('provisioningBatch')).body).toEqual({ isOpen: true, wasOpen: true })
    await act(second.provisioningRequestID, 'complete')
    expect((await complete()).body).toEqual({ isOpen: false, wasOpen: false })
    const other = await scene.rig.addEnvironment()
    const theirs = await scene.rig.send(
      other,
      'POST',
      `provisioningRequestBatch/${provisioningRequestBatchID}/complete`,
    )
    expect(theirs).toMatchObject({ status: 404, body: { errors: [{ field: 'provisioningBatchId' }] } })
  })

  test('requests are completed, put in error and resubmitted as their state allows', async () => {
    const { provisioningRequestID: id } = await submit()
    await reach(id, 'In Progress')
    const early = await act(id, 'resubmit')
    expect(early.status).toBe(400)
    expect(errorsOf(early)).toEqual([
      {
        correlationId: expect.stringMatching(/^[0-9a-f]{8}$/),
        field: 'provisioningRequestId',
        loggingNumber: 500_002,
        message: `Value for argument 'provisioningRequestID' is not valid: '${id}'.`,
      },
    ])
    expect(await act(id, 'error', { statusNote: 'Errored due to lost connectivity' })).toMatchObject({ status: 204 })
    expect(await read(id)).toMatchObject({
      status: 'In Error',
      statusID: 4,
      statusNote: 'Errored due to lost connectivity',
    })
    expect((await act(id, 'error')).status).toBe(400)
    expect((await act(id, 'complete', {})).status).toBe(400)
    expect((await act(id, 'resubmit')).status).toBe(204)
    await reach(id, 'In Progress')
    expect(await read(id)).toMatchObject({ reprocessing: true })
    expect((await act(id, 'complete', { force: false, statusNote: 'Completed by John Smith' })).status).toBe(204)
    expect(await read(id)).toMatchObject({
      status: 'Complete',
      statusNote: 'Completed by John Smith',
      completeDate: expect.stringMatching(TIME),
      reprocessing: false,
      wasForced: false,
    })
    for (const action of ['complete', 'error', 'resubmit']) expect((await act(id, action, {})).status).toBe(400)
    const forced = await submit()
    expect((await act(forced.provisioningRequestID, 'error')).status).toBe(204)
    expect((await act(forced.provisioningRequestID, 'complete', { force: true })).status).toBe(204)
    expect(await read(forced.provisioningRequestID)).toMatchObject({ status: 'Complete', wasForced: true })
  })

  test('a read-only request cannot be changed, and one of another environment is not there', async () => {
    const { provisioningRequestID: id } = await submit({ isReadOnly: true })
    for (const action of ['complete', 'error', 'resubmit']) {
      const answer = await act(id, action, {})
      expect([answer.status, errorsOf(answer)[0]?.['message']]).toEqual([
        400,
        `Value for argument 'provisioningRequestID' is not valid: '${id}' is read-only.`,
      ])
    }
    const other = await scene.rig.addEnvironment()
    const calls: readonly (readonly [string, string, unknown?])[] = [
      ['GET', ''],
      ['POST', '/complete', {}],
      ['POST', '/error', {}],
      ['POST', '/resubmit'],
      ['GET', '/extendedInformationItem'],
      ['GET', '/variableOutcome'],
      ['GET', '/computedExtendedInformationItem'],
      ['GET', '/computedExtendedInformationItem/snapshot'],
      ['POST', '/computedExtendedInformationItem/snapshot'],
      ['GET', '/providerCallDetail'],
      ['GET', '/providerCallDetail/1'],
      ['POST', '/providerCallDetail', { isResponse: false, timeStamp: '2017-12-11T00:33:00.11-05:00' }],
    ]
    for (const [method, path, body] of calls) {
      const answer = await scene.rig.send(other, method, `provisioningRequest/${id}${path}`, body)
      expect([path, answer.status, errorsOf(answer)[0]]).toEqual([
        path,
        404,
        {
          correlationId: expect.any(String),
          field: 'provisioningRequestId',
          loggingNumber: 500_032,
          message: `You do not have access to Provisioning Request ID ${id} or it does not exist.`,
        },
      ])
    }
    expect(valuesOf(await scene.rig.send(other, 'GET', 'provisioningRequest'))).toEqual([])
  })

  test('a request in error is regenerated: batch and place are those of the new one', async () => {
    const source = await submit({ provisioningRequestBatchTotalObjectCount: 1 })
    const sourceId = source.provisioningRequestID
    const again = { regeneratedFromProvisioningRequestID: sourceId }
    expect(await refusal(again)).toEqual([400, 'regeneratedFromProvisioningRequestID'])
    await act(sourceId, 'error')
    const made = await submit(again)
    expect(made).toMatchObject({
      regeneratedFromProvisioningRequestID: sourceId,
      rootRegeneratedFromProvisioningRequestID: sourceId,
      regenerationCount: 1,
      provisioningRequestBatchID: source.provisioningRequestBatchID,
      provisioningRequestBatchTotalObjectCount: 1,
    })
    const cancelled = await read(sourceId)
    expect(cancelled).toMatchObject({ status: 'Cancelled', wasRegenerated: true })
    expect(cancelled).not.toHaveProperty('provisioningRequestBatchID')
    expect(await refusal(again)).toEqual([400, 'regeneratedFromProvisioningRequestID'])
    await act(made.provisioningRequestID, 'error')
    expect(await submit({ regeneratedFromProvisioningRequestID: made.provisioningRequestID })).toMatchObject({
      rootRegeneratedFromProvisioningRequestID: sourceId,
      regenerationCount: 2,
    })
  })

  test('items are computed from the request, the object before and the defaults, and frozen in a snapshot', async () => {
    const first = await submit({ extendedInformationItems: [{ keyName: 'Lines', value: '3' }] })
    await act(first.provisioningRequestID, 'complete')
    const { provisioningRequestID: id } = await submit()
    const path = `provisioningRequest/${id}/computedExtendedInformationItem`
    const computed = [
      {
        computationType: 'Request',
        isComputed: false,
        isRequired: false,
        keyName: 'Metaswitch Technical Contact',
        value: 'Bob Smith',
      },
      { computationType: 'State', isComputed: true, isRequired: false, keyName: 'Lines', value: '3' },
      { computationType: 'Default', isComputed: true, isRequired: false, keyName: 'Reason' },
      { computationType: 'State', isComputed: true, isRequired: true, keyName: 'Label', value: '3 lines' },
    ]
    expect(valuesOf(await send('GET', path))).toEqual(computed)
    const filtered = await send(
      'GET',
      `${path}?$filter=computationType eq 'State' and startswith(value, '3')&$orderby=value desc&$select=keyName&$count=true&$top=1`,
    )
    expect(filtered.body).toMatchObject({ '@count': 2, value: [{ keyName: 'Label' }] })
    expect((await send('GET', `${path}/snapshot`)).status).toBe(404)
    expect((await send('POST', `${path}/snapshot`)).status).toBe(204)
    const changed = await submit({ extendedInformationItems: [{ keyName: 'Lines', value: '4' }] })
    await act(changed.provisioningRequestID, 'complete')
    expect(valuesOf(await send('GET', `${path}?$filter=keyName eq 'Lines'`))).toMatchObject([{ value: '4' }])
    expect(valuesOf(await send('GET', `${path}/snapshot`))).toEqual(computed)
    expect((await send('POST', `${path}/snapshot`)).status).toBe(204)
    expect(valuesOf(await send('GET', `${path}/snapshot?$filter=keyName eq 'Lines'`))).toMatchObject([{ value: '4' }])
  })

  test('call details are kept as they are told, searched and read', async () => {
    const { provisioningRequestID: id } = await submit()
    const path = `provisioningRequest/${id}/providerCallDetail`
    const sample = {
      content: 'Example message content',
      correlationId: '8c041095',
      isResponse: false,
      providerActionCode: 'Begin_Service',
      providerActionCorrelationID: '8c041095',
      providerCallDetailComponents: [{ key: 'ProvisioningRequestID', value: 246 }],
      timeStamp: '2017-12-11T00:33:00.11-05:00',
    }
    expect(await send('POST', path, sample)).toMatchObject({ status: 204, body: undefined })
    expect((await send('POST', path, { isResponse: true, timeStamp: '2017-12-11T05:33:01Z' })).status).toBe(204)
    const listed = valuesOf(await send('GET', `${path}?$orderby=providerCallDetailID`))
    const shownDetail = {
      correlationID: '8c041095',
      isResponse: false,
      provider: expect.any(String),
      providerAction: 'BeginService',
      providerActionCorrelationID: '8c041095',
      providerActionID: expect.any(Number),
      providerCallDetailID: expect.any(Number),
      providerID: expect.any(Number),
      timeStamp: '2017-12-11T05:33:00.110Z',
    }
    expect(listed).toEqual([
      shownDetail,
      { isResponse: true, providerCallDetailID: expect.any(Number), timeStamp: '2017-12-11T05:33:01.000Z' },
    ])
    expect(
      valuesOf(await send('GET', `${path}?$filter=isResponse eq true and timeStamp gt 2017-12-11T05:33:00Z`)),
    ).toEqual([listed[1]])
    expect((await send('GET', `${path}/${String(listed[0]?.['providerCallDetailID'])}`)).body).toEqual({
      ...shownDetail,
      content: 'Example message content',
      providerCallDetailComponents: [{ key: 'ProvisioningRequestID', value: 246 }],
    })
    expect(await send('GET', `${path}/1000000`)).toMatchObject({
      status: 404,
      body: { errors: [{ field: 'providerCallDetailId', loggingNumber: 500_032 }] },
    })
    const wrong: readonly (readonly [object, string])[] = [
      [{ providerActionCode: 'Calix_Disconnect_Service' }, 'providerActionCode'],
      [{ isResponse: undefined }, 'isResponse'],
      [{ timeStamp: 'yesterday' }, 'timeStamp'],
      [{ correlationID: 'x' }, 'correlationID'],
    ]
    for (const [more, field] of wrong) {
      expect(await send('POST', path, { ...sample, ...more })).toMatchObject({
        status: 400,
        body: { errors: [{ field }] },
      })
    }
  })

  test('requests are searched by all that they show', async () => {
    const ids: number[] = []
    for (let index = 0; index < 3; index += 1) {
      const { provisioningRequestID: id } = await submit({
        provisionedObjectInternalID: `ID00${index}`,
        workItemInstanceID: index + 1,
      })
      ids.push(id)
    }
    await act(ids[1] ?? 0, 'complete', { statusNote: 'by hand' })
    await reach(ids[0] ?? 0, 'In Progress')
    await reach(ids[2] ?? 0, 'In Progress')
    const found = async (filter: string) =>
      valuesOf(await send('GET', `provisioningRequest?$filter=${encodeURIComponent(filter)}`)).map((item) =>
        ids.indexOf(Number(item['provisioningRequestID'])),
      )
    expect(await found("status eq 'Complete'")).toEqual([1])
    expect(await found("provisionedObjectInternalID in ('ID000','ID002') and statusID eq 2")).toEqual([0, 2])
    expect(await found(`accountInformation/accountNumber eq 23330999 and profile/name eq 'Provisioning'`)).toEqual([
      0, 1, 2,
    ])
    expect(
      await found("provisioningRequestLinks/any(l: l/linkType eq 'Orders' and contains(l/linkValue, 'endpoint'))"),
    ).toEqual([0, 1, 2])
    expect(await found('provisioningRequestLinks/all(l: l/linkTypeID eq 2)')).toEqual([])
    expect(await found('completeDate ne null and wasForced eq false')).toEqual([1])
    const seen: unknown[] = []
    let path: string | undefined =
      'provisioningRequest?$orderby=completeDate,workItemInstanceID desc&$top=1&$select=workItemInstanceID'
    while (path !== undefined) {
      const { body } = await send('GET', path)
      const page = body as { readonly '@nextLink'?: string; readonly value: readonly unknown[] }
      seen.push(...page.value)
      path = page['@nextLink']?.replace(/^http:\/\/[^/]+\/ProvisioningManagement\/2X\/[^/]+\/api\//, '')
    }
    expect(seen).toEqual([{ workItemInstanceID: 2 }, { workItemInstanceID: 3 }, { workItemInstanceID: 1 }])
  })

  test('every change is in the audit trail of the environment, without the values of items', async () => {
    const { provisioningRequestID: id } = await submit()
    await act(id, 'error')
    await send('POST', `provisioningRequest/${id}/computedExtendedInformationItem/snapshot`)
    const { rows } = await scene.rig.provisioning.database.query((db) =>
      sql<{ action: string; after: unknown }>`select action, after from audit where entity = 'provisioning_request'
        and entity_id = ${String(id)} and actor like 'key:%' order by seq`.execute(db),
    )
    expect(rows.map(({ action }) => action)).toEqual(['submit', 'change_status', 'save_snapshot'])
    expect(JSON.stringify(rows)).not.toContain('Bob Smith')
  })
})

const IN_PROGRESS = {
  status: 'In Progress',
  statusID: 2,
  lastModifiedDate: expect.stringMatching(TIME),
  lastModifiedUser: 'engine',
}
