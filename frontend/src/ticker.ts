/** One timer for all that shows how old something is. */

import { onScopeDispose, ref, type Ref } from 'vue'

const listeners = new Set<() => void>()
let timer = 0

/** Call something once a second, as long as the component is there and the page is looked at. */
export function everySecond(work: () => void): void {
  listeners.add(work)
  if (timer === 0)
    timer = window.setInterval(() => {
      if (!document.hidden) for (const listener of listeners) listener()
    }, 1000)
  onScopeDispose(() => {
    listeners.delete(work)
    if (listeners.size === 0) {
      window.clearInterval(timer)
      timer = 0
    }
  })
}

/** A value that is looked up anew each second. */
export function eachSecond<T>(look: () => T): Ref<T> {
  const value = ref(look()) as Ref<T>
  everySecond(() => (value.value = look()))
  return value
}
