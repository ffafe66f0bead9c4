/** One uPlot with our axes, markers and lines. It draws what it is given, and says what a person does to it. */

import uPlot from 'uplot'
import 'uplot/dist/uPlot.min.css'
import { time as timeText, type Zone } from '@/format'
import { axisTexts } from './axis'
import type { Colours } from './palette'
import type { Stretch } from './history'
import type { Curve } from './track'

export interface PlotSeries {
  label: string
  unit: string
  /** Index of its colour. */
  colour: number
  /** Holds its value until the next one, as what is switched does. */
  stepped: boolean
  hidden: boolean
}

export interface Marker {
  time: number
  text: string
}

export interface Line {
  value: number
  label: string
}

export interface PlotEvents {
  /** A person zooms or pans to a stretch of time. */
  zoom(stretch: Stretch): void
  /** Back to what was shown at first. */
  reset(): void
  /** The cursor stands at a time; null: it left. */
  cursor(time: number | null): void
  /** A time is pointed at: a click or a tap that was no drag. */
  pick(time: number): void
}

const MAX_AXES = 4

export class Plot {
  private readonly u: uPlot
  private readonly resize: ResizeObserver
  private markers: readonly Marker[] = []
  private lines: readonly Line[] = []
  private stretch: Stretch = { from: 0, until: 1 }
  /** Texts grow with the page, on a wall for instance. */
  private readonly rem: number
  private readonly pointers = new Map<number, number>()

  constructor(
    private readonly place: HTMLElement,
    private readonly series: readonly PlotSeries[],
    private readonly colours: Colours,
    private readonly zone: Zone,
    private readonly events: PlotEvents,
  ) {
    this.rem = parseFloat(getComputedStyle(document.documentElement).fontSize)
    const scales: uPlot.Scales = { x: { time: true, range: () => [this.stretch.from, this.stretch.until] } }
    const units = [...new Set(series.map((one) => one.unit))]
    for (const unit of units)
      scales[scaleOf(unit)] = { range: (_u, low, high) => this.padded(unit, low, high) }
    this.u = new uPlot(
      {
        width: Math.max(50, place.clientWidth),
        height: Math.max(50, place.clientHeight),
        ms: 1,
        legend: { show: false },
        tzDate: zone === 'utc' ? (at) => uPlot.tzDate(new Date(at), 'Etc/UTC') : (at) => new Date(at),
        padding: [10, units.length > 1 ? 0 : 14, 0, 0],
        cursor: {
          drag: { x: true, y: false, setScale: false },
          points: { size: 7, width: 2 },
          y: false,
          bind: { dblclick: () => () => (this.events.reset(), null) },
        },
        scales,
        axes: [this.timeAxis(), ...units.slice(0, MAX_AXES).map((unit, i) => this.valueAxis(unit, i))],
        series: [{}, ...series.map((one) => this.drawn(one))],
        hooks: {
          drawClear: [() => this.drawGround()],
          draw: [() => this.drawMarkers()],
          setSelect: [() => this.selected()],
          setCursor: [(u) => this.events.cursor(u.cursor.left! < 0 ? null : u.posToVal(u.cursor.left!, 'x'))],
        },
      },
      [[], ...series.map(() => [])] as unknown as uPlot.AlignedData,
      place,
    )
    this.resize = new ResizeObserver(() => this.fit())
    this.resize.observe(place)
    this.listen()
  }

  get canvas(): HTMLCanvasElement {
    return this.u.ctx.canvas
  }

  /** How many points of a line can be told apart. */
  get points(): number {
    return Math.max(100, Math.round(this.u.bbox.width / devicePixelRatio))
  }

  show(tracks: readonly Curve[], stretch: Stretch, markers: readonly Marker[], lines: readonly Line[]): void {
    this.stretch = stretch
    this.markers = markers
    this.lines = lines
    this.u.setData(aligned(tracks), true)
  }

  destroy(): void {
    this.resize.disconnect()
    this.u.destroy()
  }

  /** Put the cursor some hundredths of the width further. */
  step(hundredths: number): void {
    const width = this.u.over.clientWidth
    const now = this.u.cursor.left ?? -1
    const left = Math.max(0, Math.min(width, (now < 0 ? width : now) + (hundredths * width) / 100))
    this.u.setCursor({ left, top: this.u.over.clientHeight / 2 })
  }

  /** In whole pixels: of others uPlot reads the part behind the point, and puts lines over each other. */
  private font(): string {
    return `${Math.round(0.75 * this.rem)}px system-ui, sans-serif`
  }

  private fit(): void {
    const { clientWidth: width, clientHeight: height } = this.place
    if (width > 0 && height > 0) this.u.setSize({ width, height })
  }

  private drawn(one: PlotSeries): uPlot.Series {
    const colour = this.colours.series[one.colour % this.colours.series.length]!
    return {
      label: one.label,
      scale: scaleOf(one.unit),
      show: !one.hidden,
      stroke: colour,
      width: 1.75,
      spanGaps: true,
      points: { show: false },
      ...(one.stepped ? { paths: uPlot.paths.stepped!({ align: 1 }) } : {}),
    }
  }

  private timeAxis(): uPlot.Axis {
    return {
      stroke: this.colours.text,
      font: this.font(),
      grid: { stroke: this.colours.line, width: 1 },
      ticks: { show: false },
      space: 5 * this.rem,
      size: 2.5 * this.rem,
      values: (_u, splits, _axis, _space, step) => {
        let day = ''
        return splits.map((at) => {
          if (step >= 86_400_000) return timeText(at, this.zone, 'day')
          const today = timeText(at, this.zone, 'day')
          const clock = timeText(at, this.zone, step >= 60_000 ? 'minute' : 'second') + fraction(at, step)
          const text = today === day ? clock : `${clock}\n${today}`
          day = today
          return text
        })
      },
    }
  }

  private valueAxis(unit: string, place: number): uPlot.Axis {
    return {
      scale: scaleOf(unit),
      side: place % 2 === 0 ? 3 : 1,
      stroke: this.colours.text,
      font: this.font(),
      grid: { show: place === 0, stroke: this.colours.line, width: 1 },
      ticks: { show: false },
      gap: 6,
      size: (_u, values) =>
        1.1 * this.rem + 0.45 * this.rem * Math.max(2, ...(values ?? []).map((text) => text.length)),
      values: (_u, splits) => axisTexts(splits),
      label: unit,
      labelFont: this.font(),
      labelSize: unit === '' ? 0 : 1.1 * this.rem,
    }
  }

  private padded(unit: string, low: number | null, high: number | null): uPlot.Range.MinMax {
    if (unit === this.series[0]?.unit)
      for (const { value } of this.lines) {
        low = Math.min(low ?? value, value)
        high = Math.max(high ?? value, value)
      }
    if (low === null || high === null) return [0, 1]
    const pad = (high - low || Math.abs(high) || 1) * 0.08
    return [low - pad, high + pad]
  }

  /** The ground is drawn, too, so that the picture that is saved has one. */
  private drawGround(): void {
    const { ctx } = this.u
    ctx.save()
    ctx.fillStyle = this.colours.surface
    ctx.fillRect(0, 0, ctx.canvas.width, ctx.canvas.height)
    ctx.restore()
  }

  private drawMarkers(): void {
    const { ctx, bbox } = this.u
    const ratio = (devicePixelRatio * this.rem) / 16
    ctx.save()
    ctx.font = `${12 * ratio}px system-ui, sans-serif`
    ctx.textAlign = 'left'
    ctx.textBaseline = 'alphabetic'
    ctx.lineWidth = ratio
    ctx.beginPath()
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height)
    ctx.clip()
    for (const { value, label } of this.lines) {
      const y = Math.round(this.u.valToPos(value, scaleOf(this.series[0]?.unit ?? ''), true))
      ctx.strokeStyle = ctx.fillStyle = this.colours.bad
      dashed(ctx, bbox.left, y, bbox.left + bbox.width, y, ratio)
      ctx.fillText(label, bbox.left + 6 * ratio, y - 4 * ratio)
    }
    let end = -Infinity
    let row = 0
    for (const { time, text } of this.markers) {
      if (time < this.stretch.from || time > this.stretch.until) continue
      const x = Math.round(this.u.valToPos(time, 'x', true))
      ctx.strokeStyle = this.colours.accent
      dashed(ctx, x, bbox.top, x, bbox.top + bbox.height, ratio)
      if (text === '') continue
      const words = text.length > 40 ? `${text.slice(0, 39)}…` : text
      const width = ctx.measureText(words).width + 10 * ratio
      row = x < end ? (row + 1) % 4 : 0 // what would cover its neighbour goes a line lower
      end = Math.max(end, x + width)
      const left = Math.min(x, bbox.left + bbox.width - width)
      const top = bbox.top + row * 20 * ratio
      ctx.fillStyle = this.colours.accent
      ctx.fillRect(left, top, width, 18 * ratio)
      ctx.fillStyle = this.colours.surface
      ctx.fillText(words, left + 5 * ratio, top + 13 * ratio)
    }
    ctx.restore()
  }

  private selected(): void {
    const { left, width } = this.u.select
    if (width > 3) {
      const from = this.u.posToVal(left, 'x')
      this.events.zoom({ from, until: this.u.posToVal(left + width, 'x') })
    }
    this.u.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false)
  }

  private listen(): void {
    const { over } = this.u
    over.addEventListener(
      'wheel',
      (event) => {
        if (!event.ctrlKey && !event.shiftKey) return // the wheel scrolls the page, as everywhere
        event.preventDefault()
        const at = this.u.posToVal(event.offsetX, 'x')
        const { from, until } = this.stretch
        const factor = event.deltaY + event.deltaX > 0 ? 1.25 : 0.8
        this.events.zoom({ from: at - (at - from) * factor, until: at + (until - at) * factor })
      },
      { passive: false },
    )
    // A finger pans, two fingers zoom; up and down stays with the page.
    over.style.touchAction = 'pan-y'
    let pressed: number | null = null
    over.addEventListener('pointerdown', (event) => (pressed = event.button === 0 ? event.clientX : null))
    over.addEventListener('click', (event) => {
      if (pressed !== null && Math.abs(event.clientX - pressed) < 4)
        this.events.pick(this.u.posToVal(event.clientX - over.getBoundingClientRect().left, 'x'))
    })
    over.addEventListener('pointerdown', (event) => {
      if (event.pointerType === 'touch') this.pointers.set(event.pointerId, event.clientX)
    })
    over.addEventListener('pointermove', (event) => {
      const before = [...this.pointers.values()]
      if (!this.pointers.has(event.pointerId)) return
      this.pointers.set(event.pointerId, event.clientX)
      const now = [...this.pointers.values()]
      const { from, until } = this.stretch
      const perPixel = (until - from) / over.clientWidth
      if (now.length === 1) {
        const by = (before[0]! - now[0]!) * perPixel
        if (by !== 0) this.events.zoom({ from: from + by, until: until + by })
      } else if (now.length === 2) {
        const factor =
          Math.max(10, Math.abs(before[0]! - before[1]!)) / Math.max(10, Math.abs(now[0]! - now[1]!))
        const at = this.u.posToVal((now[0]! + now[1]!) / 2 - over.getBoundingClientRect().left, 'x')
        this.events.zoom({ from: at - (at - from) * factor, until: at + (until - at) * factor })
      }
    })
    for (const end of ['pointerup', 'pointercancel'] as const)
      over.addEventListener(end, (event) => this.pointers.delete(event.pointerId))
  }
}

/** The part of a second, in as many digits as tell neighbours apart. */
function fraction(at: number, step: number): string {
  if (step >= 1000) return ''
  return ((((at % 1000) + 1000) % 1000) / 1000).toFixed(step < 10 ? 3 : step < 100 ? 2 : 1).slice(1)
}

function scaleOf(unit: string): string {
  return `unit ${unit}`
}

/** All tracks over one axis of times, as uPlot wants them. */
function aligned(tracks: readonly Curve[]): uPlot.AlignedData {
  if (tracks.length === 0) return [[]]
  if (tracks.length === 1) return [tracks[0]!.times, tracks[0]!.values]
  return uPlot.join(tracks.map((track) => [track.times, track.values]))
}

function dashed(
  ctx: CanvasRenderingContext2D,
  x0: number,
  y0: number,
  x1: number,
  y1: number,
  ratio: number,
): void {
  ctx.setLineDash([5 * ratio, 4 * ratio])
  ctx.beginPath()
  ctx.moveTo(x0, y0)
  ctx.lineTo(x1, y1)
  ctx.stroke()
  ctx.setLineDash([])
}
