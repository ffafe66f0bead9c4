/** The plugins that are installed at the server; asked for once a page. */

import { computed, shallowRef } from 'vue'
import type { Available } from '@/api/types'
import { useSession } from '@/stores/session'

const plugins = shallowRef<Available[] | null>(null)
const names = computed(() => new Map((plugins.value ?? []).map((plugin) => [plugin.id, plugin.name])))

/** `plugins` is null until they are known. Each use asks anew, as some may have been installed. */
export function useAvailable() {
  const { api } = useSession()
  void api.get<Available[]>('plugins/available').then(
    (found) => (plugins.value = found),
    () => (plugins.value ??= []),
  )
  return { plugins, names }
}
