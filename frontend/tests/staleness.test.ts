import { expect, test } from 'vitest'
import { Ring } from '@/live/readings'
import { staleAfter } from '@/live/staleness'

function ring(pauses: number[]): Ring {
  const made = new Ring(100)
  let time = 1_000
  made.push(time, 0)
  for (const pause of pauses) made.push((time += pause), 0)
  return made
}

test('a quick sensor is stale after ten seconds', () => {
  expect(staleAfter(ring([200, 200, 200]))).toBe(10_000)
})

test('a slow sensor is stale after five of its usual pauses, whatever one long pause was', () => {
  expect(staleAfter(ring([60_000, 60_000, 3_600_000, 60_000]))).toBe(300_000)
})

test('of a sensor that spoke once, nothing is known', () => {
  expect(staleAfter(ring([]))).toBe(60_000)
})
