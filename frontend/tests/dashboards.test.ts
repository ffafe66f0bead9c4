import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { ApiError } from '@/api/http'
import type { Event } from '@/api/types'
import { Ring } from '@/live/readings'
import {
  answer,
  ends,
  isCommand,
  reached,
  settable,
  step,
  switched,
  takenAt,
} from '@/pages/dashboards/actuator'
import { configOf, withConfig } from '@/pages/dashboards/config'
import { figures } from '@/pages/dashboards/figures'
import { firstFree, overlap, rows, shown, stepped, type Place } from '@/pages/dashboards/layout'
import { useSaving } from '@/pages/dashboards/saving'

const event = (type: Event['type'], min_value: number, max_value: number): Event => ({
  public_id: 'e',
  name: 'Heater',
  unit: '%',
  type,
  min_value,
  max_value,
  user_public_id: null,
})

describe('a layout', () => {
  test('gives a new widget the first place that is free', () => {
    const taken = [
      { x: 0, y: 0, w: 6, h: 3 },
      { x: 9, y: 0, w: 3, h: 3 },
    ]
    expect(firstFree(taken, 3, 3)).toEqual({ x: 6, y: 0, w: 3, h: 3 })
    expect(firstFree(taken, 4, 2)).toEqual({ x: 0, y: 3, w: 4, h: 2 })
    expect(firstFree([], 12, 1)).toEqual({ x: 0, y: 0, w: 12, h: 1 })
  })

  test('never gives away what is taken', () => {
    const taken: { x: number; y: number; w: number; h: number }[] = []
    for (let i = 0; i < 40; i++) {
      const place = firstFree(taken, 1 + (i % 5), 1 + (i % 3))
      expect(taken.some((other) => overlap(place, other))).toBe(false)
      taken.push(place)
    }
    expect(rows(taken)).toBeGreaterThan(1)
  })

  test('shows what other clients have put anywhere', () => {
    expect(shown({ x: -4, y: -1, w: 40, h: 99 })).toEqual({ x: 0, y: 0, w: 12, h: 12 })
    expect(shown({ x: 11, y: 2, w: 4, h: 3 })).toEqual({ x: 8, y: 2, w: 4, h: 3 })
  })

  test('is changed by the keyboard as far as there is room', () => {
    const place = { x: 8, y: 0, w: 4, h: 3 }
    expect(stepped(place, 'left', false)).toEqual({ x: 7, y: 0, w: 4, h: 3 })
    expect(stepped(place, 'right', false)).toBeNull()
    expect(stepped(place, 'up', false)).toBeNull()
    expect(stepped(place, 'right', true)).toBeNull()
    expect(stepped(place, 'left', true)).toEqual({ x: 8, y: 0, w: 3, h: 3 })
  })
})

describe('what a widget is told to show', () => {
  test('is read from whatever is there', () => {
    expect(configOf({ config_json: null, event_public_id: null })).toMatchObject({
      events: [],
      window: 600_000,
      text: '',
    })
    for (const broken of ['', '[]', 'null', '{"events": 5, "window": "x"}', '{'])
      expect(configOf({ config_json: broken, event_public_id: 'a' }).events).toEqual(['a'])
    expect(configOf({ config_json: '{"events": ["b", "a", 7]}', event_public_id: 'a' }).events).toEqual([
      'a',
      'b',
    ])
  })

  test('keeps the keys of others', () => {
    expect(
      JSON.parse(withConfig({ config_json: '{"colour": "red", "window": 1000}' }, { window: 2000 })!),
    ).toEqual({
      colour: 'red',
      window: 2000,
    })
    expect(withConfig({ config_json: null }, {})).toBeNull()
  })
})

describe('an actuator', () => {
  test('is switched where there is nothing between', () => {
    expect(switched(event('actuator', 0, 1))).toBe(true)
    expect(switched(event('cmd_button', 0, 100))).toBe(true)
    expect(switched(event('actuator', 0, 100))).toBe(false)
    expect(ends(event('cmd_opened', 0, 0))).toEqual({ off: 0, on: 1 })
    expect(step(event('range', 0, 100))).toBe(1)
    expect(step(event('range', 0, 2.5))).toBe(0.01)
  })

  test('has reached what devices round to', () => {
    expect(reached(event('actuator', 0, 100), 33.333, 33.3)).toBe(true)
    expect(reached(event('actuator', 0, 100), 33, 34)).toBe(false)
  })

  test('is pending until the device reports it, and late after a while', () => {
    const heater = event('actuator', 0, 100)
    const command = { value: 50, at: 100_000, own: 100_050 }
    expect(answer(heater, null, undefined, 100_000)).toBe('idle')
    expect(answer(heater, command, { time: 99_900, value: 20 }, 100_500)).toBe('pending')
    expect(answer(heater, command, { time: 90_000, value: 50 }, 100_500)).toBe('pending')
    expect(answer(heater, command, { time: 100_100, value: 50 }, 100_500)).toBe('idle')
    expect(answer(heater, command, undefined, 120_000)).toBe('late')
  })

  test('is not confirmed by the command, which the server stores as a reading, too', () => {
    const heater = event('actuator', 0, 100)
    const command = { value: 50, at: 100_000, own: null }
    const own = { time: 99_800, value: 50 } // our idea of the server's time is off
    expect(isCommand(command, own)).toBe(true)
    expect(isCommand(command, { time: 99_900, value: 20 })).toBe(false)
    expect(answer(heater, command, own, 100_500)).toBe('pending')
    const readings = [
      { time: 90_000, value: 50 },
      { time: 99_700, value: 20 },
      own,
      { time: 99_950, value: 50 },
    ]
    expect(takenAt(command, readings, 0)).toBe(99_800)
    expect(takenAt(command, readings, 99_800)).toBe(99_950)
    expect(takenAt(command, readings.slice(0, 2), 0)).toBeNull()
    const known = { ...command, own: 99_800 }
    expect(answer(heater, known, own, 100_500)).toBe('pending')
    expect(answer(heater, known, own, 111_000)).toBe('late')
    expect(answer(heater, known, { time: 99_950, value: 50.01 }, 100_500)).toBe('idle')
    expect(isCommand(known, { time: 99_950, value: 50 })).toBe(false)
    expect(answer(heater, known, own, 800_000)).toBe('idle')
  })

  test('is nothing that measures', () => {
    expect(settable(event('sensor', 0, 1))).toBe(false)
    expect(settable(event('cmd_button', 0, 1))).toBe(true)
  })
})

test('figures are of the last minutes', () => {
  const ring = new Ring(100)
  expect(figures(ring, 1000)).toBeNull()
  ;[90, 1, 3, 2].forEach((value, i) => ring.push(i * 1000, value))
  expect(figures(ring, 2000)).toEqual({ low: 1, high: 3, mean: 2, change: 1 })
})

describe('saving', () => {
  beforeEach(() => {
    vi.useFakeTimers()
    vi.stubGlobal('window', globalThis)
  })
  afterEach(() => {
    vi.useRealTimers()
    vi.unstubAllGlobals()
  })
  const place = (x: number) => ({ x, y: 0, w: 1, h: 1 })

  test('is of the last place, once, a moment after it', async () => {
    const put = vi.fn(() => Promise.resolve())
    const saving = useSaving(put)
    saving.moved('a', place(1))
    saving.moved('a', place(2))
    expect(saving.state.value).toBe('saving')
    await vi.advanceTimersByTimeAsync(1000)
    expect(put.mock.calls).toEqual([['a', place(2)]])
    expect(saving.state.value).toBe('saved')
  })

  test('keeps what failed, and tries it again when told to', async () => {
    const put = vi.fn(() => Promise.reject(new Error('The server cannot be reached.')))
    const saving = useSaving(put)
    saving.moved('a', place(1))
    await vi.advanceTimersByTimeAsync(1000)
    expect(saving.state.value).toBe('failed')
    expect(saving.failure.value).toBe('The server cannot be reached.')
    put.mockImplementation(() => Promise.resolve() as never)
    expect(await saving.flush()).toBe(true)
    expect(saving.state.value).toBe('saved')
  })

  test('is not held up by a widget that is gone, nor by one that is refused', async () => {
    const put = vi.fn((widget: string) =>
      widget === 'gone'
        ? Promise.reject(new ApiError(404, 'There is no widget.'))
        : widget === 'bad'
          ? Promise.reject(new ApiError(422, 'w: at most 12.'))
          : Promise.resolve(),
    )
    const lost = vi.fn()
    const saving = useSaving(put, lost)
    for (const [i, widget] of ['gone', 'bad', 'good'].entries()) saving.moved(widget, place(i))
    expect(await saving.flush()).toBe(false)
    expect(lost.mock.calls).toEqual([['gone']])
    expect(put).toHaveBeenCalledWith('good', place(2))
    expect(saving.failure.value).toBe('w: at most 12.')
    put.mockClear()
    expect(await saving.flush()).toBe(false)
    expect(put.mock.calls.map(([widget]) => widget)).toEqual(['bad'])
  })

  test('asks once where nobody answers', async () => {
    const put = vi.fn(() => Promise.reject(new ApiError(0, 'The server cannot be reached.')))
    const saving = useSaving(put)
    for (const widget of ['a', 'b', 'c']) saving.moved(widget, place(1))
    expect(await saving.flush()).toBe(false)
    expect(put).toHaveBeenCalledTimes(1)
    expect(saving.state.value).toBe('failed')
  })

  test('goes on with what moved while it was under way', async () => {
    let done: () => void = () => undefined
    const put = vi.fn<(widget: string, place: Place) => Promise<void>>(
      () => new Promise((resolve) => (done = resolve)),
    )
    const saving = useSaving(put)
    saving.moved('a', place(1))
    await vi.advanceTimersByTimeAsync(700)
    saving.moved('a', place(2))
    done()
    await vi.advanceTimersByTimeAsync(700)
    done()
    await vi.advanceTimersByTimeAsync(0)
    expect(put.mock.calls.map(([, where]) => where.x)).toEqual([1, 2])
    expect(saving.state.value).toBe('saved')
  })
})
