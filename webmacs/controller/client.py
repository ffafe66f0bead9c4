"""For scripts of one's own: readings to a server, each stored once, whatever happens to the connection meanwhile.

    async with connect("http://plant:8000", "wm_…") as client:
        await client.send({"event-id": 23.5})

`send` returns when the server has the readings on its disk. Until then they are sent again, under the same identity,
over as many connections as it takes. What is not sent when the script ends is lost: `webmacs controller` has a spool.
"""

from __future__ import annotations

import asyncio
import math
import threading
import uuid
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

import aiohttp

from webmacs.controller.batch import Batch, Outcome, Refused, Source, Stored
from webmacs.controller.clocks import Clocks, LocalClock, MachineClock
from webmacs.controller.credentials import trust
from webmacs.controller.frames import Reading
from webmacs.controller.link import Link, Timing
from webmacs.controller.login import Login
from webmacs.controller.server import Server
from webmacs.controller.wire import Changed, Hello, Setpoints, item_bytes
from webmacs.errors import AuthError, ConfigError, Unwanted
from webmacs.model import to_us
from webmacs.tasks import end

T = TypeVar("T")

Values = Mapping[str, float] | Iterable[tuple[str, float, datetime | None]]

BATCH_READINGS: Final = 100
BATCH_BYTES: Final = 64 * 1024
TOLERANCE_S: Final = 2.0
AGAIN_S: Final = 1.0  # after a server that has no room
NO_BOOT: Final = bytes(16)  # of readings whose time is given: it is not ours to mend


class Client(Source):
    """A connection to one server. `send` may be called by as many tasks as one likes."""

    def __init__(self, clock: LocalClock) -> None:
        super().__init__()
        self._clock = clock
        self._waiting: deque[Batch] = deque()
        self._under_way: dict[str, Batch] = {}
        self._fates: dict[str, asyncio.Future[Outcome]] = {}
        self._resume_at = 0.0
        self._over: BaseException | None = None

    def end(self, link: asyncio.Task[None]) -> None:
        """There will be no connection any more: whoever waits, or will, is told why."""
        self._over = AuthError("the connection was closed") if link.cancelled() else link.exception()
        for fate in self._fates.values():
            if not fate.done() and self._over is not None:
                fate.set_exception(self._over)

    async def send(self, values: Values, *, time: datetime | None = None) -> Stored:
        """Send readings, and return when they are stored, with how many of them were accepted.

        `values` is a value for each event, or triples of event, value and time. `time` is that of all which have none;
        without it, now is. When cancelled, they may have been stored or not.

        Raises:
            Unwanted: the server refuses them, and always will.
            AuthError: the server does not let us in any more.
            ValueError: a value is not finite, or a time has no offset.

        """
        if self._over is not None:
            raise self._over
        fates = []
        for batch in list(self._batches(values, time)):
            fate = self._fates[batch.batch_id] = asyncio.get_running_loop().create_future()
            fates.append(fate)
            self._waiting.append(batch)
        self.wake()
        try:
            outcomes = await asyncio.gather(*fates)
        finally:
            self._forget(fates)
        for outcome in outcomes:
            if isinstance(outcome, Refused):
                raise Unwanted(outcome.message)
        return _sum(outcome for outcome in outcomes if isinstance(outcome, Stored))

    def _batches(self, values: Values, time: datetime | None) -> Iterator[Batch]:
        triples = ((event, value, None) for event, value in values.items()) if isinstance(values, Mapping) else values
        wall_ns, mono_ns = self._clock.wall_ns(), self._clock.mono_ns()
        readings: dict[bytes, list[Reading]] = {}
        for event, value, moment in triples:
            if not math.isfinite(value):
                raise ValueError(f"the value of {event} is {value}, which is no finite number")
            at = moment or time
            if at is None:
                readings.setdefault(self._clock.boot, []).append(Reading(event, float(value), wall_ns, mono_ns))
                continue
            if at.tzinfo is None:
                raise ValueError(f"the time {at} has no offset; write datetime.now(UTC), or give it a tzinfo")
            readings.setdefault(NO_BOOT, []).append(Reading(event, float(value), to_us(at) * 1000, 0))
        for boot, some in readings.items():
            size = min(BATCH_READINGS, max(BATCH_BYTES // max(item_bytes(reading.event) for reading in some), 1))
            for begin in range(0, len(some), size):
                yield Batch(str(uuid.uuid4()), some[begin : begin + size], boot)

    def _forget(self, fates: Iterable[asyncio.Future[Outcome]]) -> None:
        """Nobody waits any more."""
        gone = set(fates)
        self._fates = {batch_id: fate for batch_id, fate in self._fates.items() if fate not in gone}
        self._waiting = deque(batch for batch in self._waiting if batch.batch_id in self._fates)

    # -- as a source -----------------------------------------------------------------------------------------------

    def take(self) -> Batch | None:
        """See `Source`."""
        if not self._waiting or self.due_s() is not None:
            return None
        batch = self._waiting.popleft()
        self._under_way[batch.batch_id] = batch
        return batch

    def due_s(self) -> float | None:
        """See `Source`."""
        wait_s = self._resume_at - asyncio.get_running_loop().time()
        return wait_s if wait_s > 0 else None

    def answered(self, batch: Batch, outcome: Outcome) -> None:
        """See `Source`."""
        self._under_way.pop(batch.batch_id, None)
        fate = self._fates.get(batch.batch_id)
        if fate is None or fate.done():
            return
        if isinstance(outcome, Refused) and outcome.retry:
            self._resume_at = asyncio.get_running_loop().time() + AGAIN_S
            self._waiting.appendleft(batch)
        else:
            fate.set_result(outcome)

    def connected(self) -> None:
        """See `Source`."""
        self.wake()

    def lost(self) -> None:
        """See `Source`."""
        again = [batch for batch in self._under_way.values() if batch.batch_id in self._fates]
        self._waiting.extendleft(reversed(again))
        self._under_way.clear()


class _Door:
    """Waits until the first connection is there."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    def connected(self, hello: Hello | None) -> None:  # noqa: ARG002 - a listener's
        self.opened.set()

    def said(self, message: Setpoints | Changed) -> None:
        """What is for controllers is not for scripts."""

    def disconnected(self, problem: str) -> None:
        """It is tried again."""


@asynccontextmanager
async def connect(
    url: str,
    token: str | None = None,
    *,
    email: str | None = None,
    password: str | None = None,
    cafile: Path | str | None = None,
    timing: Timing | None = None,
) -> AsyncIterator[Client]:
    """A connection to the server at that address, by an API token, or by e-mail address and password.

    Returns once it is there, however long that takes; `asyncio.timeout` bounds it.

    Raises:
        AuthError: we are not let in.
        ConfigError: there is no way in, or no certificate in `cafile`.

    """
    if token is None and (email is None or password is None):
        raise ConfigError("give an API token, or both email and password")
    clock = MachineClock()
    client, door = Client(clock), _Door()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trust(cafile))) as session:
        server = Server(url)
        login = Login(session, server.address, token=token, email=email, password=password)
        link = Link(session, server, login, client, Clocks(clock, TOLERANCE_S), door, timing or Timing())
        running = asyncio.create_task(link.run(stubborn=False))
        opening = asyncio.create_task(door.opened.wait())
        running.add_done_callback(client.end)
        try:
            await asyncio.wait({running, opening}, return_when=asyncio.FIRST_COMPLETED)
            if running.done():
                running.result()
            yield client
        finally:
            await end(running, opening)


class BlockingClient:
    """The same for scripts that are not asynchronous; may be used by several threads."""

    def __init__(self, client: Client, loop: asyncio.AbstractEventLoop) -> None:
        self._client, self._loop = client, loop

    def send(self, values: Values, *, time: datetime | None = None, timeout_s: float | None = None) -> Stored:
        """See `Client.send`. Raises `TimeoutError` after `timeout_s`: they may have been stored or not."""
        sending = asyncio.run_coroutine_threadsafe(self._client.send(values, time=time), self._loop)
        try:
            return sending.result(timeout_s)
        except TimeoutError:
            sending.cancel()
            raise


@contextmanager
def connect_blocking(url: str, token: str | None = None, **options: Any) -> Iterator[BlockingClient]:
    """As `connect`, with its options."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="webmacs client", daemon=True)
    thread.start()

    def run(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    try:
        stack = AsyncExitStack()
        client = run(stack.enter_async_context(connect(url, token, **options)))
        try:
            yield BlockingClient(client, loop)
        finally:
            run(stack.aclose())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def _sum(outcomes: Iterable[Stored]) -> Stored:
    """One outcome for all."""
    total = Stored(0)
    for outcome in outcomes:
        total = Stored(
            total.accepted + outcome.accepted,
            total.invalid + outcome.invalid,
            total.unlinked + outcome.unlinked,
            total.skewed + outcome.skewed,
            duplicate=total.duplicate or outcome.duplicate,
            told=total.told and outcome.told,
        )
    return total
