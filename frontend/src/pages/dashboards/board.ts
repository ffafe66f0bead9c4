/** A dashboard and its widgets, loaded and followed. */

import { onMounted, ref, shallowRef, type Ref, type ShallowRef } from 'vue'
import { explain } from '@/api/http'
import type { Dashboard } from '@/api/types'
import { useSession } from '@/stores/session'
import { everySecond } from '@/ticker'

const REFRESH_S = 15

export interface Board {
  dashboard: ShallowRef<Dashboard | null>
  failure: Ref<string>
  load: () => Promise<void>
}

/** What others change appears by itself, unless `busy` says that somebody is at work here. */
export function useBoard(id: string, busy: () => boolean = () => false): Board {
  const session = useSession()
  const dashboard = shallowRef<Dashboard | null>(null)
  const failure = ref('')
  let seconds = 0

  async function load(): Promise<void> {
    try {
      const found = await session.api.get<Dashboard>(`dashboards/${id}`)
      if (busy() && dashboard.value !== null) return
      if (JSON.stringify(found) !== JSON.stringify(dashboard.value)) dashboard.value = found
      failure.value = ''
    } catch (error) {
      failure.value = explain(error)
    }
  }

  onMounted(load)
  everySecond(() => {
    if (++seconds % REFRESH_S === 0 && !busy()) void load()
  })
  return { dashboard, failure, load }
}
