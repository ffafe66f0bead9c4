/** What a webhook may be told of. */

import type { Delivery } from '@/api/types'

export interface Kind {
  kind: string
  about: string
}

export const KINDS: readonly Kind[] = [
  { kind: 'sensor.threshold_exceeded', about: 'A rule fired.' },
  { kind: 'sensor.reading', about: 'A reading came in; of each event at most one every 5 seconds.' },
  { kind: 'experiment.started', about: 'An experiment was started.' },
  { kind: 'experiment.stopped', about: 'An experiment was stopped.' },
  { kind: 'system.health_changed', about: 'Readings cannot be stored any more, or can be again.' },
]

/** The name with a dot; subscriptions may also be written with an underscore. */
export function dotted(kind: string): string {
  return KINDS.find((one) => one.kind === kind || one.kind.replaceAll('.', '_') === kind)?.kind ?? kind
}

export const STATUSES: Record<Delivery['status'], { words: string; badge: '' | 'good' | 'warn' | 'bad' }> = {
  pending: { words: 'under way', badge: 'warn' },
  delivered: { words: 'delivered', badge: 'good' },
  dead_letter: { words: 'given up', badge: 'bad' },
}

/** What is wrong with an address; empty: nothing that can be seen from here. */
export function wrongAddress(text: string): string {
  if (text.trim() === '') return 'Enter the address that is to be called.'
  let url: URL
  try {
    url = new URL(text.trim())
  } catch {
    return 'This is no address: it begins with https:// and names a host.'
  }
  return ['http:', 'https:'].includes(url.protocol) ? '' : 'The address must begin with https:// or http://.'
}
