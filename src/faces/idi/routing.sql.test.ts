import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { IdiRig, type RigEnvironment } from '../../../test/support/idi-rig.ts'
import { STORES } from '../../../test/support/records.ts'

describe.each(STORES)('paths of the IDI API, on %s', (store) => {
  let rig: IdiRig
  let environment: RigEnvironment
  beforeAll(async () => {
    rig = await IdiRig.start({ store })
    environment = await rig.addEnvironment()
  })
  afterAll(() => rig.stop())

  const request = (method: string, path: string) => rig.provisioning.request(method, path, { key: environment.key })
  const api = (path: string) => `/ProvisioningManagement/2X/${environment.name}/api/${path}`

  test.each(['ProvisioningManagement', 'provisioningmanagement', 'PROVISIONINGMANAGEMENT'])(
    'literal segments may be written in any case: %s',
    async (base) => {
      const path = `/${base}/2x/${environment.name.toUpperCase()}/Api/DATATYPES?$top=1&$select=name`
      const answer = await request('GET', path)
      expect(answer).toMatchObject({ status: 200, body: { value: [{ name: 'Choice' }] } })
      const { '@nextLink': next } = answer.body as { readonly '@nextLink': string }
      expect((await request('GET', next.replace(/^http:\/\/[^/]+/, ''))).body).toMatchObject({
        value: [{ name: 'Boolean' }],
      })
    },
  )

  test('a body that is something else altogether is told to be so, and an environment that there is not', async () => {
    expect(await rig.send(environment, 'POST', 'variable', [])).toMatchObject({
      status: 400,
      body: { errors: [{ field: '', message: 'The body is not valid: must be an object.' }] },
    })
    expect(await request('GET', '/ProvisioningManagement/2X/tset/api/variable')).toMatchObject({
      status: 404,
      body: {
        errors: [
          { field: 'environment', message: 'You do not have access to environment ID tset or it does not exist.' },
        ],
      },
    })
  })

  test('parameters are as they were written', async () => {
    const made = await rig.send(environment, 'POST', 'VARIABLE', { code: 'a', name: 'Variable', dataTypeID: 3 })
    expect(made).toMatchObject({ status: 201, body: { code: 'a', name: 'Variable' } })
    expect(await rig.send(environment, 'GET', 'Variable/API')).toMatchObject({
      status: 400,
      body: { errors: [{ field: 'variableID' }] },
    })
  })

  test('what is measured is the route, in whatever case it was asked for', async () => {
    await request('GET', api('PROVISIONABLEOBJECTDEFINITION/77'))
    const metrics = await rig.provisioning.registry.metrics()
    expect(metrics).toContain(
      '/ProvisioningManagement/2X/:environment/api/provisionableObjectDefinition/:provisionableObjectDefinitionId',
    )
    expect(metrics).not.toMatch(/PROVISIONABLE/)
  })

  test.each([
    '/ProvisioningManagement',
    '/provisioningmanagement/',
    '/ProvisioningManagement/1X/test/api/variable',
    '/ProvisioningManagement/2X/test/variable',
    '/ProvisioningManagement/2X/test/api',
    '/ProvisioningManagement/2X/test/api/',
    '/ProvisioningManagement/2X/test/api/nothing',
    '/ProvisioningManagement/2X/test/api/variable//',
    '/ProvisioningManagement/2X/test/api/variable/7/outcome/8',
  ])("there is nothing at %s, in the document's envelope", async (path) => {
    for (const method of ['GET', 'POST', 'DELETE']) {
      expect(await request(method, path)).toMatchObject({
        status: 404,
        body: {
          errors: [
            {
              correlationId: expect.stringMatching(/^[0-9a-f]{8}$/),
              field: '',
              loggingNumber: 500_032,
              message: 'You do not have access to this resource or it does not exist.',
            },
          ],
        },
      })
    }
  })

  test.each([
    ['DELETE', 'variable', 'HEAD, GET, POST'],
    ['PUT', 'Variable/7', 'HEAD, GET, PATCH, DELETE'],
    ['PATCH', 'dataTypes', 'HEAD, GET'],
    ['DELETE', 'provisionableobjectdefinition/7', 'HEAD, GET, PATCH'],
  ])('%s is not what %s has', async (method, path, allowed) => {
    const answer = await request(method, api(path))
    expect(answer).toMatchObject({ status: 405, body: { errors: [{ loggingNumber: 500_405 }] } })
    expect(answer.headers.get('allow')).toBe(allowed)
  })

  test('without a key nothing is told of an environment, in the same envelope', async () => {
    const answer = await rig.provisioning.request('GET', api('variable'))
    expect(answer).toMatchObject({ status: 401, body: { errors: [{ loggingNumber: 500_401 }] } })
    expect(answer.headers.get('www-authenticate')).toBe('Bearer realm="callhalf"')
  })

  test('paths of other APIs are told apart by case, and their errors are problems', async () => {
    const answer = await request('GET', '/Products')
    expect(answer).toMatchObject({ status: 404, body: { code: 'route_not_found' } })
    expect(answer.headers.get('content-type')).toBe('application/problem+json')
  })
})
