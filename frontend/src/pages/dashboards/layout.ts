/** Where widgets are: twelve columns, as many rows as it takes. */

export const COLUMNS = 12

export interface Place {
  x: number
  y: number
  w: number
  h: number
}

export function overlap(a: Place, b: Place): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h
}

/** The first place, row by row, that is free for something so wide and high. */
export function firstFree(taken: readonly Place[], w: number, h: number): Place {
  const end = Math.max(0, ...taken.map((place) => place.y + place.h))
  for (let y = 0; y <= end; y++)
    for (let x = 0; x + w <= COLUMNS; x++) {
      const place = { x, y, w, h }
      if (!taken.some((other) => overlap(place, other))) return place
    }
  return { x: 0, y: end, w, h }
}

/** Places as they can be shown: within the columns, none above the first row. Other clients may have written anything. */
export function shown({ x, y, w, h }: Place): Place {
  const width = Math.max(1, Math.min(COLUMNS, w))
  return {
    x: Math.max(0, Math.min(COLUMNS - width, x)),
    y: Math.max(0, y),
    w: width,
    h: Math.max(1, Math.min(COLUMNS, h)),
  }
}

/** How many rows are taken. */
export function rows(places: readonly Place[]): number {
  return Math.max(1, ...places.map((place) => place.y + place.h))
}

export type Step = 'left' | 'right' | 'up' | 'down'

/** One step of the keyboard, moving or resizing; null where there is no room. */
export function stepped(place: Place, step: Step, resize: boolean): Place | null {
  const [dx, dy] = { left: [-1, 0], right: [1, 0], up: [0, -1], down: [0, 1] }[step] as [number, number]
  const next = resize
    ? { ...place, w: place.w + dx, h: place.h + dy }
    : { ...place, x: place.x + dx, y: place.y + dy }
  const fits =
    next.x >= 0 &&
    next.y >= 0 &&
    next.w >= 1 &&
    next.h >= 1 &&
    next.h <= COLUMNS &&
    next.x + next.w <= COLUMNS
  return fits ? next : null
}

export function same(a: Place, b: Place): boolean {
  return a.x === b.x && a.y === b.y && a.w === b.w && a.h === b.h
}
