/** What people are called who did something. */

import { defineStore } from 'pinia'
import { reactive, watch } from 'vue'
import type { User } from '@/api/types'
import { useSession } from './session'

export const usePeople = defineStore('people', () => {
  const session = useSession()
  const names = reactive(new Map<string, string>())
  const asked = new Set<string>()

  watch(
    () => session.token,
    () => (names.clear(), asked.clear()),
  )

  /** The name of a user; it is asked for once, and there is "…" until it is known. `none`: what nobody is called. */
  function name(id: string | null, none = '–'): string {
    if (id === null) return none
    if (id === session.user?.public_id) return session.user.username
    if (!asked.has(id)) {
      asked.add(id)
      void session.api
        .get<User>(`users/${id}`)
        .then((user) => names.set(id, user.username))
        .catch(() => names.set(id, '–'))
    }
    return names.get(id) ?? '…'
  }

  return { name }
})
