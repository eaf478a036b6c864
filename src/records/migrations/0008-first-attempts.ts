/**
 * The first attempt of a delivery stands in the delivery's own row when both are written at once, as under load nearly
 * all are: a row and an index entry fewer, of what a delivery costs here a quarter. As text, JSON of
 * `{"factId", "attempt"}` (see delivery-rows.ts): it is shown and never searched.
 */
export const firstAttempts = `
alter table deliveries add column first_attempt text;
`
