/** Of the operations in the OpenAPI document. */
export const ADMIN_TAG = 'Provisioning administration'
