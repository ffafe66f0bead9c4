/** What roles mean, and whom nobody may shut out. */

import type { Role, User } from '@/api/types'
import type { Choice } from '@/ui/Choices.vue'

export const ROLES: readonly Choice<Role>[] = [
  { value: 'viewer', name: 'Viewer', about: 'Sees readings, charts, experiments and logs; changes nothing.' },
  {
    value: 'operator',
    name: 'Operator',
    about: 'Also runs experiments, sets outputs, and keeps events, rules and dashboards.',
  },
  {
    value: 'admin',
    name: 'Administrator',
    about: 'Also sets up devices, webhooks and users, and reads the audit log.',
  },
]

export const OWN_ROLE: Record<Role, string> = {
  viewer: 'You see readings, charts, experiments and logs, and change nothing.',
  operator: 'You run experiments, set outputs, and keep events, rules and dashboards.',
  admin: 'You may do everything.',
}

export function roleName(role: Role): string {
  return ROLES.find(({ value }) => value === role)!.name
}

export const SHORTEST_PASSWORD = 8

/** Why somebody's role cannot be changed; undefined: it can. */
export function roleBarred(user: User, users: readonly User[], me: string | undefined): string | undefined {
  if (lastAdministrator(user, users)) return 'The last administrator stays one. Add another first.'
  if (user.public_id === me) return 'This is you. Another administrator can change your role.'
  return undefined
}

/** Why somebody cannot be deleted; undefined: they can. */
export function removalBarred(
  user: User,
  users: readonly User[],
  me: string | undefined,
): string | undefined {
  if (lastAdministrator(user, users)) return 'The last administrator stays. Add another first.'
  if (user.public_id === me) return 'This is you. Another administrator can delete your account.'
  return undefined
}

function lastAdministrator(user: User, users: readonly User[]): boolean {
  return user.role === 'admin' && users.filter(({ role }) => role === 'admin').length < 2
}

/** 32 characters that are not taken for each other when they are read out. */
const LETTERS = 'abcdefghijkmnpqrstuvwxyz23456789'

/** A password of 100 random bits, in groups that can be typed from paper. */
export function newPassword(): string {
  const letters = Array.from(crypto.getRandomValues(new Uint8Array(20)), (byte) => LETTERS[byte % 32]!)
  return [0, 5, 10, 15].map((at) => letters.slice(at, at + 5).join('')).join('-')
}
