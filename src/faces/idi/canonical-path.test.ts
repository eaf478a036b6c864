import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { toCanonicalIdiPath } from './canonical-path.ts'
import { IDI_BASE, IDI_ROUTES, type IdiRoute } from './route-table.ts'

const PATHS = Object.values<IdiRoute>(IDI_ROUTES)
  .flatMap((route) => [route, ...(route.aliases ?? [])])
  .map(({ path }) => `${IDI_BASE}/${path}`)

describe('paths of the IDI API', () => {
  test.each([
    [
      '/provisioningmanagement/2x/Test/API/VARIABLE/7/Outcome',
      '/ProvisioningManagement/2X/Test/api/variable/7/outcome',
    ],
    ['/ProvisioningManagement/2X/API/api/provider', '/ProvisioningManagement/2X/API/api/provider'],
    [
      '/ProvisioningManagement/2X/t/api/GlobalInformationItem/GlobalInformationItem',
      '/ProvisioningManagement/2X/t/api/globalInformationItem/GlobalInformationItem',
    ],
    [
      '/ProvisioningManagement/2X/t/api/globalinformationitem/RETRIEVE',
      '/ProvisioningManagement/2X/t/api/globalInformationItem/retrieve',
    ],
    [
      '/ProvisioningManagement/2X/t/api/globalInformationItem/A%2Fb',
      '/ProvisioningManagement/2X/t/api/globalInformationItem/A%2Fb',
    ],
    ['/PROVISIONINGMANAGEMENT/2X/t/API/Unknown/Variable', '/ProvisioningManagement/2X/t/api/Unknown/Variable'],
    ['/ProvisioningManagement/2X/t/API/Provider/', '/ProvisioningManagement/2X/t/api/provider'],
    ['/ProvisioningManagement/2X/t/api/variable/7/', '/ProvisioningManagement/2X/t/api/variable/7'],
    [
      '/ProvisioningManagement/2X/t/api/globalInformationItem/',
      '/ProvisioningManagement/2X/t/api/globalInformationItem',
    ],
    ['/ProvisioningManagement/2X/t/api/provider//', '/ProvisioningManagement/2X/t/api/provider/'],
    ['/ProvisioningManagement/', '/ProvisioningManagement'],
    ['/APPS/7/', '/APPS/7/'],
    ['/PROVISIONINGMANAGEMENT/3X/t/API', '/ProvisioningManagement/3X/t/api'],
    ['/provisioningmanagement', '/ProvisioningManagement'],
    ['/ProvisioningManagements/2x', '/ProvisioningManagements/2x'],
    ['/APPS/7/Calls', '/APPS/7/Calls'],
    ['/', '/'],
    ['', ''],
  ])('%s is %s', (path, canonical) => {
    expect(toCanonicalIdiPath(path)).toBe(canonical)
  })

  test('in whatever case literal segments are written, a path is its own, and parameters stay as they are', () => {
    const parameter = fc.constantFrom('7', 'API', 'Retrieved', 'pRoViDeR%20x', 'ÄÖ', '..x')
    fc.assert(
      fc.property(
        fc.constantFrom(...PATHS),
        fc.array(parameter, { minLength: 12, maxLength: 12 }),
        fc.array(fc.boolean(), { minLength: 100, maxLength: 100 }),
        (path, values, cases) => {
          const filled = path
            .split('/')
            .map((segment, index) =>
              segment.startsWith('{')
                ? { segment: values[index] ?? '', isLiteral: false }
                : { segment, isLiteral: true },
            )
          const written = filled.map(({ segment, isLiteral }) =>
            isLiteral
              ? segment
                  .split('')
                  .map((letter, at) => (cases[at] === true ? letter.toUpperCase() : letter.toLowerCase()))
                  .join('')
              : segment,
          )
          expect(toCanonicalIdiPath(written.join('/'))).toBe(filled.map(({ segment }) => segment).join('/'))
        },
      ),
    )
  })
})
