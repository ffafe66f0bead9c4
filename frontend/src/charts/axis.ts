/** The texts at an axis. */

const LARGE = 1e6
const SMALL = 1e-4
const MOST_DIGITS = 6

/** Texts of equally spaced values, exact ones: all with as many digits as their step has. */
export function axisTexts(splits: readonly number[]): string[] {
  const step = splits.length > 1 ? Math.abs(splits[1]! - splits[0]!) : 1
  const largest = Math.max(...splits.map(Math.abs))
  const digits = digitsOf(step)
  if (largest < LARGE && (step >= SMALL || step === 0))
    return splits.map((value) => value.toFixed(Math.max(0, digits)))
  const inFront = largest === 0 ? 0 : Math.floor(Math.log10(largest))
  const behind = Math.max(0, Math.min(MOST_DIGITS, inFront + digits))
  return splits.map((value) => (value === 0 ? '0' : value.toExponential(behind)))
}

/** How many digits behind the point a step has: 1 of 0.5, 2 of 0.25, -3 of 5000. */
function digitsOf(step: number): number {
  if (step === 0) return 0
  const first = -Math.floor(Math.log10(step) + 1e-9)
  for (let digits = first; digits < first + 2; digits++) {
    const scaled = step * 10 ** digits
    if (Math.abs(scaled - Math.round(scaled)) < 1e-6 * scaled) return digits
  }
  return first + 2
}
