/** The notes of an experiment: what is there, what others add meanwhile, and ways to write. */

import { computed, ref, shallowRef, watch, type ComputedRef, type Ref, type ShallowRef } from 'vue'
import { explain } from '@/api/http'
import type { Note } from '@/api/types'
import type { Marker } from '@/charts/plot'
import { useSession } from '@/stores/session'
import { everySecond } from '@/ticker'

const REFRESH_S = 15

export interface Notes {
  notes: ShallowRef<Note[]>
  markers: ComputedRef<Marker[]>
  loaded: Ref<boolean>
  failure: Ref<string>
  /** `at`: ms, or null: now, by the server's clock. */
  add(text: string, at: number | null): Promise<void>
  change(note: Note, text: string, at: number): Promise<void>
  remove(note: Note): Promise<void>
}

/** The markers with one for the note that is being written, if its moment was chosen; by time. */
export function withDraft(markers: readonly Marker[], at: number | null): readonly Marker[] {
  if (at === null) return markers
  return [...markers, { time: at, text: 'New note' }].sort((a, b) => a.time - b.time)
}

/** Of the experiment that `experiment` names; null: of none, for the moment. */
export function useNotes(experiment: () => string | null): Notes {
  const session = useSession()
  const notes = shallowRef<Note[]>([])
  const loaded = ref(false)
  const failure = ref('')
  let writes = 0

  const path = (note?: Note) =>
    `experiments/${experiment()}/notes${note === undefined ? '' : `/${note.public_id}`}`

  async function load(): Promise<void> {
    if (experiment() === null) {
      notes.value = []
      return
    }
    const [asked, before] = [path(), writes]
    try {
      const found = await session.api.all<Note>(asked)
      // What was asked before something was written here does not know of it.
      if (asked !== path() || before !== writes) return
      if (JSON.stringify(found) !== JSON.stringify(notes.value)) notes.value = found
      loaded.value = true
      failure.value = ''
    } catch (error) {
      if (asked === path()) failure.value = explain(error)
    }
  }

  function show(some: Note[]): void {
    writes++
    notes.value = some.sort((a, b) => Date.parse(a.timestamp) - Date.parse(b.timestamp))
  }

  async function add(text: string, at: number | null): Promise<void> {
    const timestamp = at === null ? undefined : new Date(at).toISOString()
    const note = await session.api.post<Note>(path(), { text, timestamp })
    show([...notes.value, note])
  }

  async function change(note: Note, text: string, at: number): Promise<void> {
    const moved = at !== Date.parse(note.timestamp)
    const timestamp = moved ? new Date(at).toISOString() : undefined
    await session.api.put(path(note), { text, timestamp })
    const changed = { ...note, text, timestamp: timestamp ?? note.timestamp }
    show(notes.value.map((one) => (one.public_id === note.public_id ? changed : one)))
  }

  async function remove(note: Note): Promise<void> {
    await session.api.delete(path(note))
    show(notes.value.filter((one) => one.public_id !== note.public_id))
  }

  watch(
    experiment,
    () => {
      notes.value = []
      loaded.value = false
      void load()
    },
    { immediate: true },
  )
  let seconds = 0
  everySecond(() => {
    if (++seconds % REFRESH_S === 0) void load()
  })

  const markers = computed(() =>
    notes.value.map(({ timestamp, text }) => ({ time: Date.parse(timestamp), text: text.split('\n')[0]! })),
  )
  return { notes, markers, loaded, failure, add, change, remove }
}
