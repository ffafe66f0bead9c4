/**
 * Small curves in many tiles. What has changed waits in a queue, and each frame draws so many of them as fit into a few
 * milliseconds: hundreds of tiles that change at once must not cost a frame.
 */

import type { Ring } from './readings'

const BUDGET_MS = 3
/** A curve is drawn anew at most once in so many ms. */
const REST_MS = 900

export interface Curve {
  canvas: HTMLCanvasElement
  ring: Ring
  /** How far back it reaches, ms. */
  span: number
  colour: string
  drawnAt: number
  waiting: boolean
  /** Whether the canvas has as many pixels as it has room; who lets it grow takes that away. */
  sized: boolean
}

const queue: Curve[] = []
let frame = 0

export function curve(canvas: HTMLCanvasElement, ring: Ring, span: number, colour: string): Curve {
  return { canvas, ring, span, colour, drawnAt: -Infinity, waiting: false, sized: false }
}

/** Draw it when there is time. */
export function redraw(one: Curve): void {
  if (one.waiting || performance.now() - one.drawnAt < REST_MS) return
  one.waiting = true
  queue.push(one)
  if (frame === 0) frame = requestAnimationFrame(work)
}

function work(): void {
  frame = 0
  const begun = performance.now()
  let now = begun
  while (queue.length > 0 && now - begun < BUDGET_MS) {
    const one = queue.shift()!
    one.waiting = false
    if (!one.canvas.isConnected) continue
    draw(one)
    one.drawnAt = now = performance.now()
  }
  if (queue.length > 0) frame = requestAnimationFrame(work)
}

function draw(one: Curve): void {
  const { canvas, ring, span, colour } = one
  const ratio = devicePixelRatio
  // Asking the layout for the size, hundreds of times a second, would cost more than drawing.
  if (!one.sized) {
    if (canvas.clientWidth === 0 || canvas.clientHeight === 0) return
    canvas.width = Math.round(canvas.clientWidth * ratio)
    canvas.height = Math.round(canvas.clientHeight * ratio)
    one.sized = true
  }
  const { width, height } = canvas
  const ctx = canvas.getContext('2d')!
  ctx.clearRect(0, 0, width, height)
  if (ring.length < 2) return
  const end = ring.time(ring.length - 1)
  const first = Math.max(0, ring.since(end - span) - 1)
  const begin = Math.max(ring.time(first), end - span)
  let low = Infinity
  let high = -Infinity
  for (let i = first; i < ring.length; i++) {
    const value = ring.value(i)
    if (value < low) low = value
    if (value > high) high = value
  }
  if (high === low) {
    low -= 1
    high += 1
  }
  const x = (time: number) => ((time - begin) / (end - begin || 1)) * (width - 2 * ratio) + ratio
  const y = (value: number) => height - 2 * ratio - ((value - low) / (high - low)) * (height - 4 * ratio)
  ctx.strokeStyle = colour
  ctx.lineWidth = 1.5 * ratio
  ctx.lineJoin = 'round'
  ctx.beginPath()
  ctx.moveTo(x(ring.time(first)), y(ring.value(first)))
  // No more points than pixels: of each stretch of a pixel, the extremes.
  const step = Math.max(1, Math.floor((ring.length - first) / width))
  for (let i = first + 1; i < ring.length; i += step) {
    if (step === 1) ctx.lineTo(x(ring.time(i)), y(ring.value(i)))
    else {
      let [least, most] = [i, i]
      for (let j = i + 1; j < Math.min(ring.length, i + step); j++) {
        if (ring.value(j) < ring.value(least)) least = j
        if (ring.value(j) > ring.value(most)) most = j
      }
      for (const j of [Math.min(least, most), Math.max(least, most)])
        ctx.lineTo(x(ring.time(j)), y(ring.value(j)))
    }
  }
  ctx.stroke()
}
