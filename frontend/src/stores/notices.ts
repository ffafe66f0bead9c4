/** Short words about what was just done, or could not be; they go by themselves, errors later than the rest. */

import { defineStore } from 'pinia'
import { ref } from 'vue'
import { explain } from '@/api/http'

export interface Notice {
  id: number
  kind: 'done' | 'error'
  text: string
}

const DONE_MS = 4_000
const ERROR_MS = 12_000
const MOST = 4

export const useNotices = defineStore('notices', () => {
  const notices = ref<Notice[]>([])
  let last = 0

  function say(kind: Notice['kind'], text: string): void {
    const id = ++last
    notices.value = [...notices.value.slice(1 - MOST), { id, kind, text }]
    window.setTimeout(() => dismiss(id), kind === 'error' ? ERROR_MS : DONE_MS)
  }

  function dismiss(id: number): void {
    notices.value = notices.value.filter((notice) => notice.id !== id)
  }

  /** Do something; say that it is done, or why it is not. The answer is whether it is. */
  async function attempt(work: () => Promise<unknown>, done?: string): Promise<boolean> {
    try {
      await work()
    } catch (error) {
      say('error', explain(error))
      return false
    }
    if (done !== undefined) say('done', done)
    return true
  }

  return { notices, say, dismiss, attempt }
})
