/** What there is: events, the plugin instances they are linked to, the experiment that runs. */

import { defineStore } from 'pinia'
import { computed, ref, shallowRef, watch } from 'vue'
import { explain } from '@/api/http'
import type { Event, Experiment, Plugin } from '@/api/types'
import { useSession } from './session'

const REFRESH_MS = 20_000

export interface Source {
  plugin: Plugin
  channel: Plugin['channel_mappings'][number]
}

export const useCatalog = defineStore('catalog', () => {
  const session = useSession()
  const events = shallowRef<Event[]>([])
  const plugins = shallowRef<Plugin[]>([])
  const experiments = shallowRef<Experiment[]>([])
  /** Whether it was loaded at least once. */
  const loaded = ref(false)
  /** Why it could not be loaded the last time; empty when it could. */
  const failure = ref('')

  const byId = computed(() => new Map(events.value.map((event) => [event.public_id, event])))
  /** Where the readings of an event come from. */
  const sources = computed(() => {
    const found = new Map<string, Source>()
    for (const plugin of plugins.value)
      for (const channel of plugin.channel_mappings)
        if (channel.event_public_id !== null) found.set(channel.event_public_id, { plugin, channel })
    return found
  })
  const running = computed(() => experiments.value.find((one) => one.stopped_on === null) ?? null)
  /** Nothing was set up yet. */
  const empty = computed(() => loaded.value && events.value.length === 0 && plugins.value.length === 0)

  let underWay: Promise<void> | null = null
  let next: Promise<void> | null = null

  /** Ask for everything again. Calls that come while one is under way, which may have asked too early, share the next. */
  function refresh(): Promise<void> {
    if (underWay === null) return (underWay = load().finally(() => (underWay = null)))
    next ??= underWay.then(() => {
      next = null
      return refresh()
    })
    return next
  }

  async function load(): Promise<void> {
    try {
      const [some, instances, runs] = await Promise.all([
        session.api.all<Event>('events'),
        session.api.all<Plugin>('plugins'),
        session.api.all<Experiment>('experiments'),
      ])
      // The same things again are no change: nothing that shows them has to be drawn anew.
      if (differ(some, events.value)) events.value = some
      if (differ(instances, plugins.value)) plugins.value = instances
      if (differ(runs, experiments.value)) experiments.value = runs
      loaded.value = true
      failure.value = ''
    } catch (error) {
      failure.value = explain(error)
    }
  }

  let timer = 0
  watch(
    () => session.token,
    (token) => {
      window.clearInterval(timer)
      events.value = []
      plugins.value = []
      experiments.value = []
      loaded.value = false
      if (token === null) return
      void refresh()
      timer = window.setInterval(() => {
        if (!document.hidden) void refresh()
      }, REFRESH_MS)
    },
    { immediate: true },
  )

  return { events, plugins, experiments, byId, sources, running, loaded, failure, empty, refresh }
})

function differ(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) !== JSON.stringify(other)
}
