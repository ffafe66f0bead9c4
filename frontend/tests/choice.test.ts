import { describe, expect, test } from 'vitest'
import type { Event, Plugin } from '@/api/types'
import { chosen, shortName, type Choice } from '@/pages/live/choice'
import type { Source } from '@/stores/catalog'

function event(id: string, name: string, unit = '°C'): Event {
  return { public_id: id, name, unit, min_value: 0, max_value: 1, type: 'sensor', user_public_id: null }
}

const oven = { public_id: 'p1', instance_name: 'Oven', created_on: '2026-01-01T00:00:00Z' } as Plugin
const pump = { public_id: 'p2', instance_name: 'Pump', created_on: '2026-01-02T00:00:00Z' } as Plugin
const events = [
  event('a', 'Pump – Flow', 'l/min'),
  event('b', 'Spare'),
  event('c', 'Oven – Wall'),
  event('d', 'Oven – Air'),
]
const source = (plugin: Plugin): Source => ({ plugin, channel: {} as Source['channel'] })
const sources = new Map([
  ['a', source(pump)],
  ['c', source(oven)],
  ['d', source(oven)],
])
const everything: Choice = { words: '', device: '', show: 'all' }

function ids(choice: Partial<Choice>, charted: string[] = [], troubled: string[] = []): string[][] {
  const groups = chosen(events, sources, { ...everything, ...choice }, new Set(charted), (one) =>
    troubled.includes(one.public_id),
  )
  return groups.map((group) => group.events.map((one) => one.public_id))
}

describe('the events that are shown', () => {
  test('are grouped by device, in the order the devices were made, those of none last', () => {
    expect(ids({})).toEqual([['c', 'd'], ['a'], ['b']])
  })

  test('match all words, in the name, the unit or the device', () => {
    expect(ids({ words: 'oven air' })).toEqual([['d']])
    expect(ids({ words: 'L/MIN' })).toEqual([['a']])
    expect(ids({ words: 'pump wall' })).toEqual([])
  })

  test('may be those of one device, or of none', () => {
    expect(ids({ device: 'p1' })).toEqual([['c', 'd']])
    expect(ids({ device: 'none' })).toEqual([['b']])
  })

  test('may be those in the chart, or those with a problem', () => {
    expect(ids({ show: 'charted' }, ['b', 'd'])).toEqual([['d'], ['b']])
    expect(ids({ show: 'problems' }, [], ['a'])).toEqual([['a']])
  })

  test('are called without their device, under whose name they stand', () => {
    expect(shortName(events[2]!, 'Oven')).toBe('Wall')
    expect(shortName(events[1]!, 'Oven')).toBe('Spare')
    expect(shortName(events[2]!, undefined)).toBe('Oven – Wall')
  })
})
