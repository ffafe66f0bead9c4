import { describe, expect, it } from 'vitest'
import { axisTexts } from '@/charts/axis'

describe('texts of an axis', () => {
  it('are exact where the step has a half in it', () => {
    expect(axisTexts([0, 2.5, 5])).toEqual(['0.0', '2.5', '5.0'])
    expect(axisTexts([0.25, 0.5, 0.75])).toEqual(['0.25', '0.50', '0.75'])
    expect(axisTexts([0.1, 0.2, 0.3])).toEqual(['0.1', '0.2', '0.3'])
  })
  it('have no digits that mean nothing', () => {
    expect(axisTexts([0, 5000, 10_000])).toEqual(['0', '5000', '10000'])
    expect(axisTexts([2400, 2450])).toEqual(['2400', '2450'])
  })
  it('tell large neighbours apart', () => {
    expect(axisTexts([1_000_000, 1_020_000])).toEqual(['1.00e+6', '1.02e+6'])
    expect(axisTexts([0, 250_000, 1_250_000])).toEqual(['0', '2.50e+5', '1.25e+6'])
  })
  it('tell small neighbours apart', () => {
    expect(axisTexts([0, 2e-5, 4e-5])).toEqual(['0', '2e-5', '4e-5'])
  })
  it('are there for one value, too', () => {
    expect(axisTexts([7])).toEqual(['7'])
  })
})
