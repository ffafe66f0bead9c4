/** Names of experiments. */

/** The name that follows: "Heating 9" is followed by "Heating 10", what has no number by nothing. */
export function nextName(names: readonly string[]): string {
  const last = names.at(-1)
  const parts = last === undefined ? null : /^(.*?)(\d{1,9})$/.exec(last)
  if (parts === null) return ''
  const [, words, digits] = parts as unknown as [string, string, string]
  let next = Number(digits)
  let name: string
  do name = words + String(++next).padStart(digits.length, '0')
  while (names.includes(name))
  return name
}
