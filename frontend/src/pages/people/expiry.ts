/** How long a token is good. */

import { duration } from '@/format'

const DAY_MS = 86_400_000
const SOON_MS = 14 * DAY_MS

export type Lifetime = '30' | '90' | '365' | 'never' | 'until'

export const LIFETIMES: readonly { value: Lifetime; name: string }[] = [
  { value: '30', name: '30 days' },
  { value: '90', name: '90 days' },
  { value: '365', name: 'A year' },
  { value: 'until', name: 'Until a day' },
  { value: 'never', name: 'Without end' },
]

/** When a token ends that is made now, as the server takes it; `day` ("2027-03-31") is the last on which it is good, here. */
export function endOf(lifetime: Lifetime, day: string, now: number): string | null {
  if (lifetime === 'never') return null
  if (lifetime === 'until') return new Date(`${day}T23:59:59.999`).toISOString()
  return new Date(now + Number(lifetime) * DAY_MS).toISOString()
}

/** What to say of a token's end: nothing while it is far away. */
export function ending(expires: string | null, now: number): { kind: 'bad' | 'warn'; text: string } | null {
  if (expires === null) return null
  const left = Date.parse(expires) - now
  if (left <= 0) return { kind: 'bad', text: 'expired' }
  return left <= SOON_MS ? { kind: 'warn', text: `ends in ${duration(left)}` } : null
}
