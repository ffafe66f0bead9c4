/**
 * What time it is at the server. A browser's clock may be wrong by hours, and "0.3 s ago" must not be.
 *
 * Each answer has a `Date`, whole seconds, which was true at some moment between the question and the answer. So the
 * difference of the two clocks lies in an interval; several answers at different fractions of a second narrow it down.
 */
export class ServerClock {
  private low = -Infinity
  private high = Infinity

  constructor(private readonly now: () => number = Date.now) {}

  /** The server said `serverTime` (ms, whole seconds) after `askedAt` and before `heardAt` (ms, this machine's). */
  heard(askedAt: number, heardAt: number, serverTime: number): void {
    if (heardAt < askedAt) return // this machine's clock was set back meanwhile
    const low = serverTime - heardAt
    const high = serverTime + 1000 - askedAt
    if (low > this.high || high < this.low) {
      // one of the clocks was set: what was known is worth nothing
      this.low = low
      this.high = high
    } else {
      this.low = Math.max(this.low, low)
      this.high = Math.min(this.high, high)
    }
  }

  /** How far the server is ahead of this machine, in ms; within half a second after the first answer, then closer. */
  get offset(): number {
    return Number.isFinite(this.low) && Number.isFinite(this.high) ? (this.low + this.high) / 2 : 0
  }

  /** The server's time, in ms. What is within the uncertainty of the clocks is taken as right. */
  time(): number {
    const mine = this.now()
    if (this.low <= 0 && this.high >= 0) return mine
    return mine + this.offset
  }
}
