import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ServerClock } from '@/live/clock'

/** A server whose clock is `ahead` ms, and answers with whole seconds. */
function ask(clock: ServerClock, ahead: number, askedAt: number, there: number, back: number): void {
  const serverTime = Math.floor((askedAt + there + ahead) / 1000) * 1000
  clock.heard(askedAt, askedAt + there + back, serverTime)
}

describe('the clock of the server', () => {
  it('is this machine’s until it has been heard', () => {
    expect(new ServerClock(() => 5_000).time()).toBe(5_000)
  })

  it('is this machine’s while the answers do not speak against it', () => {
    const clock = new ServerClock(() => 10_400)
    clock.heard(10_300, 10_400, 10_000)
    expect(clock.time()).toBe(10_400)
  })

  it('is found to within the time an answer takes, by answers at different fractions of a second', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -86_400_000, max: 86_400_000 }),
        fc.array(
          fc.record({
            pause: fc.integer({ min: 0, max: 60_000 }),
            there: fc.integer({ min: 1, max: 2_000 }),
            back: fc.integer({ min: 1, max: 2_000 }),
          }),
          { minLength: 1, maxLength: 40 },
        ),
        (ahead, answers) => {
          let now = 1_700_000_000_000
          const clock = new ServerClock(() => now)
          let shortest = Infinity
          for (const { pause, there, back } of answers) {
            now += pause
            ask(clock, ahead, now, there, back)
            now += there + back
            shortest = Math.min(shortest, there + back)
            expect(Math.abs(clock.offset - ahead)).toBeLessThanOrEqual((1_000 + shortest) / 2)
          }
          expect(Math.abs(clock.time() - (now + ahead))).toBeLessThanOrEqual(1_000 + shortest)
        },
      ),
    )
  })

  it('is within a tenth of a second after some answers', () => {
    let now = 1_700_000_000_000
    const clock = new ServerClock(() => now)
    for (let i = 0; i < 30; i++) {
      ask(clock, 7_200_345, now, 10, 10)
      now += 1_037
    }
    expect(Math.abs(clock.offset - 7_200_345)).toBeLessThan(100)
  })

  it('begins anew when one of the clocks was set', () => {
    let now = 1_700_000_000_000
    const clock = new ServerClock(() => now)
    for (let i = 0; i < 20; i++) ask(clock, 3_600_000, (now += 1_037), 10, 10)
    for (let i = 0; i < 20; i++) ask(clock, -60_000, (now += 1_037), 10, 10)
    expect(Math.abs(clock.offset + 60_000)).toBeLessThan(100)
  })

  it('learns nothing from an answer during which this machine’s clock was set back', () => {
    const clock = new ServerClock(() => 12_500)
    clock.heard(20_000, 12_500, 20_000)
    expect(clock.time()).toBe(12_500)
    expect(clock.offset).toBe(0)
  })
})
