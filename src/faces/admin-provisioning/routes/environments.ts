import type { Hono } from 'hono'
import * as v from 'valibot'
import type { HttpEnv } from '../../../http/context.ts'
import type { DefineOperation } from '../../../http/operation.ts'
import type { AdminProvisioningDeps } from '../deps.ts'
import {
  AccountBody,
  AccountParams,
  AccountSchema,
  EnvironmentBody,
  EnvironmentParams,
  EnvironmentSchema,
  toAccountResource,
  toEnvironmentResource,
} from '../schemas/environments.ts'
import { ADMIN_TAG } from '../tag.ts'

/** Environments of the IDI API, and the customers in them. */
export function addEnvironmentRoutes(app: Hono<HttpEnv>, define: DefineOperation, deps: AdminProvisioningDeps): void {
  const { environments } = deps
  addAccountRoutes(app, define, deps)
  app.get(
    '/admin/provisioning/environments',
    define(
      {
        operationId: 'listEnvironments',
        tag: ADMIN_TAG,
        summary: 'List the environments of the IDI API',
        access: 'admin',
        responses: { 200: { description: 'All of them', schema: v.array(EnvironmentSchema) } },
      },
      async () => ({ status: 200, json: (await environments.list()).map(toEnvironmentResource) }),
    ),
  )
  app.put(
    '/admin/provisioning/environments/:environment',
    define(
      {
        operationId: 'putEnvironment',
        tag: ADMIN_TAG,
        summary: 'Make an environment, or give it to another app',
        description: 'A new one is safeguarded: no request reaches a provider unless its internal id is allowed.',
        access: 'admin',
        params: EnvironmentParams,
        body: EnvironmentBody,
        responses: { 200: { description: 'The environment', schema: EnvironmentSchema } },
        errors: ['app_not_found', 'in_use'],
      },
      async ({ params, body }) => {
        const environment = await environments.put({ name: params.environment, appId: body.appId })
        return { status: 200, json: toEnvironmentResource(environment) }
      },
    ),
  )
}

function addAccountRoutes(app: Hono<HttpEnv>, define: DefineOperation, { environments }: AdminProvisioningDeps): void {
  app.get(
    '/admin/provisioning/environments/:environment/accounts',
    define(
      {
        operationId: 'listEnvironmentAccounts',
        tag: ADMIN_TAG,
        summary: 'List the customers in an environment',
        access: 'admin',
        params: EnvironmentParams,
        responses: { 200: { description: 'All of them', schema: v.array(AccountSchema) } },
        errors: ['resource_not_found'],
      },
      async ({ params }) => ({
        status: 200,
        json: (await environments.accounts(params.environment)).map(toAccountResource),
      }),
    ),
  )
  app.put(
    '/admin/provisioning/environments/:environment/accounts/:accountNumber',
    define(
      {
        operationId: 'putEnvironmentAccount',
        tag: ADMIN_TAG,
        summary: 'Put a customer into an environment',
        description: 'Its orders and services are seen there from then on, also those that there are already.',
        access: 'admin',
        params: AccountParams,
        body: AccountBody,
        responses: { 204: { description: 'It is there' } },
        errors: ['resource_not_found', 'customer_not_found', 'already_exists'],
      },
      async ({ params: { environment, accountNumber }, body }) => {
        await environments.putAccount({ name: environment, accountNumber, ...body })
        return { status: 204 }
      },
    ),
  )
}
