/** What `config_json` of a widget means to us. Keys that other clients have put there stay. */

import type { Widget } from '@/api/types'

export const KINDS = {
  line_chart: { name: 'Line chart', about: 'One or several events over time', w: 6, h: 4 },
  gauge: { name: 'Gauge', about: 'A value within its range', w: 3, h: 3 },
  stat_card: { name: 'Value', about: 'A large value with its last minutes', w: 3, h: 3 },
  actuator_toggle: { name: 'Actuator', about: 'Switches or sets something', w: 3, h: 3 },
  text_note: { name: 'Note', about: 'A text that everybody sees', w: 4, h: 2 },
} as const

export type Kind = keyof typeof KINDS

export interface Config {
  events: string[]
  window: number
  text: string
  warn_low: number | null
  warn_high: number | null
}

const WINDOW_MS = 10 * 60_000

function raw(widget: Pick<Widget, 'config_json'>): Record<string, unknown> {
  try {
    const found: unknown = JSON.parse(widget.config_json ?? '{}')
    return typeof found === 'object' && found !== null && !Array.isArray(found)
      ? (found as Record<string, unknown>)
      : {}
  } catch {
    return {}
  }
}

/** What a widget is told to show. */
export function configOf(widget: Pick<Widget, 'config_json' | 'event_public_id'>): Config {
  const { events, window, text, warn_low: low, warn_high: high } = raw(widget)
  const several = Array.isArray(events) ? events.filter((one): one is string => typeof one === 'string') : []
  const own = widget.event_public_id === null ? [] : [widget.event_public_id]
  return {
    events: [...new Set([...own, ...several])],
    window: typeof window === 'number' && window >= 1_000 ? window : WINDOW_MS,
    text: typeof text === 'string' ? text : '',
    warn_low: typeof low === 'number' ? low : null,
    warn_high: typeof high === 'number' ? high : null,
  }
}

/** The text for the server, with some keys changed and all others as they were; undefined takes a key away. */
export function withConfig(widget: Pick<Widget, 'config_json'>, changes: Partial<Config>): string | null {
  const all = Object.entries({ ...raw(widget), ...changes }).filter(
    ([, value]) => value !== undefined && value !== null,
  )
  return all.length === 0 ? null : JSON.stringify(Object.fromEntries(all))
}
