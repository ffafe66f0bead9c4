/** Which entries of the log are looked for. */

import type { Log } from '@/api/types'

export type Level = 'error' | 'warning' | 'info'

export const LEVELS: Record<Level, { name: string; kind: 'bad' | 'warn' | '' }> = {
  error: { name: 'Error', kind: 'bad' },
  warning: { name: 'Warning', kind: 'warn' },
  info: { name: 'Info', kind: '' },
}

export interface Sought {
  words: string
  level: Level | 'all'
  unread: boolean
}

/** The level of an entry; one that is not known is for information. */
export function level(entry: Log): Level {
  return entry.logging_type in LEVELS ? (entry.logging_type as Level) : 'info'
}

/** Those that have all the words, in any order. */
export function matching(entries: readonly Log[], { words, level: wanted, unread }: Sought): Log[] {
  const all = words.toLowerCase().split(/\s+/).filter(Boolean)
  return entries.filter((entry) => {
    const text = entry.content.toLowerCase()
    return (
      (wanted === 'all' || level(entry) === wanted) &&
      (!unread || entry.status_type === 'unread') &&
      all.every((word) => text.includes(word))
    )
  })
}
