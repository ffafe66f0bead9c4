/** The points of one event in a chart: by time, filled from history, appended to live, thinned when there are too many. */

export interface Point {
  time: number
  value: number
}

export class Track {
  times: number[] = []
  values: number[] = []
  private readonly limit: number

  /** `limit`: so many points at most are kept. */
  constructor(limit = 8_000) {
    this.limit = Math.max(8, limit) // of fewer, nothing could be left out
  }

  get length(): number {
    return this.times.length
  }

  /** Take a live reading. One that is not newer than the last is left to the history. */
  append(time: number, value: number): boolean {
    if (this.length > 0 && time <= this.times[this.length - 1]!) return false
    this.times.push(time)
    this.values.push(value)
    this.bound()
    return true
  }

  /**
   * What history says of a stretch of time replaces what is known of it. Live readings that are newer than history's last
   * are newer than its answer, and stay: all of them, if it has none.
   */
  fill(from: number, until: number, points: readonly Point[]): void {
    const [first, last] = [points[0]?.time, points.at(-1)?.time]
    if (first === undefined || last === undefined) return
    // It was asked for in whole milliseconds, so its first point may lie a fraction of one before.
    const before = lowerBound(this.times, Math.min(from, first))
    const after = lowerBound(this.times, Math.min(until, last) + 1e-3)
    this.times = [...this.times.slice(0, before), ...points.map((p) => p.time), ...this.times.slice(after)]
    this.values = [
      ...this.values.slice(0, before),
      ...points.map((p) => p.value),
      ...this.values.slice(after),
    ]
    this.bound()
  }

  /** Forget what is older, but for one point, from which the line enters the picture. */
  trim(before: number): void {
    const first = lowerBound(this.times, before) - 1
    if (first > 0) {
      this.times.splice(0, first)
      this.values.splice(0, first)
    }
  }

  clear(): void {
    this.times = []
    this.values = []
  }

  /** The last value at or before a time. */
  at(time: number): number | null {
    const i = lowerBound(this.times, time + 1e-6) - 1
    return i < 0 ? null : this.values[i]!
  }

  private bound(): void {
    while (this.length > this.limit) this.thin()
  }

  /** Of the older three quarters, half of the points go: of each four, the smallest and the largest stay. */
  private thin(): void {
    const old = Math.floor((this.length * 3) / 16) * 4
    const times: number[] = []
    const values: number[] = []
    for (let start = 0; start < old; start += 4) {
      let low = start
      let high = start
      for (let i = start + 1; i < start + 4; i++) {
        if (this.values[i]! < this.values[low]!) low = i
        if (this.values[i]! >= this.values[high]!) high = i
      }
      for (const i of [Math.min(low, high), Math.max(low, high)]) {
        times.push(this.times[i]!)
        values.push(this.values[i]!)
      }
    }
    this.times = times.concat(this.times.slice(old))
    this.values = values.concat(this.values.slice(old))
  }
}

export interface Curve {
  times: number[]
  values: number[]
}

/** What holds its value until another one is set: its curve goes on to the end of the picture. */
export function held(track: Curve, until: number): Curve {
  const { times, values } = track
  if (times.length === 0 || times.at(-1)! >= until) return track
  return { times: [...times, until], values: [...values, values.at(-1)!] }
}

/** The first place whose time is not before `time`. */
export function lowerBound(times: readonly number[], time: number): number {
  let low = 0
  let high = times.length
  while (low < high) {
    const middle = (low + high) >> 1
    if (times[middle]! < time) low = middle + 1
    else high = middle
  }
  return low
}
