/** What a token may do. */

import type { Role, Scope } from '@/api/types'
import type { Choice } from '@/ui/Choices.vue'

const SCOPES: readonly { value: Scope; name: string; about: string }[] = [
  {
    value: 'ingest',
    name: 'Send readings',
    about: 'For a device or its controller: it sends readings and sees what it needs for that, nothing else.',
  },
  {
    value: 'read',
    name: 'Read',
    about: 'For a script, a notebook or a wall: it sees what you see and changes nothing.',
  },
  {
    value: 'full',
    name: 'Everything',
    about: 'It does all that you may do, except to make or delete tokens. Give it only to what needs it.',
  },
]

export function scopeName(scope: Scope): string {
  return SCOPES.find(({ value }) => value === scope)!.name
}

/** What somebody of this role may give a token. */
export function scopesFor(role: Role): Choice<Scope>[] {
  return SCOPES.map((scope) =>
    scope.value === 'ingest' && role === 'viewer'
      ? { ...scope, barred: 'Readings are sent for an operator or administrator; you are a viewer.' }
      : { ...scope },
  )
}
