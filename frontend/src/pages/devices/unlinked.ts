/** Ids that arrive in readings and are linked to nothing: looked at while somebody looks. */

import { onScopeDispose, ref, shallowRef } from 'vue'
import { explain } from '@/api/http'
import type { Unlinked } from '@/api/types'
import { useSession } from '@/stores/session'

export interface SeenId extends Unlinked {
  /** The smallest and largest value that was seen here. */
  low: number
  high: number
}

/** What is known now, with the extremes of what was known before; in an order in which nothing moves while one clicks. */
export function widen(found: readonly Unlinked[], before: readonly SeenId[]): SeenId[] {
  const known = new Map(before.map((one) => [one.event_public_id, one]))
  const all = found.map((one) => {
    const same = known.get(one.event_public_id)
    return {
      ...one,
      low: Math.min(one.last_value, same?.low ?? Infinity),
      high: Math.max(one.last_value, same?.high ?? -Infinity),
    }
  })
  return all.sort(
    (a, b) =>
      Date.parse(a.first_seen) - Date.parse(b.first_seen) || (a.event_public_id < b.event_public_id ? -1 : 1),
  )
}

export function useUnlinked(everyMs = 5_000) {
  const { api } = useSession()
  const ids = shallowRef<SeenId[]>([])
  const loaded = ref(false)
  const failure = ref('')

  async function refresh(): Promise<void> {
    try {
      ids.value = widen(await api.get<Unlinked[]>('events/unlinked'), ids.value)
      loaded.value = true
      failure.value = ''
    } catch (error) {
      failure.value = explain(error)
    }
  }

  void refresh()
  const timer = window.setInterval(() => {
    if (!document.hidden) void refresh()
  }, everyMs)
  onScopeDispose(() => window.clearInterval(timer))

  return { ids, loaded, failure, refresh }
}
