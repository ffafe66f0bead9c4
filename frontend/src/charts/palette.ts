/** Colours of a chart, from the style sheet, so that charts are light and dark with everything else. */

export const SERIES_COLOURS = 8

export interface Colours {
  series: string[]
  text: string
  line: string
  surface: string
  accent: string
  bad: string
}

export function colours(): Colours {
  const style = getComputedStyle(document.documentElement)
  const read = (name: string) => style.getPropertyValue(name).trim()
  return {
    series: Array.from({ length: SERIES_COLOURS }, (_, i) => read(`--series-${i + 1}`)),
    text: read('--text-quiet'),
    line: read('--line'),
    surface: read('--surface'),
    accent: read('--accent'),
    bad: read('--bad'),
  }
}
