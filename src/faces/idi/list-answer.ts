/** A whole list, where the document has its envelope but no search: there are always few. */
export const listAnswer = <Row, Item>(rows: readonly Row[], toItem: (row: Row) => Item) => ({
  '@count': rows.length,
  value: rows.map(toItem),
})
