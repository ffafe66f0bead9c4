import { describe, expect, it } from 'vitest'
import { hints, isLocal, type Watched } from '@/pages/start/hints'
import { EVERY_MS, LASTS_MS, Sender, waveAt } from '@/pages/start/sender'
import { reachable, restored, START, stepOf } from '@/pages/start/steps'

describe('the steps', () => {
  const named = { ...START, kind: 'script' as const }
  const made = { ...named, plugin: 'p' }

  it('are open as far as something was made', () => {
    expect(reachable(START)).toEqual(['choose'])
    expect(reachable(named)).toEqual(['choose', 'name'])
    expect(reachable(made).at(-1)).toBe('connect')
    expect(reachable({ ...made, arrived: true }).at(-1)).toBe('live')
  })
  it('go back where one asks, and else on where one was', () => {
    expect(stepOf('choose', made)).toBe('choose')
    expect(stepOf('live', made)).toBe('connect')
    expect(stepOf(undefined, made)).toBe('connect')
    expect(stepOf(['name'], START)).toBe('choose')
  })
  it('are taken up again, unless what was kept cannot be understood', () => {
    expect(restored(JSON.stringify(made))).toEqual(made)
    for (const text of [null, 'x', '{"kind":"other"}', 'null']) expect(restored(text)).toEqual(START)
  })
})

describe('hints', () => {
  const now: Watched = {
    kind: 'script',
    seconds: 3,
    tokenUsed: false,
    status: 'inactive',
    enabled: true,
    errorMessage: null,
    unknownIds: 0,
    events: 1,
    local: false,
    origin: 'http://plant:8000',
  }
  const said = (more: Partial<Watched>) => hints({ ...now, ...more }).join(' ')

  it('are not given before it is time', () => expect(hints(now)).toEqual([]))
  it('say after a while that nothing has reached the server', () => {
    expect(said({ seconds: 15 })).toContain('No script has reached the server')
    expect(said({ seconds: 15 })).toContain('http://plant:8000/health')
    expect(said({ seconds: 15, local: true })).toContain('this machine')
    expect(said({ seconds: 15, tokenUsed: null })).not.toContain('No script')
  })
  it('say that the server is reached when the token was used', () => {
    expect(said({ seconds: 15, tokenUsed: true })).toContain('none of its readings')
    expect(said({ seconds: 15, tokenUsed: true, kind: 'device' })).toContain('controller has reached')
  })
  it('say at once what is known for sure', () => {
    expect(said({ unknownIds: 2 })).toContain('2 ids')
    expect(said({ status: 'error', errorMessage: 'no such port' })).toContain('no such port')
    expect(said({ enabled: false })).toContain('switched off')
    expect(said({ events: 0 })).toContain('no channel')
  })
  it('know addresses that mean another machine elsewhere', () => {
    expect(['localhost', '127.0.0.1', '[::1]'].every(isLocal)).toBe(true)
    expect(isLocal('plant.example.org')).toBe(false)
  })
})

describe('the sender', () => {
  function stage(send: (value: number) => Promise<unknown>) {
    let time = 0
    let beat: (() => void) | null = null
    const sender = new Sender(
      {
        send,
        every: (work) => ((beat = work), () => (beat = null)),
        now: () => time,
        random: () => 0.5,
      },
      () => undefined,
    )
    const pass = async (ms: number) => {
      await Promise.resolve().then(() => undefined)
      for (const end = time + ms; time < end;) {
        time += EVERY_MS
        beat?.()
        await Promise.resolve().then(() => undefined)
        await Promise.resolve()
      }
    }
    return { sender, pass }
  }

  it('sends twice a second for a minute, and stops', async () => {
    const values: number[] = []
    const { sender, pass } = stage((value) => (values.push(value), Promise.resolve()))
    sender.start()
    await pass(LASTS_MS + 5_000)
    expect(sender.running).toBe(false)
    expect(values.length).toBe(LASTS_MS / EVERY_MS)
    expect(Math.max(...values) - Math.min(...values)).toBeGreaterThan(5)
  })
  it('leaves out beats while the server is busy', async () => {
    let calls = 0
    const { sender, pass } = stage(() => (calls++, new Promise(() => undefined)))
    sender.start()
    await pass(5_000)
    expect(calls).toBe(1)
  })
  it('says why nothing goes, and goes on', async () => {
    let bad = true
    const { sender, pass } = stage(() => (bad ? Promise.reject(new Error('away')) : Promise.resolve()))
    sender.start()
    await pass(1_000)
    expect(sender.failure).toBe('away')
    bad = false
    await pass(1_000)
    expect(sender.failure).toBe('')
    expect(sender.sent).toBeGreaterThan(0)
    sender.stop()
    expect(sender.left).toBe(0)
  })
  it('changes slowly', () => {
    for (let ms = 0; ms < 30_000; ms += EVERY_MS)
      expect(Math.abs(waveAt(ms + EVERY_MS, 0.5) - waveAt(ms, 0.5))).toBeLessThan(0.6)
  })
})
