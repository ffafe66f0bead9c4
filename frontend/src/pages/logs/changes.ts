/** What an entry of the audit log says, as people read it. */

import type { Change } from '@/api/types'

export interface Difference {
  field: string
  /** undefined: there was no such thing. */
  before?: unknown
  after?: unknown
}

/** The fields of a change, each with what it was and what it is; those that say nothing are left out. */
export function differences({ action, before, after }: Change): Difference[] {
  const fields = [...new Set([...Object.keys(before ?? {}), ...Object.keys(after ?? {})])]
  return fields
    .map((field) => ({
      field,
      ...(before === null ? {} : { before: before[field] ?? null }),
      ...(after === null ? {} : { after: after[field] ?? null }),
    }))
    .filter(
      ({ before: was, after: is }) =>
        action === 'changed' || action === 'set' || (was ?? is ?? null) !== null,
    )
}

const FIELDS: Record<string, string> = {
  min_value: 'smallest value',
  max_value: 'largest value',
  threshold_high: 'upper threshold',
  cooldown_s: 'cooldown (s)',
  instance_name: 'name',
  channel_name: 'name',
  channel_id: 'channel',
  plugin_id: 'plugin',
  plugin: 'device',
  demo_mode: 'demo mode',
  is_global: 'shared',
  widget_type: 'kind',
  config_json: 'settings',
  config: 'settings',
  user: 'owner',
  username: 'name',
  email: 'e-mail',
  w: 'width',
  h: 'height',
}

export function fieldName(field: string): string {
  return FIELDS[field] ?? field.replaceAll('_', ' ')
}

export const KINDS: Record<string, string> = {
  user: 'User',
  token: 'API token',
  event: 'Event',
  plugin: 'Device',
  channel: 'Channel',
  experiment: 'Experiment',
  note: 'Note',
  rule: 'Rule',
  webhook: 'Webhook',
  dashboard: 'Dashboard',
  widget: 'Widget',
  datapoint: 'Reading',
}

export function kindName(kind: string): string {
  return KINDS[kind] ?? kind.charAt(0).toUpperCase() + kind.slice(1)
}

export const ACTIONS: Record<Change['action'], { name: string; kind: 'good' | 'bad' | 'accent' | 'warn' }> = {
  added: { name: 'added', kind: 'good' },
  changed: { name: 'changed', kind: 'accent' },
  removed: { name: 'removed', kind: 'bad' },
  set: { name: 'set', kind: 'warn' },
}

const TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/

/** What a value is, to be written by its kind. `named`: what a public id belongs to. */
export function worded(
  value: unknown,
  named: (id: string) => string | undefined,
): { text: string; time?: true; none?: true } {
  if (value === null || value === undefined || value === '') return { text: 'nothing', none: true }
  if (typeof value === 'boolean') return { text: value ? 'yes' : 'no' }
  if (typeof value === 'string') {
    if (TIME.test(value)) return { text: value, time: true }
    return { text: named(value) ?? value }
  }
  if (Array.isArray(value)) return { text: value.map((one) => worded(one, named).text).join(', ') }
  return { text: typeof value === 'object' ? JSON.stringify(value) : String(value) }
}

/** What tells entries apart; they have no id of their own. */
export function changeKey({ time, kind, public_id, action, after }: Change): string {
  return JSON.stringify([time, kind, public_id, action, after])
}
