/** An event as somebody types it, and what is wrong with it. */

import type { Event, EventType } from '@/api/types'
import { plain } from '@/format'

export interface Draft {
  name: string
  type: EventType
  unit: string
  min: string | number
  max: string | number
}

export type Wrong = Partial<Record<keyof Draft, string>>

/** What the server takes. */
export interface NewEvent {
  name: string
  type: EventType
  unit: string
  min_value: number
  max_value: number
}

export const TYPES: readonly { type: EventType; name: string; about: string }[] = [
  { type: 'sensor', name: 'Sensor', about: 'Something that is measured.' },
  { type: 'actuator', name: 'Actuator', about: 'Something that is switched or set: a valve, a heater.' },
  { type: 'range', name: 'Range', about: 'A value that is measured and may be set within its limits.' },
  { type: 'cmd_button', name: 'Button', about: 'A command, given by pressing.' },
  { type: 'cmd_opened', name: 'Opened', about: 'Says that something is open.' },
  { type: 'cmd_closed', name: 'Closed', about: 'Says that something is closed.' },
]

export function typeName(type: string): string {
  return TYPES.find((one) => one.type === type)?.name ?? type
}

/** A limit as people read it: 1 000 000. */
export function grouped(value: number): string {
  const [whole, part] = plain(value).split('.')
  if (whole === undefined || whole.includes('e') || whole.length < 6) return plain(value)
  const thin = whole.replaceAll(/\B(?=(\d{3})+$)/g, '\u202f')
  return part === undefined ? thin : `${thin}.${part}`
}

export function draftOf(event: Event | null): Draft {
  if (event === null) return { name: '', type: 'sensor', unit: '', min: 0, max: 100 }
  const { name, unit, min_value: min, max_value: max } = event
  return { name, type: event.type as EventType, unit, min, max }
}

/** The draft as the server takes it, or what is wrong with each field. An event that had no unit may stay without. */
export function checked(draft: Draft, before: Event | null): { event: NewEvent } | { wrong: Wrong } {
  const wrong: Wrong = {}
  const name = draft.name.trim()
  const unit = draft.unit.trim()
  const min = asNumber(draft.min)
  const max = asNumber(draft.max)
  if (name === '') wrong.name = 'Give it a name.'
  else if (name.length > 255) wrong.name = 'A name has at most 255 characters.'
  if (unit === '' && before?.unit !== '') wrong.unit = 'Say in which unit it is measured; “1” if it has none.'
  else if (unit.length > 255) wrong.unit = 'A unit has at most 255 characters.'
  if (min === null) wrong.min = 'Give a number.'
  if (max === null) wrong.max = 'Give a number.'
  else if (min !== null && min > max) wrong.max = `The largest value must not be below the smallest, ${min}.`
  if (min === null || max === null || Object.keys(wrong).length > 0) return { wrong }
  return { event: { name, type: draft.type, unit, min_value: min, max_value: max } }
}

function asNumber(text: string | number): number | null {
  if (typeof text === 'number') return Number.isFinite(text) ? text : null
  const typed = text.trim().replace(',', '.').replace('−', '-')
  const value = Number(typed)
  return typed !== '' && Number.isFinite(value) ? value : null
}
