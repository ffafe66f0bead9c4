import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { held, lowerBound, Track, type Point } from '@/charts/track'

function content(track: Track): Point[] {
  return track.times.map((time, i) => ({ time, value: track.values[i]! }))
}

function filled(track: Track, points: readonly (readonly [number, number])[]): void {
  for (const [time, value] of points) track.append(time, value)
}

function extremes(values: readonly number[]): [number, number] {
  return [Math.min(...values), Math.max(...values)]
}

describe('a track', () => {
  it('takes live readings in order, and leaves what is late to the history', () => {
    const track = new Track()
    expect(track.append(10, 1)).toBe(true)
    expect(track.append(10, 2)).toBe(false)
    expect(track.append(9, 2)).toBe(false)
    expect(track.append(11, 3)).toBe(true)
    expect(content(track)).toEqual([
      { time: 10, value: 1 },
      { time: 11, value: 3 },
    ])
  })

  it('has the history where it knows better, and keeps what came live after it', () => {
    const track = new Track()
    filled(track, [
      [1, 1],
      [5, 5],
      [6, 6],
      [9, 9],
    ])
    track.fill(4, 8, [
      { time: 4, value: 40 },
      { time: 5, value: 50 },
    ])
    expect(content(track)).toEqual([
      { time: 1, value: 1 },
      { time: 4, value: 40 },
      { time: 5, value: 50 },
      { time: 6, value: 6 },
      { time: 9, value: 9 },
    ])
  })

  it('keeps what came live when the history has nothing yet', () => {
    const track = new Track()
    filled(track, [
      [1, 1],
      [2, 2],
    ])
    track.fill(0, 10, [])
    expect(track.length).toBe(2)
  })

  it('has no point twice when the history begins within the millisecond it was asked from', () => {
    const track = new Track()
    filled(track, [
      [1_000, 1],
      [2_000, 2],
    ])
    track.fill(1_000.4, 2_000.7, [
      { time: 1_000, value: 1 },
      { time: 1_500, value: 3 },
      { time: 2_000, value: 2 },
    ])
    expect(track.times).toEqual([1_000, 1_500, 2_000])
  })

  it('forgets what is older, but for the point from which the line comes in', () => {
    const track = new Track()
    for (let time = 0; time < 10; time++) track.append(time, time)
    track.trim(5)
    expect(track.times).toEqual([4, 5, 6, 7, 8, 9])
    track.trim(4.5)
    track.trim(0)
    expect(track.times).toEqual([4, 5, 6, 7, 8, 9])
    track.trim(100)
    expect(track.times).toEqual([9])
  })

  it('knows the last value at a time', () => {
    const track = new Track()
    filled(track, [
      [10, 1],
      [20, 2],
    ])
    expect([9, 10, 15, 20, 99].map((time) => track.at(time))).toEqual([null, 1, 1, 2, 2])
    track.clear()
    expect(track.at(99)).toBeNull()
  })

  it('keeps a spike of one reading among a hundred thousand', () => {
    const track = new Track(1_000)
    for (let time = 0; time < 100_000; time++)
      track.append(time, time === 31_234 ? 999 : time === 60_001 ? -999 : Math.sin(time / 500))
    expect(track.length).toBeLessThanOrEqual(1_000)
    expect(extremes(track.values)).toEqual([-999, 999])
    expect(track.at(99_999)).toBe(Math.sin(99_999 / 500))
  })

  it('keeps the newest quarter as it came when it is thinned', () => {
    const track = new Track(400)
    for (let time = 0; time <= 400; time++) track.append(time, time % 7)
    expect(track.times.slice(-100)).toEqual(Array.from({ length: 100 }, (_, i) => 301 + i))
  })

  it('has no more points than its limit after a long history', () => {
    const track = new Track(100)
    track.fill(
      0,
      2_000,
      Array.from({ length: 2_000 }, (_, time) => ({ time, value: time })),
    )
    expect(track.length).toBeLessThanOrEqual(100)
    expect(extremes(track.values)).toEqual([0, 1_999])
  })

  it('keeps what came live just where history begins and has nothing yet', () => {
    const track = new Track()
    track.append(1_000, 5)
    track.fill(1_000, 2_000, [])
    expect(content(track)).toEqual([{ time: 1_000, value: 5 }])
  })

  it('is what plain lists would be, in order, with the extremes of all it was given', () => {
    const value = fc.integer({ min: -1_000, max: 1_000 })
    const step = fc.oneof(
      { weight: 6, arbitrary: fc.record({ append: fc.tuple(fc.integer({ min: -3, max: 20 }), value) }) },
      {
        weight: 2,
        arbitrary: fc.record({
          fill: fc.tuple(
            fc.double({ min: 0, max: 1_000, noNaN: true }),
            fc.double({ min: 0, max: 400, noNaN: true }),
            fc.array(fc.tuple(fc.nat(400), value), { maxLength: 60 }),
          ),
        }),
      },
      { weight: 1, arbitrary: fc.record({ trim: fc.integer({ min: 0, max: 1_200 }) }) },
    )
    fc.assert(
      fc.property(fc.integer({ min: 8, max: 400 }), fc.array(step, { maxLength: 150 }), (limit, steps) => {
        const track = new Track(limit)
        let model: Point[] = []
        let thinned = false
        let now = 0
        for (const one of steps) {
          if ('append' in one) {
            now += one.append[0]
            const newer = model.length === 0 || now > model.at(-1)!.time
            expect(track.append(now, one.append[1])).toBe(newer)
            if (newer) model.push({ time: now, value: one.append[1] })
          } else if ('fill' in one) {
            const [from, span, some] = one.fill
            const until = from + span
            // As the server answers: whole milliseconds within what was asked for, by time, each once.
            const byTime = new Map(some.map(([after, v]) => [Math.floor(from) + after, v]))
            const points = [...byTime]
              .filter(([time]) => time <= until)
              .sort((a, b) => a[0] - b[0])
              .map(([time, v]) => ({ time, value: v }))
            track.fill(from, until, points)
            if (points.length > 0) {
              const begin = Math.min(from, points[0]!.time)
              const end = points.at(-1)!.time
              model = [
                ...model.filter(({ time }) => time < begin),
                ...points,
                ...model.filter(({ time }) => time > end),
              ]
            }
          } else {
            track.trim(one.trim)
            if (thinned) {
              model = model.filter(({ time }) => time >= (track.times[0] ?? 0))
            } else {
              const kept = model.findIndex(({ time }) => time >= one.trim)
              model = model.slice(Math.max(0, (kept < 0 ? model.length : kept) - 1))
            }
          }
          if (model.length > limit) thinned = true
          expect(track.length).toBeLessThanOrEqual(limit)
          for (let i = 1; i < track.length; i++) expect(track.times[i]!).toBeGreaterThan(track.times[i - 1]!)
          expect(track.times).toHaveLength(track.values.length)
          if (!thinned) expect(content(track)).toEqual(model)
          else model = content(track)
        }
      }),
    )
  })

  it('keeps the extremes however often it is thinned', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 8, max: 60 }),
        fc.array(fc.double({ noNaN: true }), { minLength: 1, maxLength: 500 }),
        (limit, values) => {
          const track = new Track(limit)
          values.forEach((value, time) => track.append(time, value))
          expect(extremes(track.values)).toEqual(extremes(values))
          expect(track.values.at(-1)).toBe(values.at(-1))
        },
      ),
    )
  })
})

describe('the first place at or after a time', () => {
  it('is where it would be put', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(50)), fc.nat(50), (times, time) => {
        times.sort((a, b) => a - b)
        expect(lowerBound(times, time)).toBe(times.filter((one) => one < time).length)
      }),
    )
  })
})

function track(times: number[], values: number[]): Track {
  const made = new Track()
  times.forEach((time, i) => made.append(time, values[i]!))
  return made
}

it('what holds its value goes on to the end of the picture, and no further', () => {
  expect(held(track([1, 5], [10, 20]), 9)).toEqual({ times: [1, 5, 9], values: [10, 20, 20] })
  expect(held(track([1, 9], [10, 20]), 9)).toMatchObject({ times: [1, 9], values: [10, 20] })
  expect(held(track([], []), 9)).toMatchObject({ times: [], values: [] })
})
