import { beforeEach, describe, expect, it } from 'vitest'
import type { Event, Experiment } from '@/api/types'
import { Track } from '@/charts/track'
import { firstFew, remember, remembered } from '@/pages/experiments/charted'
import { asTyped, fromTyped, lasted, stretchOf, within } from '@/pages/experiments/moment'
import { nextName } from '@/pages/experiments/naming'
import { statistics } from '@/pages/experiments/statistics'

const experiment: Experiment = {
  public_id: 'x',
  name: 'Run 1',
  started_on: '2026-03-01T10:00:00.000400Z',
  stopped_on: '2026-03-01T11:00:00.500900Z',
  user_public_id: null,
}
const start = Date.parse('2026-03-01T10:00:00Z')

describe('moments of an experiment', () => {
  it('are not before its start nor after its end, not by a microsecond', () => {
    expect(stretchOf(experiment, 0)).toEqual({ from: start + 1, until: start + 3_600_500 })
    expect(stretchOf({ ...experiment, stopped_on: null }, start + 5_000)).toEqual({
      from: start + 1,
      until: start + 5_000,
    })
    expect(within(0, { from: 5, until: 9 })).toBe(5)
    expect(within(12, { from: 5, until: 9 })).toBe(9)
  })
  it('are typed in the zone they are shown in', () => {
    expect(asTyped(start + 1_500, 'utc')).toBe('2026-03-01T10:00:01')
    expect(fromTyped('2026-03-01T10:00:01', 'utc')).toBe(start + 1_000)
    expect(fromTyped(asTyped(start, 'local'), 'local')).toBe(start)
    expect(fromTyped('', 'utc')).toBeNull()
  })
  it('end now, while it runs', () => {
    expect(lasted(experiment, 0)).toBe(3_600_500)
    expect(lasted({ ...experiment, stopped_on: null }, start + 2_000)).toBe(2_000)
  })
})

describe('the events of its chart', () => {
  const kept = new Map<string, string>()
  beforeEach(() => {
    kept.clear()
    const storage = {
      getItem: (key: string) => kept.get(key) ?? null,
      setItem: (key: string, text: string) => kept.set(key, text),
    }
    Object.assign(globalThis, { localStorage: storage })
  })
  it('are the first few, unit by unit, of two units', () => {
    const units = ['°C', 'bar', '°C', '%', 'bar', '°C']
    const events = units.map((unit, i) => ({ public_id: `e${i}`, unit }) as Event)
    expect(firstFew(events)).toEqual(['e0', 'e2', 'e5', 'e1', 'e4'])
    expect(firstFew([])).toEqual([])
  })
  it('are remembered for each of the newest hundred', () => {
    expect(remembered('x')).toBeNull()
    for (let i = 0; i < 101; i++) remember(`x${i}`, [`e${i}`])
    expect(remembered('x0')).toBeNull()
    expect(remembered('x100')).toEqual(['e100'])
  })
})

describe('statistics', () => {
  const track = new Track()
  for (const [at, value] of [
    [0, 100],
    [10, 1],
    [20, 2],
    [30, 6],
    [40, 100],
  ] as const)
    track.append(at, value)
  it('are of the points in the stretch, its ends included', () => {
    expect(statistics(track, { from: 10, until: 30 })).toEqual({ points: 3, min: 1, max: 6, mean: 3 })
  })
  it('are none where there is no point', () => {
    expect(statistics(track, { from: 41, until: 50 })).toBeNull()
    expect(statistics(undefined, { from: 0, until: 50 })).toBeNull()
  })
})

describe('the next name', () => {
  it('counts on', () => {
    expect(nextName(['Run 8', 'Run 9'])).toBe('Run 10')
    expect(nextName(['T007'])).toBe('T008')
  })
  it('is none that is taken', () => {
    expect(nextName(['Run 2', 'Run 1'])).toBe('Run 3')
  })
  it('is nothing, where there is no number', () => {
    expect(nextName(['Heating'])).toBe('')
    expect(nextName([])).toBe('')
  })
})
