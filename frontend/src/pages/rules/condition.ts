/** A rule's condition: in words, checked, and whether a value meets it. */

import type { Event, Rule } from '@/api/types'
import { plain } from '@/format'

export type Operator = Rule['operator']

export const OPERATORS: readonly { operator: Operator; words: string; range: boolean }[] = [
  { operator: 'gt', words: 'above', range: false },
  { operator: 'gte', words: 'at least', range: false },
  { operator: 'lt', words: 'below', range: false },
  { operator: 'lte', words: 'at most', range: false },
  { operator: 'eq', words: 'equal to', range: false },
  { operator: 'between', words: 'within', range: true },
  { operator: 'not_between', words: 'outside', range: true },
]

/** So near counts as equal, at the server, too. */
const EQUAL = 1e-9

export interface Condition {
  operator: Operator
  threshold: number
  threshold_high: number | null
}

export function isRange(operator: Operator): boolean {
  return OPERATORS.some((one) => one.operator === operator && one.range)
}

/** "above 80 %", "outside 18 to 25 °C". */
export function inWords({ operator, threshold, threshold_high: high }: Condition, unit: string): string {
  const words = OPERATORS.find((one) => one.operator === operator)?.words ?? operator
  const numbers = isRange(operator) ? `${plain(threshold)} to ${plain(high ?? threshold)}` : plain(threshold)
  return `${words} ${numbers}${unit === '' ? '' : ` ${unit}`}`
}

/** Whether a value meets the condition, as the server decides it. */
export function meets(value: number, { operator, threshold: low, threshold_high: high }: Condition): boolean {
  switch (operator) {
    case 'gt':
      return value > low
    case 'gte':
      return value >= low
    case 'lt':
      return value < low
    case 'lte':
      return value <= low
    case 'eq':
      return Math.abs(value - low) < EQUAL
    case 'between':
      return high !== null && low <= value && value <= high
    case 'not_between':
      return high !== null && (value < low || value > high)
  }
}

export interface Draft {
  name: string
  event: string
  operator: Operator
  threshold: string
  high: string
  action: Rule['action_type']
  emits: string
  cooldown: number
  enabled: boolean
}

export type Wrong = Partial<Record<'name' | 'event' | 'threshold' | 'high' | 'cooldown', string>>

/** What is typed as a number: a comma will do. Null: it is none. */
export function typed(text: string): number | null {
  const trimmed = text.trim().replace(',', '.')
  const value = Number(trimmed)
  return trimmed === '' || !Number.isFinite(value) ? null : value
}

/** The condition of a draft; null while its numbers are not there. */
export function conditionOf(draft: Draft): Condition | null {
  const threshold = typed(draft.threshold)
  if (threshold === null) return null
  if (!isRange(draft.operator)) return { operator: draft.operator, threshold, threshold_high: null }
  const high = typed(draft.high)
  return high === null || high < threshold
    ? null
    : { operator: draft.operator, threshold, threshold_high: high }
}

/** What is wrong with a draft, by its fields. */
export function wrongWith(draft: Draft): Wrong {
  const wrong: Wrong = {}
  if (draft.name.trim() === '') wrong.name = 'Give the rule a name; alarms are called by it.'
  if (draft.event === '') wrong.event = 'Choose what the rule watches.'
  const low = typed(draft.threshold)
  if (low === null) wrong.threshold = 'Enter a number.'
  if (isRange(draft.operator)) {
    const high = typed(draft.high)
    if (high === null) wrong.high = 'Enter a number.'
    else if (low !== null && high < low) wrong.high = `Must be ${plain(low)} or more.`
  }
  if (!Number.isInteger(draft.cooldown) || draft.cooldown < 0)
    wrong.cooldown = 'Enter whole seconds, 0 or more.'
  return wrong
}

/** A name that says what the rule does, until somebody gives it a better one. */
export function suggested(event: Event | undefined, condition: Condition | null): string {
  return event === undefined || condition === null
    ? ''
    : `${event.name} ${inWords(condition, event.unit)}`.slice(0, 255)
}

/** The body that the server takes. */
export function bodyOf(draft: Draft, condition: Condition): Record<string, unknown> {
  return {
    name: draft.name.trim(),
    event_public_id: draft.event,
    operator: condition.operator,
    threshold: condition.threshold,
    threshold_high: condition.threshold_high,
    action_type: draft.action,
    webhook_event_type: draft.action === 'webhook' ? draft.emits || null : null,
    cooldown_seconds: draft.cooldown,
    enabled: draft.enabled,
  }
}
