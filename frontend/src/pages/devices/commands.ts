/** What to run where, with everything in it: nothing has to be looked up or replaced. */

export interface Target {
  /** The server as this browser reaches it: scheme, host and port. */
  origin: string
  token: string
  /** Ids of events that readings are sent for. */
  events: readonly string[]
}

export interface Command {
  key: string
  label: string
  about: string
  text: string
}

const UNKNOWN = 'the-id-of-an-event'

/**
 * `webmacs controller` takes the port as a part of WEBMACS_SERVER_URL. WEBMACS_SERVER_PORT counts only for an address without
 * one, so the address always has its port here: whatever that variable says on the other machine then changes nothing.
 */
export function withPort(origin: string): string {
  const url = new URL(origin)
  const port = url.port || (url.protocol === 'https:' ? '443' : '80')
  return `${url.protocol}//${url.hostname}:${port}`
}

export function controllerCommands({ origin, token }: Target): Command[] {
  const server = withPort(origin)
  return [
    {
      key: 'controller',
      label: 'Controller',
      about: 'On the machine that the device is connected to, with WebMACS installed; Linux and macOS.',
      text: `WEBMACS_SERVER_URL=${server} \\\nWEBMACS_API_TOKEN=${token} \\\nwebmacs controller`,
    },
    {
      key: 'windows',
      label: 'Controller (Windows)',
      about: 'On the machine that the device is connected to, with WebMACS installed; in PowerShell.',
      text: `$env:WEBMACS_SERVER_URL = "${server}"\n$env:WEBMACS_API_TOKEN = "${token}"\nwebmacs controller`,
    },
    {
      key: 'file',
      label: 'Controller (file)',
      about: 'As controller.toml, to be run by a service: webmacs controller --config controller.toml',
      text: `[controller]\nserver_url = "${server}"\ntoken = "${token}"\n`,
    },
  ]
}

export function scriptCommands({ origin, token, events }: Target): Command[] {
  const event = events[0] ?? UNKNOWN
  return [
    {
      key: 'python',
      label: 'Python',
      about: 'Save it as send.py and run it with python3 send.py; it needs nothing but Python.',
      text: `import json, math, time, urllib.request

URL = "${origin}/api/v1/datapoints/batch"
TOKEN = "${token}"

def send(values):
    points = [{"event_public_id": event, "value": value} for event, value in values.items()]
    headers = {"Authorization": "Bearer " + TOKEN, "Content-Type": "application/json"}
    request = urllib.request.Request(URL, json.dumps({"datapoints": points}).encode(), headers)
    print(json.load(urllib.request.urlopen(request))["message"])

while True:
    send({"${event}": 20 + 5 * math.sin(time.time() / 10)})  # your value here
    time.sleep(1)
`,
    },
    {
      key: 'curl',
      label: 'curl',
      about: 'One reading, from any shell.',
      text: `curl ${origin}/api/v1/datapoints \\
  -H 'Authorization: Bearer ${token}' \\
  -H 'Content-Type: application/json' \\
  -d '{"event_public_id": "${event}", "value": 23.5}'`,
    },
  ]
}
