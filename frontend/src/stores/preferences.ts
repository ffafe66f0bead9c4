/** What this viewer, on this machine, wants it to look like. */

import { defineStore } from 'pinia'
import { ref, watch } from 'vue'
import type { Zone } from '@/format'

export type Theme = 'system' | 'light' | 'dark'

const KEY = 'webmacs.preferences'

function stored(): { zone?: Zone; theme?: Theme } {
  try {
    return JSON.parse(localStorage.getItem(KEY) ?? '{}') as { zone?: Zone; theme?: Theme }
  } catch {
    return {} // somebody else's text under our key: begin anew
  }
}

export const usePreferences = defineStore('preferences', () => {
  const before = stored()
  const zone = ref<Zone>(before.zone === 'utc' ? 'utc' : 'local')
  const theme = ref<Theme>(before.theme ?? 'system')
  /** Whether it is dark now; charts draw with other colours then. */
  const dark = ref(false)
  const system = matchMedia('(prefers-color-scheme: dark)')

  function paint(): void {
    dark.value = theme.value === 'dark' || (theme.value === 'system' && system.matches)
    document.documentElement.dataset['theme'] = dark.value ? 'dark' : 'light'
  }

  system.addEventListener('change', paint)
  watch(
    [zone, theme],
    () => {
      localStorage.setItem(KEY, JSON.stringify({ zone: zone.value, theme: theme.value }))
      paint()
    },
    { flush: 'sync' },
  )
  paint()

  return { zone, theme, dark }
})
