/** What a data type says of its values. */
export type DataTypeRule = {
  /** In words: "The value must be a number." */
  readonly validation: string
  readonly validationRegex: string
  readonly validationRegexStrict: string
}

/** Checks values against data types, by the ids of these. */
export class DataTypeRules {
  readonly #rules: ReadonlyMap<number, { readonly message: string; readonly loose: RegExp; readonly strict: RegExp }>

  /** The expressions must be of the `data_types` table, never a caller's. */
  constructor(rules: ReadonlyMap<number, DataTypeRule>) {
    this.#rules = new Map(
      [...rules].map(([id, { validation, validationRegex, validationRegexStrict }]) => [
        id,
        {
          message: `${validation.charAt(0).toLowerCase()}${validation.slice(1).replace(/\.$/, '')}`,
          loose: new RegExp(validationRegex),
          strict: new RegExp(validationRegexStrict),
        },
      ]),
    )
  }

  has(dataTypeId: number): boolean {
    return this.#rules.has(dataTypeId)
  }

  /** What is wrong with a value as it is; undefined when nothing is, or when there is no such data type. */
  problemOf(dataTypeId: number, value: string): string | undefined {
    const rule = this.#rules.get(dataTypeId)
    return rule === undefined || rule.strict.test(value) ? undefined : rule.message
  }

  /** The same of a value that may be computed later: with `@[key]` or `#[expression]` in it, it is any text. */
  problemOfComputed(dataTypeId: number, value: string): string | undefined {
    const rule = this.#rules.get(dataTypeId)
    return rule === undefined || rule.loose.test(value) ? undefined : rule.message
  }
}
