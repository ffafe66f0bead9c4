import { expect, test } from 'vitest'
import { dotted, wrongAddress } from '@/pages/webhooks/subscription'

test('a kind may be spelled with an underscore', () => {
  expect(dotted('sensor_reading')).toBe('sensor.reading')
  expect(dotted('sensor.threshold_exceeded')).toBe('sensor.threshold_exceeded')
  expect(dotted('sensor_threshold_exceeded')).toBe('sensor.threshold_exceeded')
  expect(dotted('something.else')).toBe('something.else')
})

test.each(['', ' ', 'example.org', 'ftp://example.org', 'http://', 'javascript:alert(1)'])(
  '%j is no address to call',
  (text) => {
    expect(wrongAddress(text)).not.toBe('')
  },
)

test('an address with a path and a port is one', () => {
  expect(wrongAddress(' https://example.org:8443/hooks?x=1 ')).toBe('')
})
