/** What is known of an actuator: what it was told, what is reported, and whether the one has become the other. */

import type { Event } from '@/api/types'

export interface Command {
  value: number
  /** When it was given, ms, by the server's clock. */
  at: number
  /** The time of the reading that the command itself became at the server; null: not known yet. */
  own: number | null
}

export interface Reported {
  time: number
  value: number
}

export type Answer = 'idle' | 'pending' | 'late'

const LATE_MS = 10_000
/** What was commanded so long ago is not held against a device any more: somebody else may have set it since. */
const FORGET_MS = 600_000
/** So far our idea of the server's time may be off. */
export const SLACK_MS = 1_000

/** Whether the event can be told anything: a value that is sent to a sensor's would be a reading that nobody measured. */
export function settable(event: Event): boolean {
  return event.type !== 'sensor'
}

/** Whether there is nothing between its two states. */
export function switched(event: Event): boolean {
  return event.type.startsWith('cmd_') || (event.min_value === 0 && event.max_value === 1)
}

/** What switches it on, and off. */
export function ends(event: Event): { off: number; on: number } {
  return event.max_value > event.min_value ? { off: event.min_value, on: event.max_value } : { off: 0, on: 1 }
}

/** Whether a reported value is the one that was commanded; devices round. */
export function reached(event: Event, commanded: number, reported: number): boolean {
  return Math.abs(reported - commanded) <= Math.max(1e-9, Math.abs(event.max_value - event.min_value) / 1000)
}

/**
 * When the server took a command, found among the readings around it: it is stored as a reading like any other, which says
 * nothing of the device. Readings up to `after` belong to a command before.
 */
export function takenAt(command: Command, readings: readonly Reported[], after: number): number | null {
  const own = readings.find(
    ({ time, value }) => value === command.value && time >= command.at - SLACK_MS && time > after,
  )
  return own?.time ?? null
}

/** Whether a reading is the command itself and not what the device made of it. */
export function isCommand(command: Command, { time, value }: Reported): boolean {
  if (command.own !== null) return time === command.own
  return value === command.value && time >= command.at - SLACK_MS
}

/** Where a command stands, `now` (ms) and with the newest reading. */
export function answer(
  event: Event,
  command: Command | null,
  newest: Reported | undefined,
  now: number,
): Answer {
  if (command === null) return 'idle'
  const { own, value, at } = command
  if (newest !== undefined && own !== null && newest.time > own && reached(event, value, newest.value))
    return 'idle'
  if (now - at > FORGET_MS) return 'idle'
  return now - at > LATE_MS ? 'late' : 'pending'
}

/** A step for a slider over a range: some hundred of them. */
export function step(event: Event): number {
  const span = event.max_value - event.min_value
  return span > 0 ? 10 ** Math.floor(Math.log10(span / 100)) : 1
}
