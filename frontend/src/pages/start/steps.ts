/** The way from nothing to the first live reading: where somebody stands on it, and where one may go. */

export type StepKey = 'choose' | 'name' | 'connect' | 'live'
export const STEPS: readonly { key: StepKey; label: string }[] = [
  { key: 'choose', label: 'What to measure' },
  { key: 'name', label: 'Name it' },
  { key: 'connect', label: 'Connect it' },
  { key: 'live', label: 'First reading' },
]

/** `device`: a plugin that is installed; `script`: something of one's own; `browser`: this page, to try it. */
export type Kind = 'device' | 'script' | 'browser'

export interface Journey {
  kind: Kind | null
  /** Of a device: the id of the plugin. */
  pluginId: string
  /** The instance that was made; empty: none yet. */
  plugin: string
  /** Of a script: the event that was made for it; a device's come from its channels. */
  event: string
  /** The token that was made for it: its public id. Its text is kept nowhere. */
  tokenId: string
  /** When it was made, by the server's clock: what came before does not count. */
  madeAt: number
  /** Something of it came in. */
  arrived: boolean
}

export const START: Journey = {
  kind: null,
  pluginId: '',
  plugin: '',
  event: '',
  tokenId: '',
  madeAt: 0,
  arrived: false,
}

/** How far one may go: a step needs what those before it have made. */
export function reachable(journey: Journey): StepKey[] {
  if (journey.kind === null) return ['choose']
  if (journey.plugin === '') return ['choose', 'name']
  return journey.arrived ? ['choose', 'name', 'connect', 'live'] : ['choose', 'name', 'connect']
}

/** The step that is asked for, or else the furthest one. */
export function stepOf(asked: unknown, journey: Journey): StepKey {
  const may = reachable(journey)
  return may.find((key) => key === asked) ?? may.at(-1)!
}

/** What was kept in an earlier visit; begins anew where that cannot be understood. */
export function restored(text: string | null): Journey {
  try {
    const found = JSON.parse(text ?? '{}') as Partial<Journey>
    const known = ['device', 'script', 'browser', null].includes(found.kind ?? null)
    return known ? { ...START, ...found } : START
  } catch {
    return START
  }
}
