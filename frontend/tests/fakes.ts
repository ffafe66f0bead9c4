/** Stand-ins for what a browser gives: time, sockets, frames. */

import type { Heard, Reading, Surroundings } from '@/live/connection'

/** Timers that run when a test says so. */
export class FakeTimers {
  now = 0
  private last = 0
  private readonly waiting = new Map<number, { at: number; work: () => void }>()

  get pending(): number {
    return this.waiting.size
  }

  readonly set = (work: () => void, delay: number): number => {
    this.waiting.set(++this.last, { at: this.now + delay, work })
    return this.last
  }

  readonly clear = (timer: number): void => void this.waiting.delete(timer)

  /** Let time go by: what is due runs in its order, and what was promised is kept in between. */
  async pass(ms: number): Promise<void> {
    const until = this.now + ms
    await settled()
    for (;;) {
      const due = [...this.waiting].sort((a, b) => a[1].at - b[1].at || a[0] - b[0])[0]
      if (due === undefined || due[1].at > until) break
      this.now = Math.max(this.now, due[1].at)
      this.waiting.delete(due[0])
      due[1].work()
      await settled()
    }
    this.now = until
  }
}

/** Until what was promised is kept. */
export async function settled(): Promise<void> {
  for (let i = 0; i < 10; i++) await Promise.resolve()
}

export class FakeSocket {
  onmessage: ((message: { data: unknown }) => void) | null = null
  onclose: ((close: { code: number; reason: string }) => void) | null = null
  readonly sent: string[] = []
  open = true

  send(text: string): void {
    this.sent.push(text)
  }

  close(): void {
    this.open = false
  }

  says(message: unknown): void {
    this.onmessage?.({ data: JSON.stringify(message) })
  }

  greets(): void {
    this.says({ type: 'connected', message: 'Subscribed to live datapoint stream.' })
  }

  /** The other side, or the network, ends it. */
  ends(code = 1006, reason = ''): void {
    this.open = false
    this.onclose?.({ code, reason })
  }
}

export function reading(event: string, value: number, at = 0): Reading {
  const timestamp = new Date(at).toISOString()
  return { event_public_id: event, value, timestamp, experiment_public_id: null }
}

/** One question for the newest readings, to be answered by the test. */
export interface Question {
  answer: (readings: Reading[]) => void
  fail: () => void
}

/** What a connection needs, and a record of what it said. */
export class FakeWorld implements Surroundings, Heard {
  readonly timers = new FakeTimers()
  readonly sockets: FakeSocket[] = []
  readonly questions: Question[] = []
  readonly modes: string[] = []
  readonly values: number[] = []
  readonly refusals: string[] = []
  resumptions = 0
  /** Each question for the newest readings is answered at once. */
  answers = true
  blocked = false
  readonly setTimeout = this.timers.set
  readonly clearTimeout = this.timers.clear

  open(): WebSocket {
    if (this.blocked) throw new Error('The operation is insecure.')
    const socket = new FakeSocket()
    this.sockets.push(socket)
    return socket as unknown as WebSocket
  }

  latest(): Promise<Reading[]> {
    return new Promise((resolve, reject) => {
      this.questions.push({ answer: resolve, fail: () => reject(new Error('no answer')) })
      if (this.answers) resolve([reading('polled', this.questions.length)])
    })
  }

  random(): number {
    return 1
  }

  readings(readings: Reading[]): void {
    this.values.push(...readings.map(({ value }) => value))
  }

  mode(mode: string): void {
    this.modes.push(mode)
  }

  resumed(): void {
    this.resumptions++
  }

  refused(reason: string): void {
    this.refusals.push(reason)
  }

  get socket(): FakeSocket {
    return this.sockets.at(-1)!
  }

  get openSockets(): number {
    return this.sockets.filter(({ open }) => open).length
  }
}
