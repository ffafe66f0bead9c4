/** The newest reading of an event for a component: it is told at most once a frame, and not while it is not there. */

import { onBeforeUnmount, onMounted, watch } from 'vue'
import { useLive } from '@/stores/live'
import type { Newest, Ring } from './readings'

export function useFollowing(
  event: () => string | null,
  listener: (newest: Newest, ring: Ring) => void,
): void {
  const live = useLive()
  let end: (() => void) | null = null

  function begin(): void {
    end?.()
    const id = event()
    end = id === null ? null : live.readings.follow(id, listener)
  }

  onMounted(begin)
  onBeforeUnmount(() => end?.())
  watch(event, begin, { flush: 'post' })
}
