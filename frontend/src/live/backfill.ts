/**
 * The last minutes of tiles that come into sight, asked for together: a screen with hundreds of tiles asks some twenty
 * times, one question after the other, and those that scroll by are left out.
 */

import type { Api } from '@/api/http'
import { fetchHistory } from '@/charts/history'
import type { Readings } from './readings'

const GATHER_MS = 80
const AT_ONCE = 20
const POINTS = 120
/** What was asked for a moment ago is known. */
const FRESH_MS = 60_000

interface Wish {
  event: string
  done: () => void
}

let wishes = new Map<string, Wish>()
let working = false
const askedAt = new Map<string, number>()

export function backfill(
  api: Api,
  readings: Readings,
  now: number,
  span: number,
  event: string,
  done: () => void,
): void {
  const ring = readings.ring(event)
  const whole = ring.length > 1 && ring.time(0) <= now - span && !hasHole(ring.time(ring.length - 1), now)
  if (whole || now - (askedAt.get(event) ?? -Infinity) < FRESH_MS) return
  wishes.set(event, { event, done })
  if (!working) {
    working = true
    setTimeout(() => void work(api, readings, span), GATHER_MS)
  }
}

function hasHole(last: number, now: number): boolean {
  return now - last > FRESH_MS
}

async function work(api: Api, readings: Readings, span: number): Promise<void> {
  try {
    while (wishes.size > 0) {
      const some = [...wishes.values()].slice(0, AT_ONCE)
      for (const { event } of some) wishes.delete(event)
      const until = readings.newestTime || Date.now()
      const ids = some.map(({ event }) => event)
      const found = await fetchHistory(api, ids, { from: until - span, until }, POINTS)
      for (const { event, done } of some) {
        askedAt.set(event, until)
        readings.ring(event).merge(found.get(event) ?? [])
        done()
      }
    }
  } catch {
    // The curves begin when the page was opened, as they would without a past; the next that come into sight ask again.
    wishes = new Map()
  } finally {
    working = false
  }
}
