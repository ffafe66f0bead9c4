import { describe, expect, test } from 'vitest'
import {
  bodyOf,
  conditionOf,
  inWords,
  meets,
  suggested,
  typed,
  wrongWith,
  type Draft,
} from '@/pages/rules/condition'

const draft: Draft = {
  name: 'Too hot',
  event: 'e1',
  operator: 'gt',
  threshold: '80',
  high: '',
  action: 'log',
  emits: '',
  cooldown: 60,
  enabled: true,
}

describe('a condition', () => {
  test('is said in words', () => {
    expect(inWords({ operator: 'gt', threshold: 80, threshold_high: null }, '%')).toBe('above 80 %')
    expect(inWords({ operator: 'not_between', threshold: 18, threshold_high: 25 }, '°C')).toBe(
      'outside 18 to 25 °C',
    )
    expect(inWords({ operator: 'eq', threshold: 0.1 + 0.2, threshold_high: null }, '')).toBe('equal to 0.3')
  })

  test.each([
    ['gt', 80, false],
    ['gte', 80, true],
    ['lt', 80, false],
    ['lte', 80, true],
    ['eq', 80 + 1e-10, true],
    ['eq', 80.001, false],
    ['between', 80, true],
    ['between', 90, true],
    ['between', 90.1, false],
    ['not_between', 79.9, true],
    ['not_between', 85, false],
  ] as const)('%s is met by %d: %s', (operator, value, met) => {
    expect(meets(value, { operator, threshold: 80, threshold_high: 90 })).toBe(met)
  })

  test('of a range without its upper end is never met', () => {
    expect(meets(5, { operator: 'between', threshold: 0, threshold_high: null })).toBe(false)
    expect(meets(-5, { operator: 'not_between', threshold: 0, threshold_high: null })).toBe(false)
  })
})

describe('a draft', () => {
  test('may have a comma in its number, and nothing else', () => {
    expect(typed(' 1,5 ')).toBe(1.5)
    expect(typed('')).toBeNull()
    expect(typed('1.5 bar')).toBeNull()
    expect(typed('Infinity')).toBeNull()
  })

  test('has a condition as soon as its numbers are there and in order', () => {
    expect(conditionOf(draft)).toEqual({ operator: 'gt', threshold: 80, threshold_high: null })
    expect(conditionOf({ ...draft, threshold: '' })).toBeNull()
    expect(conditionOf({ ...draft, operator: 'between', high: '70' })).toBeNull()
    expect(conditionOf({ ...draft, operator: 'between', high: '90' })?.threshold_high).toBe(90)
  })

  test('says what is wrong at its fields', () => {
    expect(wrongWith(draft)).toEqual({})
    expect(Object.keys(wrongWith({ ...draft, name: ' ', event: '', threshold: 'x', cooldown: 0.5 }))).toEqual(
      ['name', 'event', 'threshold', 'cooldown'],
    )
    expect(wrongWith({ ...draft, operator: 'between', high: '70' }).high).toContain('80')
  })

  test('is sent without what does not belong to it', () => {
    const body = bodyOf({ ...draft, high: '99', emits: 'sensor.reading' }, conditionOf(draft)!)
    expect(body).toMatchObject({ threshold_high: null, webhook_event_type: null, name: 'Too hot' })
  })

  test('is given a name', () => {
    const event = {
      public_id: 'e1',
      name: 'Oven',
      unit: '°C',
      min_value: 0,
      max_value: 1,
      type: 'sensor',
      user_public_id: null,
    }
    expect(suggested(event as Parameters<typeof suggested>[0], conditionOf(draft))).toBe('Oven above 80 °C')
    expect(suggested(undefined, null)).toBe('')
  })
})
