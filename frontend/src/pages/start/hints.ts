/** What may be the matter when nothing comes: said once it is likely, and as exactly as is known. */

import type { Kind } from './steps'

export interface Watched {
  kind: Kind
  /** How long nothing has come, in s. */
  seconds: number
  /** Whether the token was used; null: not known, or there is none. */
  tokenUsed: boolean | null
  /** The state of the instance. */
  status: string
  enabled: boolean
  errorMessage: string | null
  /** How many unknown ids are arriving now. */
  unknownIds: number
  /** Events that readings can be stored as. */
  events: number
  /** The address is one that other machines do not understand. */
  local: boolean
  origin: string
}

const PATIENCE_S = 15

export function hints(now: Watched): string[] {
  if (!now.enabled) return ['The device is switched off: what it sends is not stored. Switch it on.']
  if (now.events === 0)
    return [
      'The device has no channel that is linked to an event, so nothing can be stored. Add one on its page.',
    ]
  if (now.status === 'error')
    return [`The controller is connected, and the device is not: ${now.errorMessage ?? 'it says no reason.'}`]
  if (now.unknownIds > 0)
    return [
      now.unknownIds === 1
        ? 'Readings arrive, under an id that nothing is linked to. Adopt it below.'
        : `Readings arrive, under ${now.unknownIds} ids that nothing is linked to. Adopt them below.`,
    ]
  if (now.seconds < PATIENCE_S) return []
  if (now.kind === 'browser') return ['This page could not send anything. Is the server still there?']
  const what = now.kind === 'device' ? 'controller' : 'script'
  if (now.tokenUsed === true)
    return now.kind === 'device'
      ? [
          'The controller has reached the server; its first reading is on the way.',
          'See what it says in its terminal: a device that cannot be opened is named there.',
        ]
      : [
          'The script has reached the server, but none of its readings could be stored.',
          'Look at the answer that it gets: it says how many were accepted, or why none was.',
          'Compare the event id that it sends with the one in the command.',
        ]
  return [
    ...(now.tokenUsed === false ? [`No ${what} has reached the server with this token yet.`] : []),
    `Is it running? Does its terminal show an error?`,
    now.local
      ? `${now.origin} means “this machine” wherever it is used. If the ${what} runs elsewhere, open this page under the server’s name in the network, and copy the command again.`
      : `From the machine of the ${what}, ${now.origin} has to be reachable: curl ${now.origin}/health tries that.`,
    ...(now.kind === 'device' && now.seconds > 2 * PATIENCE_S
      ? ['“Command not found” means that WebMACS is not installed there: install it as on the server.']
      : []),
  ]
}

export function isLocal(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || /^127\./.test(hostname)
}
