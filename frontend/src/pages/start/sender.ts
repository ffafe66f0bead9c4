/** Readings of this very page, for who just wants to see something move: a slow wave, twice a second, for a minute. */

export const EVERY_MS = 500
export const LASTS_MS = 60_000

/** Somewhere between 18 and 26, slowly, with a little noise. */
export function waveAt(ms: number, noise: number): number {
  return Math.round((22 + 4 * Math.sin((2 * Math.PI * ms) / 25_000) + 0.3 * (noise - 0.5)) * 100) / 100
}

export interface Surroundings {
  send(value: number): Promise<unknown>
  every(work: () => void, ms: number): () => void
  now(): number
  random(): number
}

export class Sender {
  sent = 0
  failure = ''
  private startedAt = 0
  private end: (() => void) | null = null
  private busy = false

  constructor(
    private readonly around: Surroundings,
    private readonly changed: () => void,
  ) {}

  get running(): boolean {
    return this.end !== null
  }

  /** How much is left, in ms. */
  get left(): number {
    return this.running ? Math.max(0, LASTS_MS - (this.around.now() - this.startedAt)) : 0
  }

  /** From now on, for a minute; anew, if it is going on already. */
  start(): void {
    this.stop()
    this.sent = 0
    this.failure = ''
    this.startedAt = this.around.now()
    this.end = this.around.every(() => void this.beat(), EVERY_MS)
    void this.beat()
    this.changed()
  }

  stop(): void {
    this.end?.()
    this.end = null
    this.changed()
  }

  /** A beat at which the server is still busy with the one before is left out. */
  private async beat(): Promise<void> {
    if (this.left === 0) return this.stop()
    if (this.busy) return
    this.busy = true
    try {
      await this.around.send(waveAt(this.around.now(), this.around.random()))
      this.sent++
      this.failure = ''
    } catch (error) {
      this.failure = error instanceof Error ? error.message : String(error)
    }
    this.busy = false
    this.changed()
  }
}
