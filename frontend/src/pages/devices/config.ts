/** The configuration of an instance: a text with a JSON object, whose keys its plugin knows. */

export const MOST_LENGTH = 16_384

/** What is wrong with the text as it stands; empty: nothing. No text at all is no configuration. */
export function configComplaint(text: string): string {
  if (text.trim() === '') return ''
  if (text.length > MOST_LENGTH) return `Too long: ${text.length} characters, and ${MOST_LENGTH} may be.`
  let found: unknown
  try {
    found = JSON.parse(text)
  } catch (error) {
    return `Not JSON yet${place(text, error)}.`
  }
  if (typeof found !== 'object' || found === null || Array.isArray(found))
    return 'Has to be an object: { "key": value }.'
  return ''
}

/** Where a browser says that it stumbled; each says it in its own way. */
function place(text: string, error: unknown): string {
  const words = error instanceof Error ? error.message : ''
  const line = /line (\d+)/.exec(words)?.[1]
  if (line !== undefined) return `: see line ${line}`
  const position = /position (\d+)/.exec(words)?.[1]
  if (position !== undefined) return `: see line ${text.slice(0, Number(position)).split('\n').length}`
  const token = /^Unexpected token ('.'),/s.exec(words)?.[1]
  if (token !== undefined) return `: ${token} was not expected`
  return /end of|unexpected end/i.test(words) ? ': it ends too early' : ''
}

/** What the server says of a configuration that it refuses, without the name of the field; empty: it is about something else. */
export function refusedConfig(text: string): string {
  return /^config_json: (.+)$/is.exec(text)?.[1] ?? ''
}

/** What is sent: null for no configuration. */
export function configOf(text: string): string | null {
  return text.trim() === '' ? null : text
}

/** The text, set out to be read; as it is, where it is no JSON. */
export function laidOut(text: string | null): string {
  if (text === null || text.trim() === '') return ''
  try {
    return JSON.stringify(JSON.parse(text), null, 2)
  } catch {
    return text
  }
}

/** Configurations to begin with, of the plugins that come with the server. */
const EXAMPLES: Record<string, object> = {
  system: { extra: true },
  simulated: { speed: 1, noise: 1 },
  modbus: {
    host: '192.168.1.20',
    port: 502,
    channels: [
      {
        channel_id: 'temperature',
        name: 'Temperature',
        unit: '°C',
        table: 'holding',
        address: 0,
        type: 'int16',
        scale: 0.1,
        min_value: 0,
        max_value: 200,
      },
    ],
  },
  mqtt: {
    host: '192.168.1.20',
    channels: [
      {
        channel_id: 'temperature',
        name: 'Temperature',
        unit: '°C',
        topic: 'greenhouse/climate',
        pointer: '/temperature',
        min_value: -20,
        max_value: 60,
      },
    ],
  },
}

export function exampleConfig(pluginId: string): string | null {
  const found = EXAMPLES[pluginId]
  return found === undefined ? null : JSON.stringify(found, null, 2)
}

/** Those that have no channels before they are told some. */
export function needsConfig(pluginId: string): boolean {
  return pluginId === 'modbus' || pluginId === 'mqtt'
}
