import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { Readings, Ring } from '@/live/readings'
import { reading } from './fakes'

function content(ring: Ring): [number, number][] {
  return Array.from({ length: ring.length }, (_, i) => [ring.time(i), ring.value(i)])
}

const points = fc.array(
  fc.record({ time: fc.integer({ min: 0, max: 300 }), value: fc.double({ noNaN: true }) }),
  { maxLength: 200 },
)

describe('a ring', () => {
  it('grows to its capacity, then the oldest goes', () => {
    const ring = new Ring(100)
    for (let i = 0; i < 250; i++) expect(ring.push(i, i * 2)).toBe(true)
    expect(ring.length).toBe(100)
    expect(content(ring)).toEqual(Array.from({ length: 100 }, (_, i) => [150 + i, 2 * (150 + i)]))
  })

  it('does not take what is not newer', () => {
    const ring = new Ring(10)
    ring.push(5, 1)
    expect(ring.push(5, 2)).toBe(false)
    expect(ring.push(4, 2)).toBe(false)
    expect(content(ring)).toEqual([[5, 1]])
  })

  it('is what a list would be that keeps the newest', () => {
    const step = fc.oneof(
      fc.record({ push: fc.tuple(fc.integer({ min: 0, max: 400 }), fc.double({ noNaN: true })) }),
      fc.record({ merge: points }),
    )
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 80 }), fc.array(step, { maxLength: 120 }), (capacity, steps) => {
        const ring = new Ring(capacity)
        let model: [number, number][] = []
        for (const one of steps) {
          if ('push' in one) {
            const [time, value] = one.push
            const newer = model.length === 0 || time > model.at(-1)![0]
            expect(ring.push(time, value)).toBe(newer)
            if (newer) model.push([time, value])
          } else {
            ring.merge(one.merge)
            const known = new Map(model)
            for (const { time, value } of one.merge)
              if (!model.some(([at]) => at === time)) known.set(time, value)
            model = [...known].sort((a, b) => a[0] - b[0])
          }
          model = model.slice(-capacity)
          expect(content(ring)).toEqual(model)
        }
        for (const time of [-1, 0, 17, 200, 1_000])
          expect(ring.since(time)).toBe(model.filter(([at]) => at < time).length)
      }),
    )
  })
})

function followed(capacity?: number) {
  const frames: (() => void)[] = []
  const readings = new Readings(capacity, (work) => frames.push(work))
  const frame = () => {
    for (const work of frames.splice(0)) work()
  }
  return { readings, frames, frame }
}

describe('live readings', () => {
  it('tell each listener once a frame, with the newest value', () => {
    const { readings, frames, frame } = followed()
    const told: number[] = []
    readings.follow('a', ({ value }) => told.push(value))
    for (let i = 1; i <= 50; i++) readings.receive([reading('a', i, i)])
    expect(told).toEqual([])
    expect(frames).toHaveLength(1)
    frame()
    expect(told).toEqual([50])
    frame()
    readings.receive([reading('a', 51, 51)])
    frame()
    expect(told).toEqual([50, 51])
  })

  it('tell only those who follow what has changed, however many there are', () => {
    const { readings, frame } = followed()
    const told = new Map<string, number>()
    for (let event = 0; event < 300; event++)
      for (let i = 0; i < 3; i++)
        readings.follow(`e${event}`, ({ value }) => told.set(`e${event}-${i}`, value))
    readings.receive([reading('e7', 1, 1), reading('e9', 2, 1), reading('nobody', 3, 1)])
    frame()
    expect([...told]).toEqual([
      ['e7-0', 1],
      ['e7-1', 1],
      ['e7-2', 1],
      ['e9-0', 2],
      ['e9-1', 2],
      ['e9-2', 2],
    ])
  })

  it('ask for no frame when nobody follows', () => {
    const { readings, frames } = followed()
    readings.receive([reading('a', 1, 1)])
    expect(frames).toHaveLength(0)
    expect(readings.newest.get('a')?.value).toBe(1)
  })

  it('are told at once to who begins to follow', () => {
    const { readings } = followed()
    readings.receive([reading('a', 1, 1)])
    const told = vi.fn()
    readings.follow('a', told)
    expect(told).toHaveBeenCalledOnce()
  })

  it('keep the newest by the time of measurement, not of arrival', () => {
    const { readings, frame } = followed()
    const told: number[] = []
    readings.follow('a', ({ value }) => told.push(value))
    readings.receive([reading('a', 2, 2_000)])
    frame()
    readings.receive([reading('a', 1, 1_000)])
    frame()
    expect(readings.newest.get('a')).toEqual({ time: 2_000, value: 2, experiment: null })
    expect(readings.newestTime).toBe(2_000)
    expect(told.at(-1)).toBe(2)
    expect(content(readings.ring('a'))).toEqual([[2_000, 2]])
  })

  it('take of two at the same time the later one', () => {
    const { readings } = followed()
    readings.receive([reading('a', 1, 1_000), reading('a', 2, 1_000)])
    expect(readings.newest.get('a')?.value).toBe(2)
  })

  it('tell who follows all of them each one in order, but none that is late', () => {
    const { readings } = followed()
    const told: unknown[] = []
    const end = readings.followAll((...one) => told.push(one))
    readings.receive([reading('a', 1, 10), reading('b', 2, 10), reading('a', 3, 20), reading('a', 4, 15)])
    end()
    readings.receive([reading('a', 5, 30)])
    expect(told).toEqual([
      ['a', 10, 1],
      ['b', 10, 2],
      ['a', 20, 3],
    ])
  })

  it('tell nobody who has left, also not in the frame in which it leaves', () => {
    const { readings, frame } = followed()
    const told: string[] = []
    const ends: (() => void)[] = []
    ends.push(
      readings.follow('a', () => {
        told.push('first')
        for (const end of ends) end()
      }),
    )
    ends.push(readings.follow('a', () => told.push('second')))
    readings.receive([reading('a', 1, 1)])
    frame()
    readings.receive([reading('a', 2, 2)])
    frame()
    expect(told).toEqual(['first'])
  })

  it('may be followed anew from within a call', () => {
    const { readings, frame } = followed()
    let calls = 0
    let end: () => void = () => undefined
    const listener = () => {
      calls++
      if (calls > 50) throw new Error('round and round')
      const before = end
      end = () => undefined
      before()
      if (calls === 1) end = readings.follow('a', listener)
    }
    end = readings.follow('a', listener)
    readings.receive([reading('a', 1, 1)])
    frame()
    expect(calls).toBe(2)
    readings.receive([reading('a', 2, 2)])
    frame()
    expect(calls).toBe(3)
  })

  it('reach the others when one listener fails', () => {
    const { readings, frame } = followed()
    const failures: unknown[] = []
    vi.stubGlobal('reportError', (error: unknown) => failures.push(error))
    const told: number[] = []
    readings.follow('a', () => {
      throw new Error('a tile cannot be drawn')
    })
    readings.follow('a', ({ value }) => told.push(value))
    readings.follow('b', ({ value }) => told.push(value))
    readings.receive([reading('a', 1, 1), reading('b', 2, 1)])
    frame()
    vi.unstubAllGlobals()
    expect(told).toEqual([1, 2])
    expect(failures).toHaveLength(1)
  })

  it('are forgotten when somebody else signs in', () => {
    const { readings, frame } = followed()
    const told = vi.fn()
    readings.follow('a', told)
    readings.receive([reading('a', 1, 1)])
    readings.clear()
    frame()
    expect(told).not.toHaveBeenCalled()
    expect(readings.newest.size).toBe(0)
    expect(readings.newestTime).toBe(0)
    readings.receive([reading('a', 2, 2)])
    frame()
    expect(told).toHaveBeenCalledOnce()
  })
})
