/** Figures of the last minutes. */

import type { Ring } from '@/live/readings'

export interface Figures {
  low: number
  high: number
  mean: number
  /** The newest value less the first of the stretch. */
  change: number
}

/** Of the readings of the last so many ms; null: there are none. */
export function figures(ring: Ring, span: number): Figures | null {
  if (ring.length === 0) return null
  const first = ring.since(ring.time(ring.length - 1) - span)
  let [low, high, sum] = [Infinity, -Infinity, 0]
  for (let i = first; i < ring.length; i++) {
    const value = ring.value(i)
    low = Math.min(low, value)
    high = Math.max(high, value)
    sum += value
  }
  return {
    low,
    high,
    mean: sum / (ring.length - first),
    change: ring.value(ring.length - 1) - ring.value(first),
  }
}
