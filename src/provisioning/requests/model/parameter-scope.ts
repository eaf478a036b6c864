/**
 * Where a scenario's parameter comes from. `Literal`: its value as it is, in which `@[key]` and `#[expression]` are
 * computed. `Request`: its value is the name of a computed item of the request. `Global`: of a global information
 * item. The document says nothing of scopes but two examples, "Wireline" and "POD 0027": any other scope is the code
 * of a provisionable object definition, and the parameter a literal for requests about objects of that code alone.
 */
const PARAMETER_SCOPES = ['Literal', 'Request', 'Global'] as const
type ParameterScope = (typeof PARAMETER_SCOPES)[number]

/** A parameter as a scenario has it; there is one of each name and scope. */
export type ScenarioParameter = {
  readonly name: string
  /** One of `PARAMETER_SCOPES`, or the code of an object definition. */
  readonly scope: string
  /** Absent: not set, as if the parameter were not there. */
  readonly value?: string
}

/** The scope that is meant; the case of our words does not matter, and an empty one is `Literal`. */
export function toScope(text: string): string {
  if (text === '') return 'Literal'
  return PARAMETER_SCOPES.find((scope) => scope.toLowerCase() === text.toLowerCase()) ?? text
}

/** One way in which a parameter may get its value. */
export type ParameterSource = { readonly scope: ParameterScope; readonly value: string }

/** What comes first is tried first. */
const PRECEDENCE: readonly ParameterScope[] = ['Request', 'Global', 'Literal']

/**
 * The parameters of a scenario for a request about an object of this code, by name: where each may come from, in the
 * order in which it is to be tried until something comes of it. What is meant for the code goes before all else.
 */
export function parameterSources(
  parameters: readonly ScenarioParameter[],
  objectCode: string | undefined,
): ReadonlyMap<string, readonly ParameterSource[]> {
  const names = [...new Set(parameters.map(({ name }) => name))]
  const found = names.map((name) => {
    const sourcesOf = (wanted: string | undefined, scope: ParameterScope): readonly ParameterSource[] =>
      parameters.flatMap((parameter) =>
        parameter.name === name && parameter.scope === wanted && parameter.value !== undefined
          ? [{ scope, value: parameter.value }]
          : [],
      )
    const isOurs = PARAMETER_SCOPES.some((scope) => scope === objectCode)
    const own = isOurs ? [] : sourcesOf(objectCode, 'Literal')
    return [name, [...own, ...PRECEDENCE.flatMap((scope) => sourcesOf(scope, scope))]] as const
  })
  return new Map(found.filter(([, sources]) => sources.length > 0))
}
