import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { Api, ApiError, explain, sentence } from '@/api/http'

let token: string | null
let refusals: string[]
let asked: { url: URL; init: RequestInit }[]
let answers: (() => Response | Promise<Response>)[]
let api: Api

function json(body: unknown, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { 'Content-Type': 'application/json', ...headers },
  })
}

function html(status: number, statusText = ''): Response {
  return new Response('<html><body><h1>nginx</h1></body></html>', { status, statusText })
}

/** An answer that never comes; the request can be given up. */
function never(init: RequestInit): Promise<Response> {
  return new Promise((_, reject) => init.signal!.addEventListener('abort', () => reject(init.signal!.reason)))
}

beforeEach(() => {
  token = 'secret'
  refusals = []
  asked = []
  answers = []
  api = new Api({
    token: () => token,
    refused: (reason) => {
      refusals.push(reason)
      token = null
    },
  })
  vi.stubGlobal('location', { origin: 'http://lab.example' })
  vi.stubGlobal('fetch', (url: URL, init: RequestInit) => {
    asked.push({ url, init })
    const answer = answers.shift()
    return answer === undefined ? never(init) : Promise.resolve().then(answer)
  })
})
afterEach(() => {
  vi.unstubAllGlobals()
  vi.useRealTimers()
})

async function failure(work: Promise<unknown>): Promise<ApiError> {
  const error = await work.then(
    () => null,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(ApiError)
  return error as ApiError
}

describe('a request', () => {
  it('bears the token, its parameters and its body', async () => {
    answers = [() => json({ a: 1 }), () => json({})]
    expect(await api.request('events', { query: { page: 2, name: 'a b', none: undefined } })).toEqual({
      a: 1,
    })
    await api.post('rules', { name: 'x' })
    const [first, second] = asked
    expect(first!.url.href).toBe('http://lab.example/api/v1/events?page=2&name=a+b')
    expect(first!.init.headers).toEqual({ Authorization: 'Bearer secret' })
    expect(first!.init.body).toBeNull()
    expect(second!.init.method).toBe('POST')
    expect(second!.init.body).toBe('{"name":"x"}')
    expect(second!.init.headers).toMatchObject({ 'Content-Type': 'application/json' })
  })

  it('bears no token when nobody is signed in', async () => {
    token = null
    answers = [() => json({})]
    await api.request('/health')
    expect(asked[0]!.url.pathname).toBe('/health')
    expect(asked[0]!.init.headers).toEqual({})
  })

  it('tells what time it is at the server, also when it fails', async () => {
    const heard: number[] = []
    api.onTime = (_askedAt, _heardAt, serverTime) => heard.push(serverTime)
    const date = { Date: 'Sun, 22 Nov 2026 23:57:25 GMT' }
    answers = [() => json({}, 200, date), () => json({ detail: 'no' }, 404, date), () => json({})]
    await api.get('a')
    await failure(api.get('b'))
    await api.get('c')
    expect(heard).toEqual([Date.UTC(2026, 10, 22, 23, 57, 25), Date.UTC(2026, 10, 22, 23, 57, 25)])
  })

  it('fails with the sentence of the server', async () => {
    answers = [() => json({ detail: 'a rule with that name exists already' }, 409)]
    const error = await failure(api.post('rules', {}))
    expect([error.status, error.message]).toEqual([409, 'A rule with that name exists already.'])
  })

  it.each([
    [502, 'The server is not there at the moment.'],
    [504, 'The server is not there at the moment.'],
    [413, 'The server answers 413 Content Too Large.'],
  ])('does not show the page of a proxy that answers %d', async (status, text) => {
    answers = [() => html(status, status === 413 ? 'Content Too Large' : '')]
    expect((await failure(api.get('events'))).message).toBe(text)
  })

  it('says what it was when there is no reason at all', async () => {
    answers = [() => html(500)]
    expect((await failure(api.get('events'))).message).toBe('The server answers 500.')
  })

  it('does not take a page of a proxy for an answer', async () => {
    answers = [() => html(200)]
    const error = await failure(api.get('events'))
    expect(error.message).not.toMatch(/JSON|token/i)
  })

  it('says so when the connection breaks within an answer', async () => {
    const broken = () =>
      new Response(
        new ReadableStream({
          start(controller) {
            controller.enqueue(new TextEncoder().encode('{"data": ['))
            controller.error(new TypeError('network error'))
          },
        }),
      )
    answers = [broken, broken]
    expect((await failure(api.get('events'))).status).toBe(0)
    expect((await failure(api.blob('events'))).status).toBe(0)
  })

  it('says that the server cannot be reached', async () => {
    answers = [() => Promise.reject(new TypeError('Failed to fetch'))]
    const error = await failure(api.get('events'))
    expect([error.status, error.message]).toEqual([0, 'The server cannot be reached.'])
  })

  it('is given up after its time', async () => {
    const error = await failure(api.request('events', { timeout: 10 }))
    expect([error.status, error.message]).toEqual([0, 'The server does not answer.'])
  })

  it('is given up after its time also when the answer has begun', async () => {
    vi.stubGlobal('fetch', (_url: URL, init: RequestInit) =>
      Promise.resolve(
        new Response(
          new ReadableStream({
            start: (controller) =>
              init.signal!.addEventListener('abort', () => controller.error(init.signal!.reason)),
          }),
        ),
      ),
    )
    expect((await failure(api.request('events', { timeout: 10 }))).message).toBe(
      'The server does not answer.',
    )
  })

  it('that nobody wants any more ends as such, not as a failure to be shown', async () => {
    const controller = new AbortController()
    const work = api.get('events', {}, controller.signal)
    controller.abort()
    await expect(work).rejects.toHaveProperty('name', 'AbortError')
    await expect(work).rejects.not.toBeInstanceOf(ApiError)
  })
})

describe('a file', () => {
  const head = { 'Content-Type': 'text/csv', 'Content-Disposition': 'attachment; filename="run_1.csv"' }

  it('is taken as it comes, and says how far it is', async () => {
    answers = [() => new Response('a,b\r\n1,2\r\n', { headers: head })]
    const seen: number[] = []
    const { blob, name } = await api.download('experiments/x/export/csv', (bytes) => seen.push(bytes))
    expect([await blob.text(), blob.type, name]).toEqual(['a,b\r\n1,2\r\n', 'text/csv', 'run_1.csv'])
    expect(seen.at(-1)).toBe(10)
  })

  it('is none when the connection breaks within it', async () => {
    const broken = new ReadableStream({
      pull(controller) {
        controller.error(new TypeError('network error'))
      },
    })
    answers = [() => new Response(broken, { headers: head })]
    const error = await failure(api.download('export', () => undefined))
    expect(error.message).toMatch(/nothing was saved/)
  })

  it('that nobody wants any more ends as such', async () => {
    const controller = new AbortController()
    const work = api.download('export', () => undefined, { signal: controller.signal })
    controller.abort()
    await expect(work).rejects.toHaveProperty('name', 'AbortError')
  })
})

describe('a token that is refused', () => {
  const no = () => json({ detail: 'Token has been revoked' }, 401)

  it('ends the session once, however many requests were under way', async () => {
    answers = [no, no, no]
    await Promise.all([failure(api.get('a')), failure(api.get('b')), failure(api.get('c'))])
    expect(refusals).toEqual(['Token has been revoked.'])
  })

  it('does not end the session that was begun meanwhile', async () => {
    answers = [no]
    const work = failure(api.get('a'))
    token = 'another'
    expect((await work).status).toBe(401)
    expect(refusals).toEqual([])
    expect(token).toBe('another')
  })

  it('is none when there was no token: a wrong password is the form’s to show', async () => {
    token = null
    answers = [() => json({ detail: 'Incorrect email or password' }, 401)]
    expect((await failure(api.post('auth/login', {}))).message).toBe('Incorrect email or password.')
    expect(refusals).toEqual([])
  })
})

describe('what a role may not do', () => {
  it('is a reason to ask who one is, for the session that asked', async () => {
    let asks = 0
    const mine = new Api({ token: () => token, refused: () => undefined, forbidden: () => asks++ })
    const no = () => json({ detail: 'Insufficient permissions' }, 403)
    answers = [no, no]
    expect((await failure(mine.get('users'))).message).toBe('Insufficient permissions.')
    const late = failure(mine.get('users'))
    token = 'another'
    await late
    expect(asks).toBe(1)
  })
})

describe('all of a list', () => {
  const page = (data: number[], total: number) => () => json({ page: 1, page_size: 100, total, data })

  it('is asked for page by page', async () => {
    answers = [page([1, 2], 5), page([3, 4], 5), page([5], 5)]
    expect(await api.all('events', { kind: 'x' })).toEqual([1, 2, 3, 4, 5])
    expect(asked.map(({ url }) => url.search)).toEqual([
      '?kind=x&page=1&page_size=100',
      '?kind=x&page=2&page_size=100',
      '?kind=x&page=3&page_size=100',
    ])
  })

  it('is one question when there is nothing', async () => {
    answers = [page([], 0)]
    expect(await api.all('events')).toEqual([])
  })

  it('ends where the server has no more, whatever it counted', async () => {
    answers = [page([1], 9), page([], 9)]
    expect(await api.all('events')).toEqual([1])
  })

  it('fails as a whole', async () => {
    answers = [page([1], 2), () => html(502)]
    await failure(api.all('events'))
  })
})

describe('what is shown', () => {
  it('is a sentence', () => {
    expect(sentence('old_password: is not the password')).toBe('Old_password: is not the password.')
    expect(sentence('Done!')).toBe('Done!')
    expect(explain(new ApiError(0, 'The server cannot be reached.'))).toBe('The server cannot be reached.')
    expect(explain('odd')).toBe('odd')
  })
})
