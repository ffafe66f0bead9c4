/** Points of the past, from the server. */

import type { Api } from '@/api/http'
import type { Point } from './track'

/** So many events at most are asked for at once; the server takes no more. */
const AT_ONCE = 20

export interface Stretch {
  /** ms since 1970, UTC */
  from: number
  until: number
}

/**
 * The readings of some events in a stretch of time, by time; where there are more than `points`, the smallest and largest
 * of equal intervals.
 *
 * @throws ApiError
 */
export async function fetchHistory(
  api: Api,
  events: readonly string[],
  stretch: Stretch,
  points: number,
  signal?: AbortSignal,
): Promise<Map<string, Point[]>> {
  const found = new Map<string, Point[]>()
  for (let start = 0; start < events.length; start += AT_ONCE) {
    const answer = await api.request<Record<string, { timestamp: string; value: number }[]>>(
      'datapoints/series',
      {
        method: 'POST',
        body: {
          event_public_ids: events.slice(start, start + AT_ONCE),
          from: new Date(stretch.from).toISOString(),
          until: new Date(stretch.until).toISOString(),
          max_points: Math.max(10, Math.min(2000, Math.round(points))),
        },
        signal,
        timeout: 60_000,
      },
    )
    for (const [event, series] of Object.entries(answer))
      found.set(
        event,
        series.map(({ timestamp, value }) => ({ time: Date.parse(timestamp), value })),
      )
  }
  return found
}

const BACK_MS = 30 * 86_400_000

/** What held when a stretch began: the last reading of each event before it, within a month. */
export async function fetchBefore(
  api: Api,
  events: readonly string[],
  time: number,
  signal?: AbortSignal,
): Promise<Map<string, Point>> {
  const found = await fetchHistory(api, events, { from: time - BACK_MS, until: time }, 10, signal)
  return new Map(
    [...found].flatMap(([event, points]) => (points.length === 0 ? [] : [[event, points.at(-1)!] as const])),
  )
}
