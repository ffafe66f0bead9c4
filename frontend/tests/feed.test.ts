import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  emptyFeed,
  hasOlder,
  lastPage,
  meets,
  opened,
  replaced,
  withNewest,
  withOlder,
  type Feed,
} from '@/pages/logs/feed'

interface Entry {
  id: number
  read?: boolean
}
const key = ({ id }: Entry) => String(id)
/** Entries from one id down to another, the newest first. */
const some = (from: number, to: number): Entry[] =>
  Array.from({ length: from - to + 1 }, (_, i) => ({ id: from - i }))
const ids = (entries: readonly Entry[]) => entries.map(({ id }) => id)

describe('a feed', () => {
  it('shows the first entries at once, and lets new ones wait', () => {
    let feed = withNewest(emptyFeed<Entry>(), some(10, 6), 10, key)
    expect(ids(feed.shown)).toEqual([10, 9, 8, 7, 6])
    feed = withNewest(feed, some(12, 8), 12, key)
    expect(ids(feed.shown)).toEqual([10, 9, 8, 7, 6])
    expect(ids(feed.waiting)).toEqual([12, 11])
    feed = withNewest(feed, some(13, 9), 13, key)
    expect(ids(feed.waiting)).toEqual([13, 12, 11])
    feed = opened(feed)
    expect(ids(feed.shown)).toEqual([13, 12, 11, 10, 9, 8, 7, 6])
    expect(feed.waiting).toEqual([])
  })

  it('is as it is now where it is known', () => {
    const feed = withNewest(emptyFeed<Entry>(), some(3, 1), 3, key)
    const now = withNewest(feed, [{ id: 3, read: true }, { id: 2 }, { id: 1 }], 3, key)
    expect(now.shown[0]).toEqual({ id: 3, read: true })
    expect(replaced(now, { id: 1, read: true }, key).shown[2]).toEqual({ id: 1, read: true })
  })

  it('takes older ones once, though pages have moved on', () => {
    let feed = withNewest(emptyFeed<Entry>(), some(20, 16), 20, key)
    expect(lastPage(feed, 5)).toBe(1)
    feed = withOlder(feed, some(22, 13), 22, key) // two have come meanwhile
    expect(ids(feed.shown)).toEqual([20, 19, 18, 17, 16, 15, 14, 13])
    expect(lastPage(feed, 5)).toBe(2)
    expect(hasOlder(feed)).toBe(true)
    expect(withOlder(feed, some(30, 21), 30, key).shown).toEqual(feed.shown) // a page of newer ones
    expect(hasOlder(withOlder(feed, some(13, 1), 20, key))).toBe(false)
  })

  it('hides no gap when more has come than is looked through', () => {
    let feed = withNewest(emptyFeed<Entry>(), some(5, 1), 5, key)
    feed = withNewest(feed, some(100, 96), 100, key)
    expect(meets(feed, some(95, 91), key)).toBe(false)
    expect(ids(feed.shown)).toEqual([5, 4, 3, 2, 1])
    feed = opened(feed)
    expect(ids(feed.shown)).toEqual([100, 99, 98, 97, 96])
    expect(hasOlder(feed)).toBe(true)
    feed = withOlder(feed, some(100, 91), 100, key)
    expect(ids(feed.shown)).toEqual(ids(some(100, 91)))
  })

  it('has no gap and nothing twice, whatever comes when', () => {
    const step = fc.oneof(
      fc.record({ come: fc.integer({ min: 1, max: 30 }) }),
      fc.constantFrom('look' as const, 'older' as const, 'open' as const),
    )
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 40 }), fc.array(step, { maxLength: 40 }), (begin, steps) => {
        let newest = begin
        let feed: Feed<Entry> = emptyFeed()
        const page = (n: number) =>
          newest - (n - 1) * 5 < 1 ? [] : some(newest - (n - 1) * 5, Math.max(1, newest - n * 5 + 1))
        for (const one of steps) {
          if (typeof one === 'object') newest += one.come
          else if (one === 'look') feed = withNewest(feed, page(1), newest, key)
          else if (one === 'open') feed = opened(feed)
          else {
            const first = lastPage(feed, 5)
            const { length } = feed.shown
            feed = withOlder(feed, [...page(first), ...page(first + 1)], newest, key)
            // Up to date, one asks for nothing in vain.
            if (length > 0 && feed.shown[0]!.id === newest)
              expect(feed.shown.length > length || feed.shown.at(-1)!.id === 1).toBe(true)
          }
          for (const entries of [feed.shown, feed.waiting])
            for (let i = 1; i < entries.length; i++) expect(entries[i]!.id).toBe(entries[i - 1]!.id - 1)
          if (!feed.torn && feed.waiting.length > 0)
            expect(feed.waiting.at(-1)!.id).toBe(feed.shown[0]!.id + 1)
        }
      }),
    )
  })
})
