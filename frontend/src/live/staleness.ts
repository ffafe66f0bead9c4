/** Since when a silence means something: sensors speak at a rhythm of their own. */

import type { Ring } from './readings'

const LEAST_MS = 10_000
const LOOKED_AT = 20

/** An event that has been silent for longer than this (ms) is stale: five of its usual pauses, ten seconds at least. */
export function staleAfter(ring: Ring): number {
  const pauses: number[] = []
  for (let i = Math.max(1, ring.length - LOOKED_AT); i < ring.length; i++)
    pauses.push(ring.time(i) - ring.time(i - 1))
  if (pauses.length === 0) return 60_000
  pauses.sort((a, b) => a - b)
  return Math.max(LEAST_MS, 5 * pauses[pauses.length >> 1]!)
}
