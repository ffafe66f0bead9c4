/** Which events are shown, in which order and groups. */

import type { Event } from '@/api/types'
import type { Source } from '@/stores/catalog'

export type Show = 'all' | 'charted' | 'problems'

export interface Choice {
  words: string
  device: string
  show: Show
}

export interface Group {
  /** The plugin instance; '' for events that are linked to none. */
  key: string
  source: Source['plugin'] | null
  events: Event[]
}

/** The events that match, by device, devices in the order they were made; those of none come last. */
export function chosen(
  events: readonly Event[],
  sources: ReadonlyMap<string, Source>,
  choice: Choice,
  charted: ReadonlySet<string>,
  troubled: (event: Event) => boolean,
): Group[] {
  const words = choice.words.toLowerCase().split(/\s+/).filter(Boolean)
  const groups = new Map<string, Group>()
  for (const event of events) {
    const source = sources.get(event.public_id)
    const plugin = source?.plugin ?? null
    const key = plugin?.public_id ?? ''
    if (choice.device !== '' && choice.device !== (key || 'none')) continue
    if (choice.show === 'charted' && !charted.has(event.public_id)) continue
    if (choice.show === 'problems' && !troubled(event)) continue
    const text = `${event.name} ${event.unit} ${plugin?.instance_name ?? ''} ${event.type}`.toLowerCase()
    if (!words.every((word) => text.includes(word))) continue
    let group = groups.get(key)
    if (group === undefined) groups.set(key, (group = { key, source: plugin, events: [] }))
    group.events.push(event)
  }
  return [...groups.values()].sort(
    (a, b) =>
      Number(a.key === '') - Number(b.key === '') ||
      (a.source?.created_on ?? '').localeCompare(b.source?.created_on ?? ''),
  )
}

/** An event's name without that of its device, under whose heading it stands: "Reactor – Pressure" is "Pressure". */
export function shortName(event: Event, device: string | undefined): string {
  const prefix = `${device ?? ''} – `
  return device && event.name.startsWith(prefix) ? event.name.slice(prefix.length) : event.name
}
