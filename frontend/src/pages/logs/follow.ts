/** A feed that is kept up with the server as long as its component is there. */

import { computed, onScopeDispose, ref, shallowRef } from 'vue'
import { explain, type Page } from '@/api/http'
import { useSession } from '@/stores/session'
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
  type Key,
} from './feed'

const EVERY_MS = 5_000
const PAGE = 50
/** More that is new at once is not looked through. */
const MOST_PAGES = 4

/**
 * @param query What is asked for with it, at the time.
 * @param resting Whether new entries may come in by themselves: nobody reads where they would move something.
 */
export function useFeed<T>(
  path: string,
  key: Key<T>,
  query: () => Record<string, string | undefined>,
  resting: () => boolean,
) {
  const session = useSession()
  const feed = shallowRef<Feed<T>>(emptyFeed())
  const loaded = ref(false)
  const failure = ref('')
  const loadingOlder = ref(false)
  /** Counts the questions: an answer to what is not asked any more is nobody's. */
  let asking = 0

  function ask(page: number): Promise<Page<T>> {
    return session.api.get<Page<T>>(path, { ...query(), page, page_size: PAGE })
  }

  async function refresh(): Promise<void> {
    const mine = asking
    try {
      const newest: T[] = []
      let total = 0
      for (let page = 1; page <= MOST_PAGES; page++) {
        const answer = await ask(page)
        if (mine !== asking) return
        newest.push(...answer.data)
        total = answer.total
        if (answer.data.length < PAGE || meets(feed.value, newest, key)) break
      }
      feed.value = withNewest(feed.value, newest, total, key)
      if (resting()) feed.value = opened(feed.value)
      loaded.value = true
      failure.value = ''
    } catch (error) {
      if (mine === asking) failure.value = explain(error)
    }
  }

  async function older(): Promise<void> {
    const mine = asking
    loadingOlder.value = true
    try {
      const read: T[] = []
      const { length } = feed.value.shown
      const first = lastPage(feed.value, PAGE)
      for (let page = first; page < first + MOST_PAGES; page++) {
        const { data, total } = await ask(page)
        if (mine !== asking) return
        read.push(...data)
        feed.value = withOlder(feed.value, read, total, key)
        if (data.length < PAGE || feed.value.shown.length > length) break
      }
    } catch (error) {
      if (mine === asking) failure.value = explain(error)
    } finally {
      loadingOlder.value = false
    }
  }

  /** Something else is asked for. */
  async function restart(): Promise<void> {
    asking++
    loaded.value = false
    feed.value = emptyFeed()
    await refresh()
  }

  let timer = 0
  async function round(): Promise<void> {
    window.clearTimeout(timer)
    if (!document.hidden) await refresh()
    if (timer >= 0) timer = window.setTimeout(() => void round(), EVERY_MS)
  }
  void round()
  const seen = () => {
    if (!document.hidden) void refresh()
  }
  document.addEventListener('visibilitychange', seen)
  onScopeDispose(() => {
    document.removeEventListener('visibilitychange', seen)
    window.clearTimeout(timer)
    timer = -1
    asking++
  })

  return {
    feed,
    loaded,
    failure,
    loadingOlder,
    more: computed(() => hasOlder(feed.value)),
    older,
    restart,
    show: () => (feed.value = opened(feed.value)),
    replace: (entry: T) => (feed.value = replaced(feed.value, entry, key)),
  }
}
