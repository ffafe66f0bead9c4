/**
 * The way of live readings into the browser, as the specification has it: a WebSocket first; after three failures in a
 * row the newest readings are polled, while the socket is tried again; polling ends when it is back.
 *
 * It knows neither Vue nor the page: sockets, requests and timers come in, so tests bring their own.
 */

export type ConnectionMode = 'websocket' | 'polling' | 'connecting'

export interface Reading {
  event_public_id: string
  value: number
  timestamp: string
  experiment_public_id: string | null
}

export interface Surroundings {
  /** Open the stream's socket; the token is put into its address at the last moment. */
  open(): WebSocket
  /** Ask for the newest reading of each event. */
  latest(): Promise<Reading[]>
  setTimeout(work: () => void, delay: number): number
  clearTimeout(timer: number): void
  random(): number
}

export interface Heard {
  readings(readings: Reading[]): void
  mode(mode: ConnectionMode): void
  /** The stream is here (again): what was missed since may be asked for. */
  resumed(): void
  /** The token is not good any more; nothing more is tried. */
  refused(reason: string): void
}

export const PING_MS = 25_000
export const POLL_MS = 1_500
export const FAILURES = 3
const FIRST_RETRY_MS = 500
const LONGEST_RETRY_MS = 10_000
/** A server that takes the connection and then says nothing has failed, too. */
const GREETING_MS = 10_000
/** No answer to a ping for so long: the link is gone, whatever the operating system still believes. */
const PONG_MS = 10_000

const POLICY_VIOLATION = 1008

export class Connection {
  private socket: WebSocket | null = null
  private failures = 0
  private mode: ConnectionMode = 'connecting'
  private stopped = true
  /** The polling that is under way: what one asked for is not taken by the next. */
  private polling: symbol | null = null
  private readonly timers = { retry: 0, ping: 0, pong: 0, poll: 0, greeting: 0 }

  constructor(
    private readonly around: Surroundings,
    private readonly heard: Heard,
  ) {}

  start(): void {
    if (!this.stopped) return
    this.stopped = false
    this.failures = 0
    this.become('connecting')
    this.connect()
  }

  stop(): void {
    this.stopped = true
    this.polling = null
    for (const name of Object.keys(this.timers) as (keyof typeof this.timers)[]) this.cancel(name)
    this.leave()
  }

  /** The machine was asleep or the network has come back: do not wait for a timer to find out. */
  hurry(): void {
    if (this.stopped) return
    if (this.mode === 'websocket') this.ping()
    else if (this.socket === null) {
      this.cancel('retry')
      this.connect()
    }
  }

  private connect(): void {
    let socket: WebSocket
    try {
      socket = this.around.open()
    } catch {
      // A browser, or what somebody has put into it, may let no socket be opened at all; readings can still be polled.
      this.lost()
      return
    }
    this.socket = socket
    this.after('greeting', GREETING_MS, () => this.lost())
    socket.onmessage = (message) => {
      if (socket === this.socket) this.receive(message.data)
    }
    socket.onclose = (close) => {
      if (socket !== this.socket) return
      if (close.code === POLICY_VIOLATION) {
        this.stop()
        this.heard.refused(close.reason || 'the server has ended this session')
      } else this.lost()
    }
  }

  private receive(data: unknown): void {
    const message = JSON.parse(String(data)) as { type?: string; datapoints?: Reading[] }
    switch (message.type) {
      case 'connected':
        this.cancel('greeting')
        this.failures = 0
        this.polling = null
        this.cancel('poll')
        this.after('ping', PING_MS, () => this.ping())
        this.become('websocket')
        this.heard.resumed()
        break
      case 'datapoints_batch':
        this.heard.readings(message.datapoints ?? [])
        break
      case 'pong':
        this.cancel('pong')
        break
    }
  }

  private ping(): void {
    this.socket?.send('{"type":"ping"}')
    if (this.timers.pong === 0) this.after('pong', PONG_MS, () => this.lost())
    this.after('ping', PING_MS, () => this.ping())
  }

  private lost(): void {
    this.leave()
    this.failures++
    for (const name of ['greeting', 'ping', 'pong'] as const) this.cancel(name)
    const longest = Math.min(LONGEST_RETRY_MS, FIRST_RETRY_MS * 2 ** (this.failures - 1))
    // Not all browsers of a laboratory at the same moment, when their server comes back.
    this.after('retry', longest * (0.5 + this.around.random() / 2), () => this.connect())
    if (this.mode === 'websocket') this.become('connecting')
    else if (this.failures >= FAILURES) this.poll()
  }

  private poll(): void {
    if (this.polling !== null) return
    const mine = (this.polling = Symbol('polling'))
    void this.round(mine)
    this.become('polling')
  }

  private async round(mine: symbol): Promise<void> {
    // When there is no answer, the page shows how old its newest reading is; the next round asks again.
    const readings = await this.around.latest().catch(() => null)
    if (this.polling !== mine) return
    this.after('poll', POLL_MS, () => void this.round(mine))
    if (readings !== null) this.heard.readings(readings)
  }

  private leave(): void {
    const socket = this.socket
    this.socket = null
    socket?.close()
  }

  private become(mode: ConnectionMode): void {
    if (mode === this.mode && mode !== 'connecting') return
    this.mode = mode
    this.heard.mode(mode)
  }

  private after(name: keyof typeof this.timers, delay: number, work: () => void): void {
    this.cancel(name)
    this.timers[name] = this.around.setTimeout(() => {
      this.timers[name] = 0
      if (!this.stopped) work()
    }, delay)
  }

  private cancel(name: keyof typeof this.timers): void {
    if (this.timers[name] !== 0) this.around.clearTimeout(this.timers[name])
    this.timers[name] = 0
  }
}
