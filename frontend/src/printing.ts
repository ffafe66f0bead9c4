/** A page on paper: light, whatever the screen is, and without what only works on a screen (`styles/print.css`). */

import { nextTick } from 'vue'
import { usePreferences } from './stores/preferences'

const frame = () => new Promise((resolve) => requestAnimationFrame(resolve))

export async function printPage(): Promise<void> {
  const preferences = usePreferences()
  const theme = preferences.theme
  preferences.theme = 'light'
  try {
    await nextTick()
    await frame() // charts are drawn anew in the other colours
    await frame()
    window.print()
  } finally {
    preferences.theme = theme
  }
}
