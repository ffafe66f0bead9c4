import fc from 'fast-check'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { duration, elapsed, number, plain, time, withUnit, zoneName } from '@/format'

describe('a number', () => {
  it.each([
    [0, '0'],
    [-0, '0'],
    [NaN, '–'],
    [Infinity, '–'],
    [0.00001234, '1.234e-5'],
    [0.00012345, '1.234e-4'],
    [0.0123456, '0.01235'],
    [0.5, '0.5000'],
    [1, '1.000'],
    [-1.23456, '-1.235'],
    [21.5, '21.50'],
    [101.325, '101.3'],
    [1013, '1013'],
    [1013.25, '1013.3'],
    [98_765.4, '98765'],
    [12_345_678, '1.235e+7'],
  ])('%d is read as "%s"', (value, text) => expect(number(value)).toBe(text))

  it('is never wide, and never wrong by more than its last digit', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.double({ noNaN: true, min: -1e300, max: 1e300 }),
          fc.double({ noNaN: true, min: -2, max: 2 }),
        ),
        (value) => {
          const text = number(value)
          expect(text.length).toBeLessThanOrEqual(11)
          expect(Math.abs(Number(text) - value)).toBeLessThanOrEqual(Math.abs(value) * 6e-4 + 1e-320)
        },
      ),
    )
  })

  it('has its unit, if it has one', () => {
    expect(withUnit(21.5, '°C')).toBe('21.50 °C')
    expect(withUnit(1, '')).toBe('1.000')
  })

  it('is plain where somebody types it', () => {
    expect(plain(0.1 + 0.2)).toBe('0.3')
    expect(plain(500)).toBe('500')
  })
})

describe('a stretch of time', () => {
  it.each([
    [-5, '0.0 s'],
    [340, '0.3 s'],
    [9_960, '10 s'],
    [12_400, '12 s'],
    [99_700, '100 s'],
    [240_000, '4 min'],
    [10_800_000, '3 h'],
    [172_800_000, '2 days'],
  ])('%d ms is "%s"', (ms, text) => expect(duration(ms)).toBe(text))

  it.each([
    [-1, '0:00:00'],
    [59_999, '0:00:59'],
    [3_723_000, '1:02:03'],
    [360_000_000, '100:00:00'],
  ])('%d ms has elapsed: "%s"', (ms, text) => expect(elapsed(ms)).toBe(text))
})

describe('a time', () => {
  afterEach(() => vi.unstubAllEnvs())

  it('is shown in UTC or in the zone of the viewer, around the clock', () => {
    vi.stubEnv('TZ', 'Asia/Kolkata')
    const at = Date.UTC(2026, 10, 22, 18, 57, 25)
    expect(time(at, 'utc', 'second')).toBe('18:57:25')
    expect(time(at, 'local', 'second')).toBe('00:27:25')
    expect(time(at, 'utc')).toMatch(/Nov 22, 2026, 18:57:25/)
    expect(time(at, 'local', 'day')).toBe('Nov 23')
  })

  it.each([
    ['Asia/Kolkata', /\(UTC\+5:30\)$/],
    ['America/New_York', /^America\/New_York \(UTC−5\)$/],
    ['Europe/London', /^Europe\/London \(UTC\)$/],
    ['UTC', /^UTC$/],
  ])('in %s says what zone that is', (zone, name) => {
    vi.stubEnv('TZ', zone)
    expect(zoneName('local', new Date(Date.UTC(2026, 0, 1)))).toMatch(name)
    expect(zoneName('utc')).toBe('UTC')
  })
})
