/** Which events the chart of an experiment shows: those chosen on this machine, else the first few sensors. */

import type { Api } from '@/api/http'
import type { Event } from '@/api/types'
import { fetchHistory, type Stretch } from '@/charts/history'

const KEY = 'webmacs.experiments.charted'
const REMEMBERED = 100
const MOST = 6
/** One axis at each side of the chart. */
const MOST_UNITS = 2
const AT_ONCE = 20
/** So many sensors at most are looked at, to find some with readings. */
const LOOKED_AT = 200

type Chosen = Record<string, string[]>

function stored(): Chosen {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? '{}') as Chosen
  } catch {
    return {} // somebody else's text under our key: begin anew
  }
}

export function remembered(experiment: string): string[] | null {
  return stored()[experiment] ?? null
}

export function remember(experiment: string, events: readonly string[]): void {
  const others = Object.entries(stored()).filter(([id]) => id !== experiment)
  const all = [...others, [experiment, [...events]] as const].slice(-REMEMBERED)
  localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(all)))
}

/** The first few, those of a unit together, of not more units than the chart has sides. */
export function firstFew(events: readonly Event[]): string[] {
  const units = new Map<string, Event[]>()
  for (const event of events) units.set(event.unit, [...(units.get(event.unit) ?? []), event])
  return [...units.values()]
    .slice(0, MOST_UNITS)
    .flat()
    .slice(0, MOST)
    .map((event) => event.public_id)
}

/**
 * Of the sensors, those that have readings in a stretch: some at a time, until there are enough for a chart.
 *
 * @throws ApiError
 */
export async function withReadings(
  api: Api,
  events: readonly Event[],
  stretch: Stretch,
  signal?: AbortSignal,
): Promise<Event[]> {
  const sensors = events.filter((event) => event.type === 'sensor').slice(0, LOOKED_AT)
  const found: Event[] = []
  for (let start = 0; start < sensors.length && found.length < MOST; start += AT_ONCE) {
    const some = sensors.slice(start, start + AT_ONCE)
    const ids = some.map((event) => event.public_id)
    const points = await fetchHistory(api, ids, stretch, 10, signal)
    found.push(...some.filter((event) => (points.get(event.public_id)?.length ?? 0) > 0))
  }
  return found
}
