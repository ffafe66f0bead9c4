/** Whether the window is as narrow as a phone's: there one looks at dashboards, and builds them elsewhere. */

import { onScopeDispose, ref, type Ref } from 'vue'

export function useNarrow(): Readonly<Ref<boolean>> {
  const query = matchMedia('(max-width: 720px)')
  const narrow = ref(query.matches)
  const look = () => (narrow.value = query.matches)
  query.addEventListener('change', look)
  onScopeDispose(() => query.removeEventListener('change', look))
  return narrow
}
