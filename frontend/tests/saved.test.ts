import { describe, expect, it } from 'vitest'
import { asCsv, type SavedSeries } from '@/charts/saved'
import { Track } from '@/charts/track'

function series(label: string, unit: string, points: [number, number][], id = label): SavedSeries {
  const track = new Track()
  for (const [time, value] of points) track.append(time, value)
  return { id, label, unit, colour: '#000000', track }
}

const HEAD = 'timestamp,event_name,event_public_id,value,unit'

describe('a chart as CSV', () => {
  it('has what is shown, by time, in UTC, with CRLF', () => {
    const one = series(
      'Reactor',
      '°C',
      [
        [999, 1],
        [1_000, 20.5],
        [3_000, 21],
        [5_001, 9],
      ],
      'id-1',
    )
    const other = series('Flow', 'm³/h', [[2_000, 3]], 'id-2')
    expect(asCsv([one, other], { from: 1_000, until: 5_000 })).toBe(
      [
        HEAD,
        '1970-01-01T00:00:01.000Z,Reactor,id-1,20.5,°C',
        '1970-01-01T00:00:02.000Z,Flow,id-2,3,m³/h',
        '1970-01-01T00:00:03.000Z,Reactor,id-1,21,°C',
        '',
      ].join('\r\n'),
    )
  })

  it('is a header alone when nothing is shown', () => {
    expect(asCsv([], { from: 0, until: 1 })).toBe(`${HEAD}\r\n`)
  })

  it('has every digit of a value', () => {
    const values = [0.1 + 0.2, 123456789.12345679, 1e21, -5e-324, -0.5]
    const text = asCsv(
      [
        series(
          'a',
          '',
          values.map((value, i) => [i, value]),
        ),
      ],
      { from: 0, until: 9 },
    )
    const read = text.trimEnd().split('\r\n').slice(1)
    expect(read.map((row) => Number(row.split(',')[3]))).toEqual(values)
  })

  it('quotes what has commas, quotes and lines', () => {
    const text = asCsv([series('a "b", c\nd', '', [[0, 1]], 'x')], { from: 0, until: 1 })
    expect(text).toContain(',"a ""b"", c\nd",x,1,')
  })

  it.each(['=1+1', '+1', '@SUM(A1)', '\tx', '-2+3+cmd|x', '-x'])(
    'gives a spreadsheet no formula in a name: %j',
    (name) => {
      const text = asCsv([series(name, name, [[0, -1]], 'x')], { from: 0, until: 1 })
      expect(text).toContain(`,'${name},x,-1,'${name}\r\n`)
    },
  )
})
