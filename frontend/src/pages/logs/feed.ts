/**
 * A list that grows at its front while somebody reads it: the newest first, what is new waits until it is asked for, what is
 * older is asked for in pages. Pages move on while it grows, so entries are told apart by a key, not by their place.
 */

export interface Feed<T> {
  /** What one reads. */
  readonly shown: readonly T[]
  /** Newer than that. */
  readonly waiting: readonly T[]
  /** How many the server has. */
  readonly total: number
  /** So many came at once that what is between the waiting and the shown is not known. */
  readonly torn: boolean
}

export type Key<T> = (entry: T) => string

export function emptyFeed<T>(): Feed<T> {
  return { shown: [], waiting: [], total: 0, torn: false }
}

/** Whether these newest entries reach those that are known: then nothing lies between them. */
export function meets<T>(feed: Feed<T>, newest: readonly T[], key: Key<T>): boolean {
  const known = new Set([...feed.shown, ...feed.waiting].map(key))
  return known.size === 0 || newest.some((entry) => known.has(key(entry)))
}

/** The server's newest: those that are known are as they are now, the others wait. */
export function withNewest<T>(feed: Feed<T>, newest: readonly T[], total: number, key: Key<T>): Feed<T> {
  if (feed.shown.length === 0 && feed.waiting.length === 0)
    return { shown: newest, waiting: [], total, torn: false }
  const torn = feed.torn || !meets(feed, newest, key)
  const known = new Set(feed.shown.map(key))
  const waiting = new Map(newest.map((entry) => [key(entry), entry]))
  const now = new Map(waiting)
  if (meets(feed, newest, key))
    for (const entry of feed.waiting) if (!waiting.has(key(entry))) waiting.set(key(entry), entry)
  for (const one of known) waiting.delete(one)
  return {
    shown: feed.shown.map((entry) => now.get(key(entry)) ?? entry),
    waiting: [...waiting.values()],
    total,
    torn,
  }
}

/** Older ones are those that follow the last that is shown; a page that has not that one may be of newer entries. */
export function withOlder<T>(feed: Feed<T>, page: readonly T[], total: number, key: Key<T>): Feed<T> {
  const last = feed.shown.at(-1)
  if (last === undefined) return feed
  const place = page.findLastIndex((entry) => key(entry) === key(last))
  if (place < 0) return { ...feed, total }
  const known = new Set(feed.shown.map(key))
  const older = new Map(page.slice(place + 1).map((entry) => [key(entry), entry]))
  for (const one of known) older.delete(one)
  return { ...feed, shown: [...feed.shown, ...older.values()], total }
}

/** What has waited is shown. Of a torn feed the older part goes; it can be asked for again. */
export function opened<T>(feed: Feed<T>): Feed<T> {
  if (feed.waiting.length === 0) return feed
  return {
    ...feed,
    shown: feed.torn ? feed.waiting : [...feed.waiting, ...feed.shown],
    waiting: [],
    torn: false,
  }
}

/** One entry is another now. */
export function replaced<T>(feed: Feed<T>, entry: T, key: Key<T>): Feed<T> {
  const mine = key(entry)
  return { ...feed, shown: feed.shown.map((one) => (key(one) === mine ? entry : one)) }
}

/** The page (from 1) that has the last of the shown ones, or did before more came. */
export function lastPage<T>(feed: Feed<T>, size: number): number {
  return Math.max(1, Math.ceil(known(feed) / size))
}

export function hasOlder<T>(feed: Feed<T>): boolean {
  return known(feed) < feed.total
}

function known<T>(feed: Feed<T>): number {
  return feed.shown.length + (feed.torn ? 0 : feed.waiting.length)
}
