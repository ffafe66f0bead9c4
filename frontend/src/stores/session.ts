/** Who is signed in, and the way to ask the server as that person. */

import { defineStore } from 'pinia'
import { computed, markRaw, ref, shallowRef } from 'vue'
import { Api } from '@/api/http'
import type { Role, User } from '@/api/types'

const KEY = 'webmacs.token'
const RANK: Record<Role, number> = { viewer: 0, operator: 1, admin: 2 }

export const useSession = defineStore('session', () => {
  const token = ref(localStorage.getItem(KEY))
  const user = shallowRef<User | null>(null)
  /** Why the last session ended, for the login page. */
  const ended = ref('')

  const api = markRaw(
    new Api({
      token: () => token.value,
      refused: (reason) => end(reason),
      forbidden: () => void whoAmI().catch(() => undefined),
    }),
  )

  const signedIn = computed(() => token.value !== null)

  function may(role: Role): boolean {
    return user.value !== null && RANK[user.value.role] >= RANK[role]
  }

  async function login(email: string, password: string): Promise<void> {
    const answer = await api.post<{ access_token: string }>('auth/login', { email, password })
    localStorage.setItem(KEY, answer.access_token)
    token.value = answer.access_token
    ended.value = ''
    await whoAmI()
  }

  /** Go in by an API token, which does not expire with the day: for a screen on a wall. It is tried before it is kept. */
  async function enter(text: string): Promise<void> {
    const trial = new Api({ token: () => text, refused: () => undefined })
    const owner = await trial.get<User>('auth/me')
    localStorage.setItem(KEY, text)
    user.value = owner
    token.value = text
    ended.value = ''
  }

  async function whoAmI(): Promise<void> {
    user.value = await api.get<User>('auth/me')
  }

  /** Sign out here and at the server; here also when the server cannot be told. */
  async function logout(): Promise<void> {
    try {
      await api.post('auth/logout')
    } finally {
      end('')
    }
  }

  function end(reason: string): void {
    localStorage.removeItem(KEY)
    token.value = null
    user.value = null
    ended.value = reason
  }

  // Another tab has signed in or out.
  addEventListener('storage', (event) => {
    if (event.key !== KEY) return
    token.value = event.newValue
    if (event.newValue === null) end('')
    else void whoAmI().catch(() => undefined)
  })

  return { api, token, user, ended, signedIn, may, login, enter, logout, whoAmI, end }
})
