/** Figures of the points that a chart shows. */

import type { Stretch } from '@/charts/history'
import { lowerBound, type Track } from '@/charts/track'

export interface Statistics {
  points: number
  min: number
  max: number
  mean: number
}

/** Of the points within the stretch, both ends included; null: there are none. */
export function statistics(track: Track | undefined, { from, until }: Stretch): Statistics | null {
  if (track === undefined) return null
  const first = lowerBound(track.times, from)
  const end = lowerBound(track.times, until + 1e-3)
  if (end <= first) return null
  let [min, max, sum] = [Infinity, -Infinity, 0]
  for (let i = first; i < end; i++) {
    const value = track.values[i]!
    if (value < min) min = value
    if (value > max) max = value
    sum += value
  }
  return { points: end - first, min, max, mean: sum / (end - first) }
}
