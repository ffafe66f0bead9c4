import { describe, expect, it } from 'vitest'
import type { Event } from '@/api/types'
import { checked, draftOf, grouped } from '@/pages/events/draft'

const event: Event = {
  public_id: 'e1',
  name: 'Flow',
  min_value: 0,
  max_value: 40,
  unit: '',
  type: 'sensor',
  user_public_id: null,
}

describe('an event that is typed', () => {
  it('goes to the server with its numbers', () => {
    expect(checked({ name: ' Flow ', type: 'sensor', unit: 'l/min', min: '−1,5', max: '40' }, null)).toEqual({
      event: { name: 'Flow', type: 'sensor', unit: 'l/min', min_value: -1.5, max_value: 40 },
    })
  })
  it('needs a name, a unit and numbers', () => {
    expect(checked({ name: ' ', type: 'sensor', unit: '', min: '', max: 'many' }, null)).toMatchObject({
      wrong: {
        name: expect.any(String),
        unit: expect.any(String),
        min: 'Give a number.',
        max: 'Give a number.',
      },
    })
  })
  it('has its smallest value not above its largest', () => {
    expect(checked({ ...draftOf(event), unit: 'l', min: 41 }, null)).toEqual({
      wrong: { max: 'The largest value must not be below the smallest, 41.' },
    })
    expect(checked({ ...draftOf(event), unit: 'l', min: 40 }, null)).toHaveProperty('event')
  })
  it('may stay without a unit, if it had none', () => {
    expect(checked(draftOf(event), event)).toHaveProperty('event.unit', '')
    expect(checked(draftOf(event), { ...event, unit: 'l' })).toHaveProperty('wrong.unit')
  })
})

it('groups the digits of a large limit', () => {
  expect(grouped(10_000_000)).toBe('10\u202f000\u202f000')
  expect(grouped(-1_234_567.25)).toBe('-1\u202f234\u202f567.25')
  expect(grouped(40.5)).toBe('40.5')
})
