/** Of the operations in the OpenAPI document. */
export const TAGS = {
  customers: 'Customers',
  contacts: 'Contacts',
  paymentMethods: 'Payment methods',
  locations: 'Locations',
  inventory: 'Inventory',
  invoices: 'Invoices',
  catalogue: 'Products and countries',
  orders: 'Orders',
  numbers: 'Numbers and reservations',
} as const
