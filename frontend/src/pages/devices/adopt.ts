/** What an id that arrives in readings becomes with one click: defaults that hold, and can be changed. */

import type { Event, EventType, Plugin, Unlinked } from '@/api/types'

/** The `plugin_id` of instances that no controller serves: readings of these come from a script, or from anywhere. */
export const OWN = 'adopted'
/** What the server calls the one that ids are linked to unless another one is named. */
export const COMMON = 'Adopted readings'

export interface Adoption {
  event_public_id: string
  name: string
  unit: string
  min_value: number
  max_value: number
  type: EventType
  /** The instance it is linked to; without it, the server's own one for such readings. */
  plugin_public_id?: string
}

export const EVENT_TYPES: readonly { value: EventType; label: string }[] = [
  { value: 'sensor', label: 'Sensor' },
  { value: 'actuator', label: 'Actuator' },
  { value: 'range', label: 'Range' },
  { value: 'cmd_button', label: 'Button' },
  { value: 'cmd_opened', label: 'Opened' },
  { value: 'cmd_closed', label: 'Closed' },
]

/** Round bounds that hold what was seen with room to spare; from 0, unless something was below. */
export function niceRange(low: number, high: number): { min: number; max: number } {
  const reach = (size: number) => (size === 0 ? 0 : roundUp(size * 1.5))
  const max = high > 0 ? reach(high) : 0
  const min = low < 0 ? -reach(-low) : 0
  return min === max ? { min: 0, max: 1 } : { min: clean(min), max }
}

/** The next of …, 0.5, 1, 2, 5, 10, 20, 50, … that is not below. */
function roundUp(size: number): number {
  if (!Number.isFinite(size)) return Number.MAX_VALUE
  const power = 10 ** Math.floor(Math.log10(size))
  for (const step of [1, 2, 5, 10]) {
    const found = Number((step * power).toPrecision(1))
    if (found >= size) return found
  }
  return Number.MAX_VALUE
}

const clean = (value: number) => (Object.is(value, -0) ? 0 : value)

/** A name that nobody has yet: with a number behind it, if need be. */
export function freeName(name: string, taken: ReadonlySet<string>): string {
  if (!taken.has(name)) return name
  for (let n = 2; ; n++) if (!taken.has(`${name} ${n}`)) return `${name} ${n}`
}

/** An id that can be read and typed, made of a name: "Kiln temperature" is `kiln-temperature`. */
export function readableId(name: string, taken: { has(id: string): boolean }): string {
  const plain = name.normalize('NFKD').replace(/\p{M}/gu, '').toLowerCase()
  const id =
    plain
      .replace(/[^a-z0-9]+/g, '-')
      .slice(0, 60)
      .replace(/^-+|-+$/g, '') || 'reading'
  if (id !== 'unlinked' && !taken.has(id)) return id
  for (let n = 2; ; n++) if (!taken.has(`${id}-${n}`)) return `${id}-${n}`
}

/**
 * The instance that an unknown id most likely belongs to: the newest one of a script. Its token opens that instance alone,
 * and any other sender may send to it as well. Empty: there is none.
 */
export function likelyDevice(
  plugins: readonly Pick<Plugin, 'plugin_id' | 'instance_name' | 'enabled' | 'created_on' | 'public_id'>[],
): string {
  const own = plugins.filter((one) => one.plugin_id === OWN && one.enabled && one.instance_name !== COMMON)
  own.sort((a, b) => Date.parse(b.created_on) - Date.parse(a.created_on))
  return own[0]?.public_id ?? ''
}

/** What is asked for when somebody just clicks. */
export function defaults(
  seen: Pick<Unlinked, 'event_public_id'> & { low: number; high: number },
  events: ReadonlyMap<string, Event>,
  device: string,
): Adoption {
  const known = events.get(seen.event_public_id)
  const { min, max } = niceRange(seen.low, seen.high)
  const names = new Set([...events.values()].map((event) => event.name))
  return {
    event_public_id: seen.event_public_id,
    name: known?.name ?? freeName(seen.event_public_id, names),
    unit: known?.unit ?? '',
    min_value: known?.min_value ?? min,
    max_value: known?.max_value ?? max,
    type: (known?.type as EventType | undefined) ?? 'sensor',
    ...(device === '' ? {} : { plugin_public_id: device }),
  }
}

/** What is wrong with it; empty: nothing. */
export function complaint(adoption: Adoption): string {
  if (adoption.name.trim() === '') return 'Give it a name.'
  if (!Number.isFinite(adoption.min_value) || !Number.isFinite(adoption.max_value))
    return 'Lowest and highest have to be numbers.'
  if (adoption.min_value > adoption.max_value) return 'Lowest is above highest.'
  return ''
}
