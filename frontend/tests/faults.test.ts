import { describe, expect, it } from 'vitest'
import { faults } from '@/api/faults'
import { ApiError } from '@/api/http'

const names = ['email', 'username', 'password']

describe('what is wrong in a form', () => {
  it('is said at its fields', () => {
    const error = new ApiError(422, 'Email: is no address; password: should have at least 8 characters.')
    expect(faults(error, names)).toEqual({
      fields: { email: 'Is no address.', password: 'Should have at least 8 characters.' },
      rest: '',
    })
  })

  it('is said above them when it belongs to none', () => {
    const error = new ApiError(422, 'Role: is none; email: is no address.')
    expect(faults(error, names)).toEqual({ fields: { email: 'Is no address.' }, rest: 'Role: is none.' })
  })

  it('is no matter of fields when it is no matter of the form', () => {
    const error = new ApiError(409, 'Email: taken.')
    expect(faults(error, names)).toEqual({ fields: {}, rest: 'Email: taken.' })
    expect(faults(new ApiError(0, 'The server cannot be reached.'), names).rest).toMatch(/reached/)
    expect(faults(new TypeError('odd'), names).rest).toBe('odd')
  })
})
