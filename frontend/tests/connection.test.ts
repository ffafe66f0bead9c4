import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Connection, FAILURES, PING_MS, POLL_MS } from '@/live/connection'
import { FakeWorld, reading, settled } from './fakes'

const PING = '{"type":"ping"}'

function begun(): { world: FakeWorld; connection: Connection } {
  const world = new FakeWorld()
  const connection = new Connection(world, world)
  connection.start()
  return { world, connection }
}

/** A connection that has failed so often that it polls, and tries the socket again. */
async function polling() {
  const { world, connection } = begun()
  for (let i = 0; i < FAILURES; i++) {
    if (i > 0) await world.timers.pass(10_000)
    world.socket.ends()
  }
  await settled()
  return { world, connection }
}

describe('the live connection', () => {
  it('opens a WebSocket first, and asks for nothing beside it', async () => {
    const { world } = begun()
    expect(world.sockets).toHaveLength(1)
    world.socket.greets()
    world.socket.says({ type: 'datapoints_batch', datapoints: [reading('a', 7)] })
    await world.timers.pass(20_000)
    expect(world.values).toEqual([7])
    expect(world.questions).toHaveLength(0)
    expect(world.modes).toEqual(['connecting', 'websocket'])
    expect(world.resumptions).toBe(1)
  })

  it('says "websocket" when the server has greeted, not when the socket opens', async () => {
    const { world } = begun()
    await world.timers.pass(5_000)
    expect(world.modes).toEqual(['connecting'])
  })

  it('pings every 25 s', async () => {
    const { world } = begun()
    world.socket.greets()
    await world.timers.pass(PING_MS - 1)
    expect(world.socket.sent).toEqual([])
    await world.timers.pass(1)
    expect(world.socket.sent).toEqual([PING])
    world.socket.says({ type: 'pong' })
    await world.timers.pass(PING_MS)
    expect(world.socket.sent).toEqual([PING, PING])
    expect(world.sockets).toHaveLength(1)
  })

  it('finds by a missing pong that the link is gone, and opens another', async () => {
    const { world } = begun()
    world.socket.greets()
    await world.timers.pass(PING_MS + 9_999)
    expect(world.openSockets).toBe(1)
    expect(world.modes.at(-1)).toBe('websocket')
    await world.timers.pass(1)
    expect(world.openSockets).toBe(0)
    expect(world.modes.at(-1)).toBe('connecting')
    await world.timers.pass(1_000)
    expect(world.sockets).toHaveLength(2)
  })

  it('takes a server that never greets for one that fails', async () => {
    const { world } = begun()
    await world.timers.pass(10_000)
    expect(world.openSockets).toBe(0)
    await world.timers.pass(500)
    expect(world.sockets).toHaveLength(2)
  })

  it('polls every 1.5 s after three failures in a row, and goes on trying the socket', async () => {
    const { world } = begun()
    world.socket.ends()
    await world.timers.pass(500)
    world.socket.ends()
    await world.timers.pass(1_000)
    expect(world.questions).toHaveLength(0)
    world.socket.ends()
    await settled()
    expect(world.questions).toHaveLength(1)
    expect(world.modes).toEqual(['connecting', 'polling'])
    await world.timers.pass(POLL_MS - 1)
    expect(world.questions).toHaveLength(1)
    await world.timers.pass(1)
    expect(world.questions).toHaveLength(2)
    await world.timers.pass(500)
    expect(world.sockets).toHaveLength(4)
    expect(world.values).toEqual([1, 2])
  })

  it('counts a socket that opens and closes before it is greeted as a failure', async () => {
    const { world } = await polling()
    expect(world.modes).toEqual(['connecting', 'polling'])
  })

  it('counts only failures in a row', async () => {
    const { world } = begun()
    for (let i = 0; i < 6; i++) {
      world.socket.ends()
      await world.timers.pass(10_000)
      if (i % 2 === 1) world.socket.greets()
    }
    expect(world.questions).toHaveLength(0)
    expect(world.modes).not.toContain('polling')
  })

  it('stops polling when the socket is back', async () => {
    const { world } = await polling()
    await world.timers.pass(2_000)
    world.socket.greets()
    const asked = world.questions.length
    await world.timers.pass(20_000)
    expect(world.questions).toHaveLength(asked)
    expect(world.modes).toEqual(['connecting', 'polling', 'websocket'])
  })

  it('goes on polling when a poll fails', async () => {
    const { world } = await polling()
    world.answers = false
    await world.timers.pass(POLL_MS)
    world.questions.at(-1)!.fail()
    await world.timers.pass(POLL_MS)
    expect(world.questions).toHaveLength(3)
  })

  it('has one poll under way at a time, however long it takes', async () => {
    const { world } = await polling()
    world.answers = false
    await world.timers.pass(60_000)
    expect(world.questions).toHaveLength(2)
  })

  it('does not take what a poll says after the socket is back', async () => {
    const { world } = await polling()
    world.answers = false
    await world.timers.pass(2_000)
    world.socket.greets()
    world.socket.says({ type: 'datapoints_batch', datapoints: [reading('a', 100)] })
    world.questions.at(-1)!.answer([reading('a', 99)])
    await settled()
    expect(world.values).toEqual([1, 100])
  })

  it('does not take what an earlier polling asked for, when it polls again', async () => {
    const { world, connection } = await polling()
    world.answers = false
    await world.timers.pass(2_000)
    const late = world.questions.at(-1)!
    connection.stop()
    connection.start()
    for (let i = 0; i < FAILURES; i++) {
      world.socket.ends()
      await world.timers.pass(10_000)
    }
    expect(world.modes.at(-1)).toBe('polling')
    const asked = world.questions.length
    late.answer([reading('somebody-elses', 99)])
    await world.timers.pass(60_000)
    expect(world.values).toEqual([1])
    expect(world.questions).toHaveLength(asked)
  })

  it('ends for good when the token is refused', async () => {
    const { world } = begun()
    world.socket.greets()
    world.socket.ends(1008, 'Token has been revoked')
    await world.timers.pass(600_000)
    expect(world.refusals).toEqual(['Token has been revoked'])
    expect(world.sockets).toHaveLength(1)
    expect(world.questions).toHaveLength(0)
    expect(world.timers.pending).toBe(0)
  })

  it('ends for good when the token is refused while it polls', async () => {
    const { world } = await polling()
    const asked = world.questions.length
    await world.timers.pass(2_000)
    world.socket.ends(1008, 'Invalid or expired token')
    await world.timers.pass(60_000)
    expect(world.questions.length).toBeLessThanOrEqual(asked + 1)
    expect(world.timers.pending).toBe(0)
  })

  it('gives a reason when a refusal has none', () => {
    const { world } = begun()
    world.socket.ends(1008)
    expect(world.refusals[0]).not.toBe('')
  })

  it('takes a browser that lets no socket be opened for a failure', async () => {
    const world = new FakeWorld()
    world.blocked = true
    new Connection(world, world).start()
    await world.timers.pass(2_000)
    expect(world.modes).toEqual(['connecting', 'polling'])
    world.blocked = false
    await world.timers.pass(10_000)
    world.socket.greets()
    expect(world.modes.at(-1)).toBe('websocket')
  })

  it('waits longer from failure to failure, ten seconds at most, and not all browsers equally long', async () => {
    const { world } = begun()
    const waits: number[] = []
    for (let i = 0; i < 7; i++) {
      world.socket.ends()
      const before = world.sockets.length
      const since = world.timers.now
      while (world.sockets.length === before) await world.timers.pass(50)
      waits.push(world.timers.now - since)
    }
    expect(waits).toEqual([500, 1_000, 2_000, 4_000, 8_000, 10_000, 10_000])
    world.random = () => 0
    world.socket.ends()
    const before = world.sockets.length
    await world.timers.pass(5_000)
    expect(world.sockets).toHaveLength(before + 1)
  })

  it('is not moved by what an old socket still says', async () => {
    const { world } = begun()
    const old = world.socket
    old.greets()
    await world.timers.pass(PING_MS + 10_000 + 500)
    world.socket.greets()
    const { modes, values } = { modes: [...world.modes], values: [...world.values] }
    old.says({ type: 'datapoints_batch', datapoints: [reading('a', 1)] })
    old.ends(1008, 'Token has been revoked')
    old.greets()
    await world.timers.pass(1_000)
    expect(world.modes).toEqual(modes)
    expect(world.values).toEqual(values)
    expect(world.refusals).toEqual([])
    expect(world.resumptions).toBe(2)
  })

  it('does not wait when it is hurried', async () => {
    const { world, connection } = await polling()
    const before = world.sockets.length
    connection.hurry()
    expect(world.sockets).toHaveLength(before + 1)
    connection.hurry() // one is being opened
    expect(world.sockets).toHaveLength(before + 1)
    world.socket.greets()
    connection.hurry()
    expect(world.socket.sent).toEqual([PING])
    await world.timers.pass(9_000)
    connection.hurry() // does not give a dead link more time
    await world.timers.pass(1_000)
    expect(world.openSockets).toBe(0)
  })

  it.each(['connecting', 'live', 'pinged', 'waiting', 'polling', 'asking', 'refused'])(
    'leaves nothing behind when it is stopped while %s',
    async (state) => {
      const { world, connection } = state === 'polling' || state === 'asking' ? await polling() : begun()
      if (state === 'live' || state === 'pinged') world.socket.greets()
      if (state === 'pinged') await world.timers.pass(PING_MS)
      if (state === 'waiting') world.socket.ends()
      if (state === 'refused') world.socket.ends(1008, 'User not found')
      if (state === 'asking') {
        world.answers = false
        await world.timers.pass(POLL_MS)
      }
      const { length } = world.values
      connection.stop()
      connection.stop()
      connection.hurry()
      world.questions.at(-1)?.answer([reading('a', 1)])
      await settled()
      expect(world.timers.pending).toBe(0)
      expect(world.openSockets).toBe(0)
      expect(world.values).toHaveLength(length)
    },
  )

  it.each(['connecting', 'websocket', 'polling'])(
    'may be stopped by who is told that it is %s',
    async (mode) => {
      const { world, connection } = begun()
      let told = false
      world.mode = (now) => {
        if (now !== mode) return
        told = true
        connection.stop()
      }
      for (let i = 0; i < FAILURES && !told; i++) {
        if (mode !== 'polling') world.socket.greets()
        if (!told) world.socket.ends()
        await (told ? settled() : world.timers.pass(10_000))
      }
      expect(told).toBe(true)
      expect(world.timers.pending).toBe(0)
      expect(world.openSockets).toBe(0)
    },
  )

  it('begins anew when it is started again', () => {
    const { world, connection } = begun()
    world.socket.greets()
    connection.stop()
    connection.start()
    connection.start()
    expect(world.sockets).toHaveLength(2)
    expect(world.openSockets).toBe(1)
    expect(world.modes).toEqual(['connecting', 'websocket', 'connecting'])
  })

  it('has one socket at most, never rests without a next step, and is quiet when stopped', async () => {
    const actions = [
      'greet',
      'drop',
      'pong',
      'hurry',
      'short',
      'long',
      'answer',
      'fail',
      'stop',
      'start',
    ] as const
    await fc.assert(
      fc.asyncProperty(fc.array(fc.constantFrom(...actions), { maxLength: 60 }), async (steps) => {
        const { world, connection } = begun()
        world.answers = false
        let stopped = false
        for (const step of steps) {
          const question = world.questions.shift()
          if (step === 'greet' && world.socket.open) world.socket.greets()
          else if (step === 'drop' && world.socket.open) world.socket.ends()
          else if (step === 'pong' && world.socket.open) world.socket.says({ type: 'pong' })
          else if (step === 'hurry') connection.hurry()
          else if (step === 'short') await world.timers.pass(700)
          else if (step === 'long') await world.timers.pass(30_000)
          else if (step === 'answer') question?.answer([])
          else if (step === 'fail') question?.fail()
          else if (step === 'stop') connection.stop()
          else if (step === 'start') connection.start()
          if (question && step !== 'answer' && step !== 'fail') world.questions.unshift(question)
          if (step === 'stop') stopped = true
          if (step === 'start') stopped = false
          await settled()
          expect(world.openSockets).toBeLessThanOrEqual(1)
          if (stopped) expect([world.openSockets, world.timers.pending]).toEqual([0, 0])
          else expect(world.timers.pending).toBeGreaterThan(0)
          for (const mode of world.modes) expect(['connecting', 'websocket', 'polling']).toContain(mode)
          if (!stopped && world.modes.at(-1) === 'websocket') expect(world.openSockets).toBe(1)
        }
        // Whatever has happened, a server that is there is found.
        connection.start()
        for (let i = 0; i < 30 && world.modes.at(-1) !== 'websocket'; i++) {
          await world.timers.pass(1_000)
          if (world.openSockets === 1) world.socket.greets()
        }
        expect(world.modes.at(-1)).toBe('websocket')
        connection.stop()
        expect(world.timers.pending).toBe(0)
      }),
    )
  })
})
