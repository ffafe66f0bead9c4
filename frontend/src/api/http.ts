/** Requests to the server: one function, and one kind of error that can be shown as it is. */

export class ApiError extends Error {
  constructor(
    /** The HTTP status; 0: the server could not be reached. */
    readonly status: number,
    message: string,
  ) {
    super(message)
    this.name = 'ApiError'
  }
}

export interface Credentials {
  /** The text that goes into `Authorization: Bearer`, or null when nobody is signed in. */
  token(): string | null
  /** The server says that the token is not (any more) good, with its reason. */
  refused(reason: string): void
  /** The server says that this is not for this role: it may have been changed. */
  forbidden?(): void
}

/** What a response says of the server's clock: asked at, heard at (both `Date.now()`), and its own time in ms. */
export type HeardTime = (askedAt: number, heardAt: number, serverTime: number) => void

export interface RequestOptions {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE'
  body?: unknown
  query?: Record<string, string | number | undefined>
  signal?: AbortSignal
  /** In ms; what takes longer is given up. */
  timeout?: number
}

export class Api {
  onTime: HeardTime = () => undefined

  constructor(
    private readonly credentials: Credentials,
    private readonly base = '/api/v1',
  ) {}

  /**
   * Ask the server, and parse its answer.
   *
   * @throws ApiError with a text that says what is wrong and can be shown.
   */
  async request<T>(path: string, options: RequestOptions = {}): Promise<T> {
    return this.fetch(path, options, (response) => response.json() as Promise<T>)
  }

  /** The same for what is no JSON, a CSV file for instance. */
  async blob(path: string, options: RequestOptions = {}): Promise<Blob> {
    return this.fetch(path, { timeout: 600_000, ...options }, (response) => response.blob())
  }

  /**
   * A file, and the name that the server gives it; `progress` hears how many bytes came so far.
   *
   * @throws ApiError also when the link breaks on the way: half a file is none.
   */
  async download(
    path: string,
    progress: (bytes: number) => void,
    options: RequestOptions = {},
  ): Promise<{ blob: Blob; name: string | null }> {
    return this.fetch(path, { timeout: 6 * 3_600_000, ...options }, async (response) => {
      const chunks: Uint8Array<ArrayBuffer>[] = []
      let bytes = 0
      try {
        const reader = response.body!.getReader()
        for (let part = await reader.read(); !part.done; part = await reader.read()) {
          chunks.push(part.value)
          progress((bytes += part.value.length))
        }
      } catch (error) {
        if (options.signal?.aborted) throw error
        throw new ApiError(0, 'The connection broke before the file was complete; nothing was saved.')
      }
      const type = response.headers.get('Content-Type') ?? ''
      return { blob: new Blob(chunks, { type }), name: fileName(response.headers.get('Content-Disposition')) }
    })
  }

  get<T>(path: string, query?: RequestOptions['query'], signal?: AbortSignal): Promise<T> {
    return this.request<T>(path, { query, signal })
  }

  post<T>(path: string, body?: unknown): Promise<T> {
    return this.request<T>(path, { method: 'POST', body })
  }

  put<T>(path: string, body?: unknown): Promise<T> {
    return this.request<T>(path, { method: 'PUT', body })
  }

  delete<T>(path: string): Promise<T> {
    return this.request<T>(path, { method: 'DELETE' })
  }

  /** All items of a list that the server gives in pages. */
  async all<T>(path: string, query: RequestOptions['query'] = {}): Promise<T[]> {
    const items: T[] = []
    for (let page = 1; ; page++) {
      const answer = await this.get<Page<T>>(path, { ...query, page, page_size: 100 })
      items.push(...answer.data)
      if (answer.data.length === 0 || items.length >= answer.total) return items
    }
  }

  private async fetch<T>(
    path: string,
    options: RequestOptions,
    read: (response: Response) => Promise<T>,
  ): Promise<T> {
    const { method = 'GET', body, query, signal, timeout = 30_000 } = options
    const url = new URL((path.startsWith('/') ? '' : this.base + '/') + path, location.origin)
    for (const [name, value] of Object.entries(query ?? {}))
      if (value !== undefined) url.searchParams.set(name, String(value))
    const headers: Record<string, string> = {}
    const token = this.credentials.token()
    if (token !== null) headers['Authorization'] = `Bearer ${token}`
    if (body !== undefined) headers['Content-Type'] = 'application/json'
    const limit = AbortSignal.timeout(timeout)
    const lost = (error: unknown): unknown => {
      if (signal?.aborted) return error
      return new ApiError(0, limit.aborted ? 'The server does not answer.' : 'The server cannot be reached.')
    }
    const askedAt = Date.now()
    let response: Response
    try {
      response = await fetch(url, {
        method,
        headers,
        body: body === undefined ? null : JSON.stringify(body),
        signal: signal === undefined ? limit : AbortSignal.any([limit, signal]),
        cache: 'no-store',
        credentials: 'omit',
      })
    } catch (error) {
      throw lost(error)
    }
    const date = Date.parse(response.headers.get('Date') ?? '')
    if (!Number.isNaN(date)) this.onTime(askedAt, Date.now(), date)
    if (response.ok) {
      try {
        return await read(response)
      } catch (error) {
        if (error instanceof ApiError) throw error
        if (error instanceof SyntaxError)
          throw new ApiError(response.status, 'What answers is not a WebMACS server: a proxy, perhaps.')
        throw lost(error)
      }
    }
    const reason = await said(response)
    // The answer to a question of an earlier session says nothing of the one that has begun since.
    if (response.status === 401 && token !== null && token === this.credentials.token())
      this.credentials.refused(reason)
    if (response.status === 403 && token !== null && token === this.credentials.token())
      this.credentials.forbidden?.()
    throw new ApiError(response.status, reason)
  }
}

export interface Page<T> {
  page: number
  page_size: number
  total: number
  data: T[]
}

/** The name of a file in `Content-Disposition` (RFC 6266): the one that may have any letter first. */
export function fileName(disposition: string | null): string | null {
  const whole = /filename\*=UTF-8''([^;\s]+)/i.exec(disposition ?? '')
  if (whole !== null)
    try {
      return decodeURIComponent(whole[1]!)
    } catch {
      // not as the standard has it: the plain one is there, too
    }
  return /filename="([^"]*)"/i.exec(disposition ?? '')?.[1] ?? null
}

async function said(response: Response): Promise<string> {
  try {
    const { detail } = (await response.json()) as { detail?: unknown }
    if (typeof detail === 'string') return sentence(detail)
  } catch {
    // no JSON: a proxy speaks, and what it says is not for people
  }
  if (response.status === 502 || response.status === 504) return 'The server is not there at the moment.'
  return `The server answers ${response.status} ${response.statusText}.`.replace(' .', '.')
}

/** A text of the server as a person reads it: a capital at the front, a full stop at the end. */
export function sentence(text: string): string {
  const whole = text.charAt(0).toUpperCase() + text.slice(1)
  return /[.!?…]$/.test(whole) ? whole : `${whole}.`
}

/** What to show of anything that was thrown. */
export function explain(error: unknown): string {
  return error instanceof Error ? error.message : String(error)
}
