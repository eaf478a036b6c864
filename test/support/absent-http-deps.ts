import { Registry } from 'prom-client'
import * as v from 'valibot'
import { systemClock } from '../../src/core/clock.ts'
import { ShardSchema } from '../../src/core/ids.ts'
import { silentLogger } from '../../src/core/logger.ts'
import { addAdminProvisioning } from '../../src/faces/admin-provisioning/face.ts'
import { addIdiFace } from '../../src/faces/idi/face.ts'
import { addZilkrFace } from '../../src/faces/zilkr/face.ts'
import { addZipwhipFace } from '../../src/faces/zipwhip/face.ts'
import type { HttpDeps } from '../../src/http/app.ts'

/** For routes that are described or refused, never served: whatever they reached for would be missing. */
export function absentHttpDeps(): HttpDeps {
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  const absent = undefined as never
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  const noDeps = {} as never
  return {
    servesApi: true,
    authenticator: absent,
    calls: absent,
    apps: absent,
    networks: absent,
    networkControl: absent,
    subscribers: absent,
    endpoints: absent,
    checkEndpointUrl: absent,
    openEndpoint: absent,
    generateSecret: absent,
    generateKeyPair: absent,
    requiresVerification: false,
    resetFailures: absent,
    forgetEndpoint: absent,
    webhookStatus: absent,
    deliveries: absent,
    replayer: absent,
    tester: absent,
    verifier: absent,
    operatorEvents: absent,
    streams: { hub: absent, authenticator: absent, tokens: absent },
    faces: [addZilkrFace, addZipwhipFace, addIdiFace, addAdminProvisioning].map((addFace) => ({
      addRoutes: (app, define) => addFace(app, define, noDeps),
    })),
    readiness: absent,
    registry: new Registry(),
    defaultShard: v.parse(ShardSchema, 'main'),
    clock: systemClock,
    log: silentLogger,
  }
}
