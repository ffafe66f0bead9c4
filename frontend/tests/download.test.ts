import { describe, expect, it } from 'vitest'
import { fileName } from '@/api/http'

describe('the name of a file that the server sends', () => {
  it('is the plain one', () => {
    expect(fileName('attachment; filename="experiment_Run_1_ab12cd34.csv"')).toBe(
      'experiment_Run_1_ab12cd34.csv',
    )
  })
  it('is the one with any letter, if there are both', () => {
    expect(
      fileName('attachment; filename="experiment_Gr__n.csv"; filename*=UTF-8\'\'experiment_Gr%C3%BCn.csv'),
    ).toBe('experiment_Grün.csv')
  })
  it('is the plain one, if the other cannot be read', () => {
    expect(fileName('attachment; filename="a.csv"; filename*=UTF-8\'\'%E0%A4%A.csv')).toBe('a.csv')
  })
  it('is none, if there is none', () => {
    expect(fileName(null)).toBeNull()
    expect(fileName('inline')).toBeNull()
  })
})
