/** The events that the chart of an experiment shows, and the way to choose others. */

import { onScopeDispose, ref, shallowRef, watch, type Ref, type ShallowRef } from 'vue'
import { explain } from '@/api/http'
import type { Experiment } from '@/api/types'
import { useCatalog } from '@/stores/catalog'
import { useLive } from '@/stores/live'
import { useSession } from '@/stores/session'
import { everySecond } from '@/ticker'
import { firstFew, remember, remembered, withReadings } from './charted'
import { stretchOf } from './moment'

export interface Chosen {
  events: ShallowRef<string[]>
  /** Whether it is still looked for what has readings. */
  looking: Ref<boolean>
  failure: Ref<string>
  choose(events: readonly string[]): void
}

export function useChosen(experiment: () => Experiment): Chosen {
  const session = useSession()
  const catalog = useCatalog()
  const live = useLive()
  const events = shallowRef<string[]>([])
  const looking = ref(true)
  const failure = ref('')
  /** Nobody has chosen, and nothing was found yet: an experiment that has just started. */
  let waits = false
  const gone = new AbortController()
  onScopeDispose(() => gone.abort())

  /** What came live for an experiment that runs needs no asking. */
  function fromLive(): string[] {
    const { public_id: id } = experiment()
    return firstFew(
      catalog.events.filter(
        (event) => event.type === 'sensor' && live.readings.newest.get(event.public_id)?.experiment === id,
      ),
    )
  }

  async function find(): Promise<void> {
    const { public_id: id, stopped_on } = experiment()
    const before = remembered(id)?.filter((one) => catalog.byId.has(one)) ?? []
    let found = before.length > 0 ? before : stopped_on === null ? fromLive() : []
    if (found.length === 0)
      try {
        const stretch = stretchOf(experiment(), live.clock.time() + 1_000)
        if (stretch.until > stretch.from)
          found = firstFew(await withReadings(session.api, catalog.events, stretch, gone.signal))
      } catch (error) {
        if (gone.signal.aborted) return
        failure.value = explain(error)
      }
    waits = found.length === 0 && stopped_on === null
    events.value = found
    looking.value = false
  }

  watch(
    () => catalog.loaded && experiment().public_id,
    (id) => {
      if (id !== false) void find()
    },
    { immediate: true },
  )
  everySecond(() => {
    if (!waits) return
    const found = fromLive()
    if (found.length === 0) return
    events.value = found
    waits = false
  })

  function choose(some: readonly string[]): void {
    waits = false
    events.value = [...some]
    remember(experiment().public_id, some)
  }

  return { events, looking, failure, choose }
}
