import { describe, expect, it } from 'vitest'
import type { Event } from '@/api/types'
import {
  COMMON,
  complaint,
  defaults,
  freeName,
  likelyDevice,
  niceRange,
  OWN,
  readableId,
} from '@/pages/devices/adopt'
import { controllerCommands, scriptCommands, withPort } from '@/pages/devices/commands'
import { configComplaint, configOf, exampleConfig, laidOut, refusedConfig } from '@/pages/devices/config'
import { kindOf, lastHeard, linkedCount, stateOf } from '@/pages/devices/state'
import { widen } from '@/pages/devices/unlinked'

describe('the range of what is adopted', () => {
  it.each([
    [23.5, 23.5, 0, 50],
    [18, 27, 0, 50],
    [1, 1, 0, 2],
    [0, 0, 0, 1],
    [0.3, 0.3, 0, 0.5],
    [101_325, 101_325, 0, 200_000],
    [-3, -3, -5, 0],
    [-3, 40, -5, 100],
    [1e-9, 1e-9, 0, 2e-9],
  ])('of %d … %d is %d … %d', (low, high, min, max) => {
    expect(niceRange(low, high)).toEqual({ min, max })
  })

  it('holds what was seen, whatever it is', () => {
    for (const value of [1e-320, 3.7e-8, 0.1, 9.99, 12_345.6, 8e300, 1.7e308])
      for (const sign of [1, -1]) {
        const { min, max } = niceRange(sign * value, sign * value)
        expect(min).toBeLessThanOrEqual(sign * value)
        expect(max).toBeGreaterThanOrEqual(sign * value)
        expect(Number.isFinite(min) && Number.isFinite(max)).toBe(true)
      }
  })
})

describe('adoption with one click', () => {
  const event = {
    public_id: 'kiln',
    name: 'Kiln',
    unit: '°C',
    min_value: 0,
    max_value: 1300,
    type: 'sensor',
  } as Event

  it('calls an unknown id by itself', () => {
    expect(defaults({ event_public_id: 'x1', low: 3, high: 4 }, new Map(), '')).toEqual({
      event_public_id: 'x1',
      name: 'x1',
      unit: '',
      min_value: 0,
      max_value: 10,
      type: 'sensor',
    })
  })

  it('does not take the name of another event', () => {
    const events = new Map([['other', { ...event, public_id: 'other', name: 'x1' }]])
    expect(defaults({ event_public_id: 'x1', low: 1, high: 1 }, events, '').name).toBe('x1 2')
  })

  it('leaves an event that is there as it is, and links it to the device', () => {
    const found = defaults(
      { event_public_id: 'kiln', low: 2000, high: 2000 },
      new Map([['kiln', event]]),
      'p1',
    )
    expect(found).toMatchObject({ name: 'Kiln', unit: '°C', max_value: 1300, plugin_public_id: 'p1' })
  })

  it('says what is missing', () => {
    const good = defaults({ event_public_id: 'x', low: 1, high: 1 }, new Map(), '')
    expect(complaint(good)).toBe('')
    expect(complaint({ ...good, name: ' ' })).toContain('name')
    expect(complaint({ ...good, max_value: Number.NaN })).toContain('numbers')
    expect(complaint({ ...good, min_value: 3 })).toContain('above')
  })

  it('guesses the newest script, as its token opens that one alone', () => {
    const one = {
      plugin_id: OWN,
      enabled: true,
      instance_name: 'A',
      public_id: 'a',
      created_on: '2026-01-01T00:00:00Z',
    }
    const newer = { ...one, public_id: 'b', created_on: '2026-01-01T00:00:00.5Z' }
    expect(likelyDevice([one, newer])).toBe('b')
    expect(likelyDevice([{ ...newer, enabled: false }, one])).toBe('a')
    expect(likelyDevice([{ ...one, instance_name: COMMON }])).toBe('')
    expect(likelyDevice([{ ...one, plugin_id: 'system' }])).toBe('')
  })

  it('keeps the extremes of what was seen', () => {
    const seen = {
      event_public_id: 'x',
      count: 1,
      last_value: 5,
      first_seen: '2026-01-01T00:00:00Z',
      last_seen: '2026-01-01T00:00:00Z',
    }
    const first = widen([seen], [])
    expect(widen([{ ...seen, last_value: 2 }], first)[0]).toMatchObject({ low: 2, high: 5, last_value: 2 })
    expect(widen([], first)).toEqual([])
  })

  it('does not move an id because it was heard again', () => {
    const seen = {
      event_public_id: 'b',
      count: 1,
      last_value: 5,
      first_seen: '2026-01-01T00:00:00Z',
      last_seen: '',
    }
    const order = (ids: string[]) =>
      widen(
        ids.map((id) => ({ ...seen, event_public_id: id })),
        [],
      ).map((one) => one.event_public_id)
    expect(order(['b', 'c', 'a'])).toEqual(order(['a', 'b', 'c']))
  })
})

describe('names and ids', () => {
  it('numbers a name that is taken', () => {
    expect(freeName('Pump', new Set())).toBe('Pump')
    expect(freeName('Pump', new Set(['Pump', 'Pump 2']))).toBe('Pump 3')
  })

  it('makes an id that can be typed', () => {
    expect(readableId('Kiln temperature', new Set())).toBe('kiln-temperature')
    expect(readableId('Öfen (°C)', new Set())).toBe('ofen-c')
    expect(readableId('温度', new Set())).toBe('reading')
    expect(readableId('Pump', new Set(['pump', 'pump-2']))).toBe('pump-3')
    expect(readableId('Unlinked', new Set())).toBe('unlinked-2')
  })
})

describe('a configuration', () => {
  it.each(['', '  ', '{}', '{"a": 1}'])('%j is one', (text) => expect(configComplaint(text)).toBe(''))
  it.each(['[]', 'null', '"a"', '1', '{', '{"a": }', 'host = 1'])('%j is none', (text) =>
    expect(configComplaint(text)).not.toBe(''),
  )
  it('says where it is none', () => {
    expect(configComplaint('{\n "a": 1\n "b": 2\n}')).toContain('line 3')
    expect(configComplaint('{"a": x}')).toContain("'x'")
    expect(configComplaint('{"a": 1')).not.toBe('Not JSON yet.')
  })
  it('is null when it is empty', () => {
    expect(configOf(' ')).toBeNull()
    expect(configOf('{}')).toBe('{}')
  })
  it('is set out to be read, unless it is no JSON', () => {
    expect(laidOut('{"a":1}')).toBe('{\n  "a": 1\n}')
    expect(laidOut('{')).toBe('{')
    expect(laidOut(null)).toBe('')
  })
  it('has examples that are configurations', () => {
    for (const id of ['system', 'simulated', 'modbus', 'mqtt'])
      expect(configComplaint(exampleConfig(id)!)).toBe('')
    expect(exampleConfig('other')).toBeNull()
  })
  it('is told from other things that are refused', () => {
    expect(refusedConfig('Config_json: speeed: unknown key.')).toBe('speeed: unknown key.')
    expect(refusedConfig('A plugin instance called X exists already.')).toBe('')
  })
})

describe('commands', () => {
  const target = { origin: 'https://plant.example.org', token: 'wm_x', events: ['kiln'] }

  it('name the port, so that a variable of the other machine does not', () => {
    expect(withPort('https://plant.example.org')).toBe('https://plant.example.org:443')
    expect(withPort('http://10.0.0.1:8000')).toBe('http://10.0.0.1:8000')
    expect(withPort('http://[::1]')).toBe('http://[::1]:80')
  })
  it('have the token and the event in them', () => {
    for (const { text } of controllerCommands(target)) expect(text).toContain('wm_x')
    for (const { text } of scriptCommands(target)) {
      expect(text).toContain('wm_x')
      expect(text).toContain('"kiln"')
      expect(text).toContain('https://plant.example.org/api/v1/datapoints')
    }
  })
})

describe('the state of a device', () => {
  const plugin = {
    plugin_id: 'system',
    instance_name: 'A',
    enabled: true,
    status: 'inactive',
    demo_mode: false,
  } as const

  it('is inactive until readings come, which show it before the list does', () => {
    expect(stateOf(plugin).label).toBe('inactive')
    expect(stateOf(plugin, 500).label).toBe('connected')
    expect(stateOf({ ...plugin, demo_mode: true }, 500).label).toBe('demo')
    expect(stateOf(plugin, 60_000).label).toBe('inactive')
  })
  it('is what the controller says, and off when it is off', () => {
    expect(stateOf({ ...plugin, status: 'error' }, 500).kind).toBe('bad')
    expect(stateOf({ ...plugin, enabled: false, status: 'error' }, 500).label).toBe('switched off')
  })
  it('knows when something was heard, but not from outputs', () => {
    const mapping = { event_public_id: 'e', direction: 'input' as 'input' | 'output' }
    const channels = [mapping] as Parameters<typeof lastHeard>[0]['channel_mappings']
    const newest = new Map([['e', { time: 5000 }]])
    expect(lastHeard({ last_seen: null, channel_mappings: channels }, newest)).toBe(5000)
    expect(lastHeard({ last_seen: '1970-01-01T00:00:09Z', channel_mappings: channels }, newest)).toBe(9000)
    mapping.direction = 'output'
    expect(lastHeard({ last_seen: null, channel_mappings: channels }, newest)).toBeNull()
    expect(linkedCount({ channel_mappings: channels })).toBe(1)
  })
  it('has a kind', () => {
    const names = new Map([['system', 'System Monitor']])
    expect(kindOf(plugin, names)).toBe('System Monitor')
    expect(kindOf({ ...plugin, plugin_id: 'gone' }, names)).toBe('gone')
    expect(kindOf({ ...plugin, plugin_id: OWN }, names)).toContain('your own')
  })
})
