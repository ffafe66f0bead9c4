import { describe, expect, it, vi } from 'vitest'
import type { User } from '@/api/types'
import { ending, endOf } from '@/pages/people/expiry'
import { newPassword, removalBarred, roleBarred } from '@/pages/people/people'
import { scopesFor } from '@/pages/people/scopes'

function user(public_id: string, role: User['role']): User {
  return {
    public_id,
    role,
    email: `${public_id}@lab.example`,
    username: public_id,
    admin: role === 'admin',
    registered_on: '2026-11-22T00:00:00Z',
    sso_provider: null,
  }
}

describe('users', () => {
  const [ada, ben, vi_] = [user('ada', 'admin'), user('ben', 'admin'), user('vi', 'viewer')]

  it('do not shut out themselves', () => {
    const users = [ada, ben, vi_]
    expect(roleBarred(ada, users, 'ada')).toMatch(/you/)
    expect(removalBarred(ada, users, 'ada')).toMatch(/you/)
    expect(roleBarred(ben, users, 'ada')).toBeUndefined()
    expect(removalBarred(ben, users, 'ada')).toBeUndefined()
    expect(removalBarred(vi_, users, 'ada')).toBeUndefined()
  })

  it('keep an administrator', () => {
    const users = [ada, vi_]
    expect(roleBarred(ada, users, 'ada')).toMatch(/last administrator/)
    expect(removalBarred(ada, users, 'somebody')).toMatch(/last administrator/)
    expect(roleBarred(vi_, users, 'ada')).toBeUndefined()
  })

  it('get passwords that can be read out', () => {
    const some = new Set(Array.from({ length: 100 }, newPassword))
    expect(some.size).toBe(100)
    for (const one of some) expect(one).toMatch(/^[a-kmnp-z2-9]{5}(-[a-kmnp-z2-9]{5}){3}$/)
  })
})

describe('tokens', () => {
  const now = Date.UTC(2026, 10, 22, 12)

  it('end when it was chosen', () => {
    expect(endOf('never', '', now)).toBeNull()
    expect(endOf('30', '', now)).toBe('2026-12-22T12:00:00.000Z')
    vi.stubEnv('TZ', 'America/New_York')
    expect(endOf('until', '2026-12-31', now)).toBe('2027-01-01T04:59:59.999Z')
    vi.unstubAllEnvs()
  })

  it('warn two weeks before they end', () => {
    const after = (ms: number) => new Date(now + ms).toISOString()
    expect(ending(null, now)).toBeNull()
    expect(ending(after(15 * 86_400_000), now)).toBeNull()
    expect(ending(after(5 * 86_400_000), now)).toEqual({ kind: 'warn', text: 'ends in 5 days' })
    expect(ending(after(0), now)).toEqual({ kind: 'bad', text: 'expired' })
  })

  it('send no readings for a viewer', () => {
    expect(scopesFor('viewer').find(({ value }) => value === 'ingest')?.barred).toBeDefined()
    expect(scopesFor('operator').every(({ barred }) => barred === undefined)).toBe(true)
  })
})
