/** Where an event is used: the rules that watch it, the dashboards that show it. */

import type { Dashboard, Rule } from '@/api/types'
import { plain } from '@/format'

const OPERATORS: Record<Rule['operator'], string> = {
  gt: 'above',
  lt: 'below',
  eq: 'equal to',
  gte: 'at or above',
  lte: 'at or below',
  between: 'between',
  not_between: 'not between',
}

/** When a rule matches: "above 80 %", "not between 2 and 4 bar". */
export function condition(rule: Rule, unit: string): string {
  const both = rule.operator === 'between' || rule.operator === 'not_between'
  const limits = [rule.threshold, ...(both && rule.threshold_high !== null ? [rule.threshold_high] : [])]
  return `${OPERATORS[rule.operator]} ${limits.map(plain).join(' and ')} ${unit}`.trim()
}

/** What the widgets of one dashboard show of events: in their own field, or in what they are set up with. */
export function shows(dashboard: Dashboard, event: string): number {
  return dashboard.widgets.filter(
    (widget) => widget.event_public_id === event || (widget.config_json ?? '').includes(`"${event}"`),
  ).length
}
