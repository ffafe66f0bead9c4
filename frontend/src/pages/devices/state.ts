/** How a device is doing, in words. */

import type { Plugin } from '@/api/types'
import { COMMON, OWN } from './adopt'

export interface State {
  label: string
  kind: '' | 'good' | 'warn' | 'bad' | 'accent'
  /** What it means. */
  about: string
}

/** Readings no older than this show that it is there, before the list does. */
const FRESH_MS = 10_000

/** `age`: how long ago something was heard from it, in ms; null: never. */
export function stateOf(
  plugin: Pick<Plugin, 'enabled' | 'status' | 'demo_mode'>,
  age: number | null = null,
): State {
  if (!plugin.enabled)
    return { label: 'switched off', kind: '', about: 'Its readings are not stored while it is switched off.' }
  const here = plugin.status === 'inactive' && age !== null && age < FRESH_MS
  switch (here ? (plugin.demo_mode ? 'demo' : 'connected') : plugin.status) {
    case 'connected':
      return { label: 'connected', kind: 'good', about: 'Readings come in.' }
    case 'demo':
      return { label: 'demo', kind: 'accent', about: 'Made-up readings come in: it runs in demo mode.' }
    case 'error':
      return { label: 'error', kind: 'bad', about: 'Its controller says that something is wrong.' }
    default:
      return { label: 'inactive', kind: 'warn', about: 'Nothing was heard from it lately.' }
  }
}

/** What kind of device it is; those of one's own are no plugins that could be looked up. */
export function kindOf(
  plugin: Pick<Plugin, 'plugin_id' | 'instance_name'>,
  names: ReadonlyMap<string, string>,
): string {
  if (plugin.plugin_id === OWN)
    return plugin.instance_name === COMMON ? 'From anywhere' : 'Script or controller of your own'
  return names.get(plugin.plugin_id) ?? plugin.plugin_id
}

/** Whether a script speaks for it, not the controller. */
export function isOwn(plugin: Pick<Plugin, 'plugin_id'>): boolean {
  return plugin.plugin_id === OWN
}

/** When something was heard of it last, in ms; the live readings know it sooner than the list does. Null: never. */
export function lastHeard(
  plugin: Pick<Plugin, 'last_seen' | 'channel_mappings'>,
  newest: ReadonlyMap<string, { time: number }>,
): number | null {
  let last = plugin.last_seen === null ? -Infinity : Date.parse(plugin.last_seen)
  for (const channel of plugin.channel_mappings)
    if (channel.direction !== 'output' && channel.event_public_id !== null)
      last = Math.max(last, newest.get(channel.event_public_id)?.time ?? -Infinity)
  return last === -Infinity ? null : last
}

export function linkedCount(plugin: Pick<Plugin, 'channel_mappings'>): number {
  return plugin.channel_mappings.filter((channel) => channel.event_public_id !== null).length
}
