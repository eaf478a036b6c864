/** The sections of the IDI document, as tags of the OpenAPI document. */
export const IDI_TAGS = {
  auxiliary: 'IDI: auxiliary data',
  globalInformation: 'IDI: global information',
  installations: 'IDI: installations',
  linkTypes: 'IDI: link types',
  profiles: 'IDI: profiles',
  providers: 'IDI: providers',
  objects: 'IDI: provisioned objects',
  definitions: 'IDI: provisionable object definitions',
  batches: 'IDI: batches',
  requests: 'IDI: provisioning requests',
  safeguards: 'IDI: safeguards',
  variables: 'IDI: variables',
} as const
