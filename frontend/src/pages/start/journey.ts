/** How far the first steps have come: kept, so that one can leave and come back. */

import { defineStore } from 'pinia'
import { computed, markRaw, ref, watch } from 'vue'
import { useDevices } from '@/pages/devices/devices'
import { useCatalog } from '@/stores/catalog'
import { useSession } from '@/stores/session'
import { Sender } from './sender'
import { restored, START, type Journey, type Kind } from './steps'

const KEY = 'webmacs.start'

export const useJourney = defineStore('journey', () => {
  const session = useSession()
  const catalog = useCatalog()
  const devices = useDevices()

  const journey = ref<Journey>(restored(localStorage.getItem(KEY)))
  /** The text of the token: shown once, kept as long as the page is open, and nowhere else. */
  const token = ref('')
  const sending = ref({ running: false, sent: 0, left: 0, failure: '' })
  const sender = markRaw(
    new Sender(
      {
        send: (value) =>
          session.api.post('datapoints/batch', {
            datapoints: [{ event_public_id: journey.value.event, value }],
          }),
        every: (work, ms) => {
          const timer = window.setInterval(work, ms)
          return () => window.clearInterval(timer)
        },
        now: Date.now,
        random: Math.random,
      },
      () => {
        const { running, sent, left, failure } = sender
        sending.value = { running, sent, left, failure }
      },
    ),
  )

  const plugin = computed(() => catalog.plugins.find((one) => one.public_id === journey.value.plugin) ?? null)
  /** What is waited for: events of whatever is measured. */
  const events = computed(() =>
    (plugin.value?.channel_mappings ?? [])
      .filter((channel) => channel.direction !== 'output' && channel.event_public_id !== null)
      .map((channel) => channel.event_public_id!),
  )

  watch(journey, (now) => localStorage.setItem(KEY, JSON.stringify(now)), { deep: true })
  // What was made may be removed elsewhere; then the way begins before it.
  watch([() => catalog.plugins, () => catalog.loaded], () => {
    if (catalog.loaded && journey.value.plugin !== '' && plugin.value === null) forgetDevice()
  })
  watch(
    () => session.token,
    (now) => {
      if (now === null) restart()
    },
  )

  function choose(kind: Kind, pluginId = ''): void {
    const same = journey.value.kind === kind && journey.value.pluginId === pluginId
    if (same && journey.value.plugin !== '') return
    sender.stop()
    token.value = ''
    journey.value = { ...START, kind, pluginId }
  }

  function forgetDevice(): void {
    sender.stop()
    token.value = ''
    journey.value = { ...START, kind: journey.value.kind, pluginId: journey.value.pluginId }
  }

  function restart(): void {
    sender.stop()
    token.value = ''
    journey.value = { ...START }
  }

  /** A token in place of the one whose text is not known any more. */
  async function renewToken(): Promise<void> {
    const before = journey.value.tokenId
    const name = `${plugin.value?.instance_name ?? 'First steps'} ${journey.value.kind === 'device' ? 'controller' : 'script'}`
    const made = await devices.issueToken(journey.value.plugin, name.slice(0, 255))
    token.value = made.token
    journey.value.tokenId = made.public_id
    if (before !== '') await session.api.delete(`tokens/${before}`).catch(() => undefined) // it may be gone
  }

  return { journey, token, sending, sender, plugin, events, choose, forgetDevice, restart, renewToken }
})
