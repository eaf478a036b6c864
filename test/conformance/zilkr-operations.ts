/** One operation of the Zilkr Provisioning API document. */
export type ZilkrOperation = {
  readonly operationId: string
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  readonly path: string
  readonly status: 200 | 201 | 204
  /** The component of our OpenAPI document that its body is of; `[]` behind it for a list; absent for no body. */
  readonly body?: string
}

const C = '/customers/{customerId}'
const ORDER = `${C}/orders/{productId}`

const get = (operationId: string, path: string, body: string): ZilkrOperation => ({
  operationId,
  method: 'GET',
  path,
  status: 200,
  body,
})
const post = (operationId: string, path: string, body: string): ZilkrOperation => ({
  operationId,
  method: 'POST',
  path,
  status: 201,
  body,
})
const put = (operationId: string, path: string, body: string): ZilkrOperation => ({
  operationId,
  method: 'PUT',
  path,
  status: 200,
  body,
})
const remove = (operationId: string, path: string): ZilkrOperation => ({
  operationId,
  method: 'DELETE',
  path,
  status: 204,
})

/**
 * Every operation in the order of the document, with the two that it has the wrong way round put right: reading an
 * order is GET and 200, cancelling it DELETE and 204.
 */
export const ZILKR_OPERATIONS: readonly ZilkrOperation[] = [
  get('listCustomers', '/customers', 'Customer[]'),
  post('createCustomer', '/customers', 'Customer'),
  get('getCustomer', C, 'Customer'),
  put('updateCustomer', C, 'Customer'),
  remove('deleteCustomer', C),
  get('listContacts', `${C}/contacts`, 'Contact[]'),
  post('createContact', `${C}/contacts`, 'Contact'),
  get('getContact', `${C}/contacts/{contactId}`, 'Contact'),
  put('updateContact', `${C}/contacts/{contactId}`, 'Contact'),
  remove('deleteContact', `${C}/contacts/{contactId}`),
  get('listPaymentMethods', `${C}/paymentMethods`, 'PaymentMethod[]'),
  post('createPaymentMethod', `${C}/paymentMethods`, 'PaymentMethod'),
  get('getPaymentMethod', `${C}/paymentMethods/{paymentMethodId}`, 'PaymentMethod'),
  put('updatePaymentMethod', `${C}/paymentMethods/{paymentMethodId}`, 'PaymentMethod'),
  get('listProductLocations', `${C}/productLocations`, 'ProductLocation[]'),
  post('createProductLocation', `${C}/productLocations`, 'ProductLocation'),
  get('getProductLocation', `${C}/productLocations/{locationId}`, 'ProductLocation'),
  put('updateProductLocation', `${C}/productLocations/{locationId}`, 'ProductLocation'),
  remove('deleteProductLocation', `${C}/productLocations/{locationId}`),
  get('listConnections', `${C}/connections`, 'Connection[]'),
  get('getConnection', `${C}/connections/{connectionId}`, 'Connection'),
  get('listCustomerProducts', `${C}/products`, 'InventoryProduct[]'),
  get('getCustomerProduct', `${C}/products/{productId}`, 'InventoryProduct'),
  get('listInvoices', `${C}/invoices`, 'Invoice[]'),
  get('getInvoice', `${C}/invoices/{invoiceId}`, 'Invoice'),
  get('listProducts', '/products', 'CatalogProduct[]'),
  get('getProduct', '/products/{productId}', 'CatalogProduct'),
  get('listCountries', '/countries', 'Country[]'),
  get('getCountry', '/countries/{countryCode}', 'Country'),
  get('listCities', '/countries/{countryCode}/cities', 'City[]'),
  get('getCity', '/countries/{countryCode}/cities/{cityId}', 'City'),
  post('orderAny', `${ORDER}/numbers/any`, 'Order'),
  post('orderPort', `${ORDER}/numbers/port`, 'Order'),
  post('orderReserved', `${ORDER}/numbers/reserve`, 'Order'),
  post('orderRange', `${ORDER}/numbers/range`, 'Order'),
  post('orderMove', `${ORDER}/numbers/move`, 'Order'),
  post('orderChange', `${ORDER}/numbers/change`, 'Order'),
  post('orderDelete', `${ORDER}/numbers/delete`, 'Order'),
  post('orderDeleteAll', `${ORDER}/delete`, 'Order'),
  get('listOrders', `${C}/orders`, 'OrderSummary[]'),
  get('getOrder', `${C}/orders/{orderId}`, 'Order'),
  remove('cancelOrder', `${C}/orders/{orderId}`),
  get('searchNumbers', '/numbers', 'AvailableNumber[]'),
  get('listReservations', `${C}/reservations`, 'Reservation[]'),
  post('createReservation', `${C}/reservations`, 'Reservation'),
  get('getReservation', `${C}/reservations/{reservationId}`, 'Reservation'),
  remove('deleteReservation', `${C}/reservations/{reservationId}`),
]

/** What we have beyond the document: a payment method that could not be removed would be a card kept for ever. */
export const ADDED_OPERATION = remove('deletePaymentMethod', `${C}/paymentMethods/{paymentMethodId}`)
