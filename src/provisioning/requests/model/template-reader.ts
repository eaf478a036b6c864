import { EXPRESSION_LIMITS, ExpressionError, type Template } from './expression.ts'
import { parseTemplate } from './expression-parser.ts'

/** Parses the templates that are computed together, which are bounded together: there may be as many as items. */
export class TemplateReader {
  #characters = 0

  /** Throws an ExpressionError. */
  read(value: string): Template {
    this.#characters += value.length
    if (this.#characters > EXPRESSION_LIMITS.formulasMax) {
      throw new ExpressionError(
        `is computed, and with those before it longer than ${EXPRESSION_LIMITS.formulasMax} characters`,
      )
    }
    return parseTemplate(value)
  }
}
