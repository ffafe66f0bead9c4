/**
 * The readings that came in live: of each event the newest ones, in arrays that are made once and then only written to.
 * At thousands of readings a second nothing here is reactive; who wants to know is told once a frame.
 */

import type { Reading } from './connection'

/** The newest readings of one event, by time, in a ring that grows up to its capacity. Times are ms since 1970, UTC. */
export class Ring {
  private times: Float64Array
  private values: Float64Array
  private first = 0
  length = 0

  constructor(private readonly capacity: number) {
    this.times = new Float64Array(Math.min(32, capacity))
    this.values = new Float64Array(this.times.length)
  }

  /** Takes a reading that is newer than all others, and says whether it was. */
  push(time: number, value: number): boolean {
    if (this.length > 0 && time <= this.time(this.length - 1)) return false
    if (this.length === this.times.length && this.length < this.capacity) this.grow()
    const size = this.times.length
    const place = (this.first + this.length) % size
    this.times[place] = time
    this.values[place] = value
    if (this.length < size) this.length++
    else this.first = (this.first + 1) % size
    return true
  }

  /** The time of the i-th reading, the oldest being 0. */
  time(i: number): number {
    return this.times[(this.first + i) % this.times.length]!
  }

  value(i: number): number {
    return this.values[(this.first + i) % this.values.length]!
  }

  /** The first reading at or after a time; `length` when there is none. */
  since(time: number): number {
    let low = 0
    let high = this.length
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.time(middle) < time) low = middle + 1
      else high = middle
    }
    return low
  }

  /** Take readings of the past, by time, also between those that are there; the oldest go when it is full. */
  merge(points: readonly { time: number; value: number }[]): void {
    const all = new Map<number, number>()
    for (const { time, value } of points) all.set(time, value)
    for (let i = 0; i < this.length; i++) all.set(this.time(i), this.value(i))
    const sorted = [...all].sort((a, b) => a[0] - b[0]).slice(-this.capacity)
    this.first = this.length = 0
    for (const [time, value] of sorted) this.push(time, value)
  }

  private grow(): void {
    const size = Math.min(this.capacity, this.times.length * 2)
    const times = new Float64Array(size)
    const values = new Float64Array(size)
    for (let i = 0; i < this.length; i++) {
      times[i] = this.time(i)
      values[i] = this.value(i)
    }
    this.times = times
    this.values = values
    this.first = 0
  }
}

export interface Newest {
  /** When it was measured, ms since 1970, UTC. */
  time: number
  value: number
  experiment: string | null
}

type Listener = (newest: Newest, ring: Ring) => void
export type BatchListener = (event: string, time: number, value: number) => void

export class Readings {
  readonly newest = new Map<string, Newest>()
  /** When the newest reading of all was measured; 0: there is none yet. */
  newestTime = 0
  private readonly rings = new Map<string, Ring>()
  private readonly listeners = new Map<string, Set<Listener>>()
  private readonly batchListeners = new Set<BatchListener>()
  private readonly changed = new Set<string>()
  private frame = 0
  private parsedText = ''
  private parsedTime = 0

  constructor(
    private readonly capacity = 2_000,
    private readonly requestFrame: (work: () => void) => number = requestAnimationFrame.bind(globalThis),
  ) {}

  receive(readings: readonly Reading[]): void {
    for (const { event_public_id: event, value, timestamp, experiment_public_id: experiment } of readings) {
      const time = this.parse(timestamp)
      const newest = this.newest.get(event)
      if (newest === undefined) this.newest.set(event, { time, value, experiment })
      else if (time >= newest.time) {
        newest.time = time
        newest.value = value
        newest.experiment = experiment
      }
      if (time > this.newestTime) this.newestTime = time
      if (this.ring(event).push(time, value))
        for (const listener of this.batchListeners) listener(event, time, value)
      if (this.listeners.has(event)) this.changed.add(event)
    }
    if (this.changed.size > 0 && this.frame === 0) this.frame = this.requestFrame(() => this.tell())
  }

  /** The ring of an event, empty if nothing came yet. */
  ring(event: string): Ring {
    let ring = this.rings.get(event)
    if (ring === undefined) this.rings.set(event, (ring = new Ring(this.capacity)))
    return ring
  }

  /** Be told of an event's newest reading: at once if there is one, then at most once a frame. Returns how to end it. */
  follow(event: string, listener: Listener): () => void {
    let listeners = this.listeners.get(event)
    if (listeners === undefined) this.listeners.set(event, (listeners = new Set()))
    listeners.add(listener)
    const newest = this.newest.get(event)
    if (newest !== undefined) listener(newest, this.ring(event))
    return () => {
      listeners.delete(listener)
      if (listeners.size === 0 && this.listeners.get(event) === listeners) this.listeners.delete(event)
    }
  }

  /** Be told of every reading, in order, as it comes. */
  followAll(listener: BatchListener): () => void {
    this.batchListeners.add(listener)
    return () => this.batchListeners.delete(listener)
  }

  /** Forget everything: somebody else signs in. */
  clear(): void {
    this.newest.clear()
    this.rings.clear()
    this.newestTime = 0
  }

  private tell(): void {
    this.frame = 0
    for (const event of this.changed) {
      const newest = this.newest.get(event)
      if (newest === undefined) continue
      for (const listener of this.listeners.get(event) ?? []) {
        try {
          listener(newest, this.ring(event))
        } catch (error) {
          reportError(error) // one tile that cannot be drawn must not keep the others from their values
        }
      }
    }
    this.changed.clear()
  }

  /** Readings of one batch share their time, so its text is read once. */
  private parse(text: string): number {
    if (text !== this.parsedText) {
      this.parsedText = text
      this.parsedTime = Date.parse(text)
    }
    return this.parsedTime
  }
}
