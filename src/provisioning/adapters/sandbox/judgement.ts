import { lineTypeOf } from '../../eligibility/line-type.ts'
import type { Eligibility, EligibilityRule, LineType } from '../../model/eligibility.ts'
import { readNumber } from '../../model/number-plan.ts'
import type { Queries } from '../../store/database.ts'
import { isTakenElsewhere } from './lines.ts'
import { magicJudgementOf } from './magic-numbers.ts'

/** What the carrier says of a number: it knows what kind of line it is, and which it serves for others. */
export async function judgeNumber(queries: Queries, account: string, e164: string): Promise<Eligibility> {
  const magic = magicJudgementOf(e164)
  const lineType = magic?.lineType ?? plannedLineTypeOf(e164)
  const isElsewhere = magic?.isElsewhere === true || (await isTakenElsewhere(queries, account, e164))
  const rules: readonly EligibilityRule[] = [
    rule('line_type', { isPassed: lineType !== 'mobile', input: lineType }),
    rule('served_for_another', { isPassed: !isElsewhere, input: isElsewhere ? 'of another account' : 'free' }),
  ]
  const reason = lineType === 'mobile' ? 'mobile_number' : isElsewhere ? 'provisioned_elsewhere' : 'eligible'
  return { isEligible: reason === 'eligible', reason, lineType, rules }
}

/** What the numbering plan says; where it says nothing, the sandbox has landlines. */
function plannedLineTypeOf(e164: string): LineType {
  const number = readNumber(e164)
  const planned = number === undefined ? 'unknown' : lineTypeOf(number)
  return planned === 'unknown' ? 'landline' : planned
}

const rule = (
  name: string,
  { isPassed, input }: { readonly isPassed: boolean; readonly input: string },
): EligibilityRule => ({ rule: name, passed: isPassed, input, source: 'sandbox' })
