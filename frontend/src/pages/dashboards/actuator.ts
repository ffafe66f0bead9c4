/** What is known of an actuator: what it was told, what is reported, and whether the one has become the other. */

import type { Event } from '@/api/types'

export interface Command {
  value: number
  /** When it was given, ms, by the server's clock. */
  at: number
}

export type Answer = 'idle' | 'pending' | 'late'

const LATE_MS = 10_000
/** What was commanded so long ago is not held against a device any more: somebody else may have set it since. */
const FORGET_MS = 600_000

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

/** Where a command stands, `now` (ms) and with the newest reading. */
export function answer(
  event: Event,
  command: Command | null,
  newest: { time: number; value: number } | undefined,
  now: number,
): Answer {
  if (command === null) return 'idle'
  if (
    newest !== undefined &&
    newest.time >= command.at - 1_000 &&
    reached(event, command.value, newest.value)
  )
    return 'idle'
  return now - command.at > LATE_MS ? 'late' : 'pending'
}

/**
 * Whether a command need not be followed any more. The command itself comes back as a reading before the device has seen
 * it: so what is reached at once is followed for a while, and a device that says otherwise then is noticed.
 */
export function settled(command: Command, stands: Answer, now: number): boolean {
  return now - command.at > (stands === 'idle' ? LATE_MS : FORGET_MS)
}

/** A step for a slider over a range: some hundred of them. */
export function step(event: Event): number {
  const span = event.max_value - event.min_value
  return span > 0 ? 10 ** Math.floor(Math.log10(span / 100)) : 1
}
