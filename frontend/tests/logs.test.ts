import { describe, expect, it } from 'vitest'
import type { Change, Log } from '@/api/types'
import { differences, fieldName, kindName, worded } from '@/pages/logs/changes'
import { level, matching } from '@/pages/logs/entries'

function entry(content: string, logging_type = 'info', status_type = 'read'): Log {
  const created_on = '2026-11-22T00:00:00Z'
  return { public_id: content, content, logging_type, status_type, created_on, user_public_id: '' }
}

describe('the log', () => {
  const entries = [
    entry('Pump 4 failed', 'error', 'unread'),
    entry('pump 4 started'),
    entry('user Ada logged in', 'info', 'unread'),
    entry('odd', 'debug'),
  ]
  const found = (sought: Partial<Parameters<typeof matching>[1]>) =>
    matching(entries, { words: '', level: 'all', unread: false, ...sought }).map(({ content }) => content)

  it('is searched for all words, in any order and case', () => {
    expect(found({ words: ' 4  PUMP ' })).toEqual(['Pump 4 failed', 'pump 4 started'])
    expect(found({ words: 'pump ada' })).toEqual([])
  })

  it('is filtered by level and by what is unread', () => {
    expect(found({ level: 'error' })).toEqual(['Pump 4 failed'])
    expect(found({ unread: true })).toEqual(['Pump 4 failed', 'user Ada logged in'])
    expect(found({ unread: true, level: 'info', words: 'user' })).toEqual(['user Ada logged in'])
    expect(level(entries[3]!)).toBe('info')
  })
})

describe('the audit log', () => {
  const change = (some: Partial<Change>): Change => ({
    time: '2026-11-22T00:00:00Z',
    actor: 'ada@lab.example',
    user_public_id: null,
    token: null,
    action: 'changed',
    kind: 'rule',
    public_id: 'r',
    name: 'Too hot',
    before: null,
    after: null,
    ...some,
  })

  it('says of a change what it was and what it is', () => {
    const some = change({ before: { threshold: 80, event: null }, after: { threshold: 85, event: 'e' } })
    expect(differences(some)).toEqual([
      { field: 'threshold', before: 80, after: 85 },
      { field: 'event', before: null, after: 'e' },
    ])
  })

  it('says of what is new or gone only what it has', () => {
    expect(differences(change({ action: 'added', after: { name: 'x', event: null } }))).toEqual([
      { field: 'name', after: 'x' },
    ])
    expect(differences(change({ action: 'removed', before: { name: 'x', event: null } }))).toEqual([
      { field: 'name', before: 'x' },
    ])
  })

  it('says of a setpoint what was given, also when there was none', () => {
    const some = change({ action: 'set', kind: 'event', after: { value: 1 } })
    expect(differences(some)).toEqual([{ field: 'value', after: 1 }])
  })

  it('writes values as people read them', () => {
    const named = (id: string) => (id === 'e-1' ? 'Reactor' : undefined)
    expect(worded(null, named)).toEqual({ text: 'nothing', none: true })
    expect(worded(true, named).text).toBe('yes')
    expect(worded('e-1', named).text).toBe('Reactor')
    expect(worded(['e-1', 'b'], named).text).toBe('Reactor, b')
    expect(worded({ a: 1 }, named).text).toBe('{"a":1}')
    expect(worded('2026-11-22T23:57:25.077005Z', named).time).toBe(true)
    expect(worded('2026-11-22', named).time).toBeUndefined()
    expect(worded(0, named).text).toBe('0')
  })

  it('has words for fields and kinds, also for those to come', () => {
    expect(fieldName('min_value')).toBe('smallest value')
    expect(fieldName('some_thing')).toBe('some thing')
    expect(kindName('plugin')).toBe('Device')
    expect(kindName('note')).toBe('Note')
    expect(kindName('probe')).toBe('Probe')
  })
})
