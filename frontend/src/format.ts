/** Numbers, times and durations as people read them. */

/** A reading: as many digits as mean something, and never so many that a tile jumps. */
export function number(value: number): string {
  if (value === 0) return '0'
  if (!Number.isFinite(value)) return '–'
  const size = Math.abs(value)
  if (size >= 1e7 || size < 1e-3) return value.toExponential(3)
  if (size >= 1000) return value.toFixed(Number.isInteger(value) || size >= 10_000 ? 0 : 1)
  // Four digits that mean something, however small it is.
  return value.toFixed(3 - Math.floor(Math.log10(size)))
}

/** A number as somebody typed it: no digits that mean nothing. */
export function plain(value: number): string {
  return String(Number(value.toPrecision(12)))
}

export function withUnit(value: number, unit: string): string {
  return unit === '' ? number(value) : `${number(value)} ${unit}`
}

/** How long: "0.3 s", "12 s", "4 min", "3 h", "2 days". */
export function duration(ms: number): string {
  const s = Math.max(0, ms) / 1000
  if (s < 9.95) return `${s.toFixed(1)} s`
  if (s < 100) return `${Math.round(s)} s`
  if (s < 5_400) return `${Math.round(s / 60)} min`
  if (s < 130_000) return `${Math.round(s / 3_600)} h`
  return `${Math.round(s / 86_400)} days`
}

/** A stretch of time exactly: "1:02:03". */
export function elapsed(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000))
  const [h, m] = [Math.floor(s / 3600), Math.floor((s % 3600) / 60)]
  return `${h}:${String(m).padStart(2, '0')}:${String(s % 60).padStart(2, '0')}`
}

export type Zone = 'local' | 'utc'

const styles: Record<string, Intl.DateTimeFormatOptions> = {
  second: { hour: '2-digit', minute: '2-digit', second: '2-digit' },
  minute: { hour: '2-digit', minute: '2-digit' },
  full: {
    year: 'numeric',
    month: 'short',
    day: '2-digit',
    hour: '2-digit',
    minute: '2-digit',
    second: '2-digit',
  },
  day: { month: 'short', day: '2-digit' },
}
const formats = new Map<string, Intl.DateTimeFormat>()

/** A time in the viewer's zone or UTC. Which, the page always says: see `zoneName`. */
export function time(ms: number, zone: Zone, style: keyof typeof styles = 'full'): string {
  const key = `${zone} ${style}`
  let format = formats.get(key)
  if (format === undefined) {
    const timeZone = zone === 'utc' ? 'UTC' : undefined
    formats.set(
      key,
      (format = new Intl.DateTimeFormat(undefined, { ...styles[style], hourCycle: 'h23', timeZone })),
    )
  }
  return format.format(ms)
}

/** The name of a zone, with what it differs from UTC now: "UTC", "Europe/Berlin (UTC+1)". */
export function zoneName(zone: Zone, at: Date = new Date()): string {
  if (zone === 'utc') return 'UTC'
  const minutes = -at.getTimezoneOffset()
  const hours = Math.floor(Math.abs(minutes) / 60)
  const rest = Math.abs(minutes) % 60
  const offset = minutes === 0 ? 'UTC' : `UTC${minutes > 0 ? '+' : '−'}${hours}${rest ? `:${rest}` : ''}`
  const name = Intl.DateTimeFormat().resolvedOptions().timeZone
  return name === 'UTC' ? 'UTC' : `${name} (${offset})`
}
