/** The one live connection of the page, and what came over it. */

import { defineStore } from 'pinia'
import { markRaw, ref, watch } from 'vue'
import { ServerClock } from '@/live/clock'
import { Connection, type ConnectionMode, type Reading } from '@/live/connection'
import { Readings } from '@/live/readings'
import { useSession } from './session'

export const useLive = defineStore('live', () => {
  const session = useSession()
  const mode = ref<ConnectionMode>('connecting')
  /** Counts each time the stream has come back: what shows a stretch of time fills its gap then. */
  const resumptions = ref(0)
  const clock = markRaw(new ServerClock())
  const readings = markRaw(new Readings())
  session.api.onTime = (askedAt, heardAt, serverTime) => clock.heard(askedAt, heardAt, serverTime)

  const connection = new Connection(
    {
      open: () => {
        const scheme = location.protocol === 'https:' ? 'wss' : 'ws'
        const token = encodeURIComponent(session.token ?? '')
        return new WebSocket(`${scheme}://${location.host}/ws/datapoints/stream?snapshot=1&token=${token}`)
      },
      latest: () => session.api.request<Reading[]>('datapoints/latest', { timeout: 5_000 }),
      setTimeout: (work, delay) => window.setTimeout(work, delay),
      clearTimeout: (timer) => window.clearTimeout(timer),
      random: Math.random,
    },
    {
      readings: (some) => readings.receive(some),
      mode: (now) => (mode.value = now),
      resumed: () => resumptions.value++,
      refused: (reason) => session.end(reason),
    },
  )

  watch(
    () => session.token,
    (token) => {
      connection.stop()
      readings.clear()
      if (token !== null) connection.start()
    },
    { immediate: true },
  )
  addEventListener('online', () => connection.hurry())
  document.addEventListener('visibilitychange', () => {
    if (!document.hidden) connection.hurry()
  })

  /** How old the newest reading of all is, in ms; null: there is none. */
  function age(): number | null {
    return readings.newestTime === 0 ? null : Math.max(0, clock.time() - readings.newestTime)
  }

  return { mode, resumptions, clock, readings, age }
})
