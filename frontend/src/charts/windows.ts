/** How far back a chart may reach. */

const MINUTE = 60_000
const HOUR = 60 * MINUTE
const DAY = 24 * HOUR

export const WINDOWS: readonly { ms: number; name: string }[] = [
  { ms: MINUTE, name: '1 minute' },
  { ms: 5 * MINUTE, name: '5 minutes' },
  { ms: 10 * MINUTE, name: '10 minutes' },
  { ms: 30 * MINUTE, name: '30 minutes' },
  { ms: HOUR, name: '1 hour' },
  { ms: 6 * HOUR, name: '6 hours' },
  { ms: DAY, name: '1 day' },
  { ms: 3 * DAY, name: '3 days' },
  { ms: 10 * DAY, name: '10 days' },
]
