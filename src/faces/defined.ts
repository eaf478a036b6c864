/** Without the fields that are absent, as the engine takes it. */
type Defined<Value> = {
  [Key in keyof Value as undefined extends Value[Key] ? never : Key]: Value[Key]
} & { [Key in keyof Value as undefined extends Value[Key] ? Key : never]?: Exclude<Value[Key], undefined> }
/** Drops what is undefined. */
export const defined = <Value extends object>(value: Value): Defined<Value> =>
  // Object.entries knows no keys of its own type.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  Object.fromEntries(Object.entries(value).filter(([, entry]) => entry !== undefined)) as Defined<Value>
