import { describe, expect, it } from 'vitest'
import type { Dashboard, Rule } from '@/api/types'
import { condition, shows } from '@/pages/events/uses'

const rule = { operator: 'gt', threshold: 80, threshold_high: null } as Rule

describe('where an event is used', () => {
  it('says when a rule matches', () => {
    expect(condition(rule, '%')).toBe('above 80 %')
    expect(condition({ ...rule, operator: 'not_between', threshold: 2, threshold_high: 4.5 }, 'bar')).toBe(
      'not between 2 and 4.5 bar',
    )
    expect(condition({ ...rule, threshold_high: 90 }, '')).toBe('above 80')
  })
  it('finds it in a widget’s own field and in what the widget is set up with', () => {
    const widgets = [
      { event_public_id: 'e1', config_json: null },
      { event_public_id: null, config_json: '{"events":["e2","e1"]}' },
      { event_public_id: 'e2', config_json: null },
    ]
    const dashboard = { widgets } as Dashboard
    expect(shows(dashboard, 'e1')).toBe(2)
    expect(shows(dashboard, 'e')).toBe(0)
  })
})
