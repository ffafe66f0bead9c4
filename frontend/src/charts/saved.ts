/** What is shown, as files: a picture and a table. */

import { time, zoneName, type Zone } from '@/format'
import type { Stretch } from './history'
import { lowerBound, type Track } from './track'

export interface SavedSeries {
  id: string
  label: string
  unit: string
  colour: string
  track: Track
}

/** The points that are shown, one a line, by time: time in UTC, event, value, unit. CRLF, as the server's own CSV. */
export function asCsv(series: readonly SavedSeries[], stretch: Stretch): string {
  const rows: [number, string][] = []
  for (const { id, label, unit, track } of series) {
    const end = lowerBound(track.times, stretch.until + 1e-3)
    for (let i = lowerBound(track.times, stretch.from); i < end; i++) {
      const at = track.times[i]!
      const cells = [
        new Date(at).toISOString(),
        quoted(label),
        quoted(id),
        String(track.values[i]),
        quoted(unit),
      ]
      rows.push([at, cells.join(',')])
    }
  }
  rows.sort((a, b) => a[0] - b[0])
  return ['timestamp,event_name,event_public_id,value,unit', ...rows.map(([, row]) => row), ''].join('\r\n')
}

function quoted(cell: string): string {
  const safe = /^[=+@\t\r-]/.test(cell) ? `'${cell}` : cell // a spreadsheet must not take a name for a formula
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe
}

/** The chart as it is drawn, with a legend and the times it shows. */
export async function asPng(
  chart: HTMLCanvasElement,
  series: readonly SavedSeries[],
  stretch: Stretch,
  zone: Zone,
  title: string,
): Promise<Blob> {
  const ratio = (devicePixelRatio * parseFloat(getComputedStyle(document.documentElement).fontSize)) / 16
  const head = Math.round(34 * ratio)
  const row = Math.round(22 * ratio)
  const picture = document.createElement('canvas')
  picture.width = chart.width
  const ctx = picture.getContext('2d')!
  const style = getComputedStyle(document.documentElement)
  const text = style.getPropertyValue('--text')
  const font = `${13 * ratio}px system-ui, sans-serif`
  ctx.font = font
  const places: { x: number; y: number; one: SavedSeries; words: string }[] = []
  let [x, y] = [14 * ratio, 0]
  for (const one of series) {
    const words = one.unit === '' ? one.label : `${one.label} (${one.unit})`
    const width = ctx.measureText(words).width + 40 * ratio
    if (x + width > picture.width && x > 14 * ratio) [x, y] = [14 * ratio, y + row]
    places.push({ x, y, one, words })
    x += width
  }
  picture.height = chart.height + head + y + row + 10 * ratio
  ctx.fillStyle = style.getPropertyValue('--surface')
  ctx.fillRect(0, 0, picture.width, picture.height)
  ctx.drawImage(chart, 0, head)
  ctx.textBaseline = 'middle'
  ctx.font = `600 ${14 * ratio}px system-ui, sans-serif`
  ctx.fillStyle = text
  ctx.fillText(title, 14 * ratio, head / 2)
  ctx.font = font
  const when = `${time(stretch.from, zone)} – ${time(stretch.until, zone)}, ${zoneName(zone)}`
  ctx.fillText(when, picture.width - ctx.measureText(when).width - 14 * ratio, head / 2)
  for (const { x, y, one, words } of places) {
    const middle = chart.height + head + y + row / 2
    ctx.fillStyle = one.colour
    ctx.fillRect(x, middle - 2 * ratio, 16 * ratio, 4 * ratio)
    ctx.fillStyle = text
    ctx.fillText(words, x + 22 * ratio, middle)
  }
  return new Promise((resolve, reject) =>
    picture.toBlob(
      (blob) => (blob ? resolve(blob) : reject(new Error('The picture could not be made.'))),
      'image/png',
    ),
  )
}

/** Hand a file to the browser to be saved. */
export function save(blob: Blob, name: string): void {
  const url = URL.createObjectURL(blob)
  const link = document.createElement('a')
  link.href = url
  link.download = name.replaceAll(/[^\p{L}\p{N}._-]+/gu, '_')
  link.click()
  window.setTimeout(() => URL.revokeObjectURL(url), 60_000)
}
