/** What the server finds wrong in a form: "name: is too long; unit: …" is said at its fields, the rest above them. */

import { ApiError, explain, sentence } from './http'

export interface Faults {
  /** By the name of the field. */
  fields: Record<string, string>
  /** What belongs to no field of the form; empty: nothing. */
  rest: string
}

export function noFaults(): Faults {
  return { fields: {}, rest: '' }
}

/** Sort what went wrong to the fields of a form. */
export function faults(error: unknown, names: readonly string[]): Faults {
  if (!(error instanceof ApiError) || error.status !== 422) return { fields: {}, rest: explain(error) }
  const found = noFaults()
  const others: string[] = []
  for (const part of error.message.split('; ')) {
    const [, name = '', text = ''] = /^(\w+): (.*)$/s.exec(part) ?? []
    const field = names.find((one) => one.toLowerCase() === name.toLowerCase())
    if (field === undefined) others.push(part)
    else found.fields[field] ??= sentence(text)
  }
  found.rest = others.length === 0 ? '' : sentence(others.join('; '))
  return found
}
