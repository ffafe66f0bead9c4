/** Moments of an experiment: what may be chosen, and how it is typed. */

import type { Experiment } from '@/api/types'
import type { Zone } from '@/format'
import type { Stretch } from '@/charts/history'

/** From its start to its end, or to the present one, in whole ms that are not outside. */
export function stretchOf(experiment: Experiment, now: number): Stretch {
  const from = Math.ceil(fine(experiment.started_on))
  const until = experiment.stopped_on === null ? now : Math.floor(fine(experiment.stopped_on))
  return { from, until: Math.max(from, until) }
}

/** How long it took, or takes so far, in ms. */
export function lasted(experiment: Experiment, now: number): number {
  const end = experiment.stopped_on === null ? now : Date.parse(experiment.stopped_on)
  return Math.max(0, end - Date.parse(experiment.started_on))
}

/** The nearest moment of the stretch. */
export function within(at: number, { from, until }: Stretch): number {
  return Math.max(from, Math.min(until, at))
}

/** A time as `<input type="datetime-local" step="1">` has it, in the zone that times are shown in. */
export function asTyped(at: number, zone: Zone): string {
  const shift = zone === 'utc' ? 0 : new Date(at).getTimezoneOffset() * 60_000
  return new Date(at - shift).toISOString().slice(0, 19)
}

/** What was typed there; null: nothing, or no time. */
export function fromTyped(text: string, zone: Zone): number | null {
  const at = Date.parse(zone === 'utc' ? `${text}Z` : text)
  return Number.isNaN(at) ? null : at
}

/** ms with their fraction, which `Date.parse` drops: the server's times have microseconds. */
function fine(timestamp: string): number {
  const digits = /\.(\d{3})(\d+)/.exec(timestamp)?.[2]
  return Date.parse(timestamp) + (digits === undefined ? 0 : Number(`0.${digits}`))
}
