/** Layouts are saved by themselves, a moment after the last change, and only what has changed. What fails is kept. */

import { computed, ref, type ComputedRef, type Ref } from 'vue'
import { ApiError, explain } from '@/api/http'
import type { Place } from './layout'

const WAIT_MS = 600

export interface Saving {
  state: ComputedRef<'saved' | 'saving' | 'failed'>
  failure: Ref<string>
  /** A widget is somewhere else now. */
  moved(widget: string, place: Place): void
  /** A widget is gone: there is nothing to save of it. */
  gone(widget: string): void
  /** Save now what waits, again also what failed. The answer is whether all is saved. */
  flush(): Promise<boolean>
}

/** `lost` is told of a widget that the server does not have any more; there is nothing to save of it. */
export function useSaving(
  put: (widget: string, place: Place) => Promise<unknown>,
  lost: (widget: string) => void = () => undefined,
): Saving {
  const waiting = new Map<string, Place>()
  const open = ref(0)
  const failure = ref('')
  let timer = 0
  let working: Promise<boolean> | null = null

  function moved(widget: string, place: Place): void {
    waiting.set(widget, place)
    open.value = waiting.size
    window.clearTimeout(timer)
    timer = window.setTimeout(() => void flush(), WAIT_MS)
  }

  function gone(widget: string): void {
    waiting.delete(widget)
    open.value = waiting.size
  }

  async function work(): Promise<boolean> {
    failure.value = ''
    let missed = ''
    for (const [widget, place] of [...waiting]) {
      try {
        await put(widget, place)
      } catch (error) {
        if (error instanceof ApiError && error.status === 404) {
          gone(widget)
          lost(widget)
          continue
        }
        missed = explain(error)
        if (error instanceof ApiError && error.status > 0) continue
        break // nobody answers: the others need not wait for that, too
      }
      if (waiting.get(widget) === place) waiting.delete(widget) // else it has moved on meanwhile
      open.value = waiting.size
    }
    failure.value = missed
    return missed === '' && (waiting.size === 0 || work())
  }

  function flush(): Promise<boolean> {
    window.clearTimeout(timer)
    working ??= work().finally(() => (working = null))
    return working
  }

  return {
    state: computed(() => (failure.value !== '' ? 'failed' : open.value > 0 ? 'saving' : 'saved')),
    failure,
    moved,
    gone,
    flush,
  }
}
