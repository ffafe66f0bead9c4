/** What is done with devices, as the server wants it. */

import type { Event, Token } from '@/api/types'
import { useCatalog } from '@/stores/catalog'
import { useSession } from '@/stores/session'
import type { Adoption } from './adopt'

export interface NewDevice {
  plugin_id: string
  instance_name: string
  demo_mode: boolean
  auto_create_events: boolean
  config_json: string | null
}

export interface NewToken extends Pick<Token, 'public_id' | 'name'> {
  /** Shown this once. */
  token: string
}

export function useDevices() {
  const session = useSession()
  const catalog = useCatalog()

  /** Add one, and find it: the server answers without its id, and names are unique. */
  async function add(device: NewDevice): Promise<string> {
    await session.api.post('plugins', { ...device, enabled: true })
    await catalog.refresh()
    const added = catalog.plugins.find((plugin) => plugin.instance_name === device.instance_name)
    if (added === undefined) throw new Error(catalog.failure || `${device.instance_name} was removed again.`)
    return added.public_id
  }

  /** A token that sends readings of this device, and sees nothing else. */
  function issueToken(plugin: string, name: string): Promise<NewToken> {
    return session.api.post<NewToken>('tokens', { name, scope: 'ingest', plugin_public_id: plugin })
  }

  /** What arrives under this id is an event from now on. */
  async function adopt(adoption: Adoption): Promise<Event> {
    const event = await session.api.post<Event>('events/unlinked/adopt', adoption)
    await catalog.refresh()
    return event
  }

  return { add, issueToken, adopt }
}
