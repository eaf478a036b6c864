import type { Delivery, DeliveryFilter, DeliveryRecords } from '../../../src/core/delivery-record.ts'

/** All that match, page by page. */
export async function readDeliveries(
  records: Pick<DeliveryRecords, 'list'>,
  filter: DeliveryFilter = {},
): Promise<readonly Delivery[]> {
  const found: Delivery[] = []
  for (let cursor: string | undefined; ;) {
    const page = await records.list(filter, { limit: 200, ...(cursor !== undefined && { cursor }) })
    found.push(...page.deliveries)
    cursor = page.cursor
    if (cursor === undefined) return found
  }
}
