import { isRealTime } from '../model/calendar.ts'
import { ODataError, type Literal } from './expression.ts'
import { unexpected, unquote, type Token } from './tokens.ts'

/** The constant that a token is. Throws an ODataError for any other token, and for a value that no store has. */
export function readLiteral(token: Token): Literal {
  const { type, value } = token
  if (type === 'text') return { type, value: readText(token) }
  if (type === 'number') return { type, value }
  if (type === 'time') return { type, value: readTime(value) }
  if (type === 'name' && value === 'null') return { type: 'null' }
  if (type === 'name' && (value === 'true' || value === 'false')) return { type: 'boolean', value: value === 'true' }
  throw unexpected(token)
}

/** PostgreSQL's texts are well-formed Unicode without U+0000. */
function readText({ value, at }: Token): string {
  if (value.includes('\0') || !value.isWellFormed()) {
    throw new ODataError(`has a character that no text has, at character ${at + 1}`)
  }
  return unquote(value)
}

/** With the time of day and the zone written out: UTC unless it says otherwise, wherever this runs. */
function readTime(written: string): string {
  const [date = '', timeOfDay = '00:00:00'] = written.split('T')
  const time = `${date}T${timeOfDay}${/Z|[+-]\d{2}:\d{2}$/.test(timeOfDay) ? '' : 'Z'}`
  if (!isRealTime(time)) throw new ODataError(`has a time that does not exist: ${written}`)
  return time
}

/** Whether a number is one that integer columns can have. */
export const isColumnInteger = (value: string): boolean => /^-?\d{1,18}$/.test(value)
