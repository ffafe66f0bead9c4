"""The agent: what `webmacs controller` runs. Devices are read and set, readings kept until the server has them.

    devices ─ workers ─> gathering ─> spool ─> outbox ─> link or posting ─> server
       ^                                                       │
       └────── outputs <─────────── setpoints <────────────────┤
       └────── fleet <───────────── following <────────────────┘

Each part knows its neighbours by the calls it makes; only here they are put together.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final

import aiohttp

from webmacs.config import ControllerSettings
from webmacs.controller.api import Api, Unreachable
from webmacs.controller.clocks import Clocks, LocalClock, MachineClock
from webmacs.controller.credentials import Credentials
from webmacs.controller.directory import Directory
from webmacs.controller.fleet import Fleet
from webmacs.controller.following import Following
from webmacs.controller.frames import Reading
from webmacs.controller.gathering import Gathering
from webmacs.controller.http import Posting
from webmacs.controller.instances import Instance
from webmacs.controller.link import Link, Timing
from webmacs.controller.login import Login
from webmacs.controller.outbox import Outbox
from webmacs.controller.outputs import Outputs, Policy
from webmacs.controller.plugins import device_class
from webmacs.controller.server import Server
from webmacs.controller.setpoints import Setpoints
from webmacs.controller.status import StatusReports
from webmacs.controller.unchanged import Unchanged
from webmacs.controller.wire import Changed, Hello
from webmacs.controller.wire import Setpoints as NewSetpoints
from webmacs.controller.worker import Worker
from webmacs.errors import AuthError
from webmacs.plugins.base import Device
from webmacs.tasks import end

_log = logging.getLogger(__name__)

LATEST: Final = "/datapoints/latest"
IDLE_S: Final = 0.02


class Agent:
    """Runs until it is told to stop. Its parts are there to be looked at."""

    def __init__(
        self,
        settings: ControllerSettings,
        directory: Directory,
        session: aiohttp.ClientSession,
        credentials: Credentials,
        clock: LocalClock | None = None,
        find: Callable[[str], type[Device]] = device_class,
    ) -> None:
        """`directory` is open; an agent lives in one event loop."""
        self._settings, self._find = settings, find
        self.clock = clock = clock or MachineClock()
        timing = _timing(settings)
        self.server = Server(settings.server_url, directory.document("server.json"))
        self.clocks = Clocks(clock, settings.clock_tolerance_s, directory.document("clocks.json"))
        self.spool = directory.spool
        self.outbox = Outbox(directory.spool, directory.refused, settings.backlog_rate)
        self.gathering = Gathering(
            self.outbox.put, settings.gather_s, Unchanged(settings.dedup_max_age_s) if settings.dedup else None
        )
        policy = Policy(settings.setpoint_ttl_s, settings.setpoint_hold_s, settings.safe_after_s)
        self.outputs = Outputs(policy, asyncio.get_running_loop().time())
        self.fleet = Fleet(self._hire)
        self.setpoints = Setpoints(self.outputs, self.clocks, self.fleet.wake)
        login = Login(
            session,
            self.server.address,
            token=credentials.token,
            email=credentials.email,
            password=credentials.password,
            timeout_s=settings.connect_timeout_s,
        )
        self._api = Api(session, self.server, login, self.clocks, settings.answer_timeout_s)
        self._transport: Link | Posting
        if settings.transport == "http":
            self._transport = Posting(self._api, self.server, self.outbox, self.clocks, self, timing)
        else:
            self._transport = Link(session, self.server, login, self.outbox, self.clocks, self, timing)
        self.status = StatusReports(self.fleet, self._api, self._transport.note, settings.status_interval_s)
        kept = directory.document("instances.json")
        self.following = Following(self._api, kept, settings.config_interval_s, self._follow)
        self.hello: Hello | None = None
        self.connected_at: float | None = None
        """Since when there is a connection; None: there is none."""
        self.problem: str | None = "not connected yet"
        """Why there is none."""

    async def run(self, told: asyncio.Event) -> None:
        """Until `told` is set. Then outputs are safe, devices closed, and what is on the way is waited for."""
        parts = (self._transport, self.following, self.status)
        tasks = [asyncio.create_task(part.run(), name=type(part).__name__) for part in parts]
        tasks += [asyncio.create_task(self._ask_for_setpoints()), asyncio.create_task(self._sync())]
        stopping = asyncio.create_task(told.wait())
        try:
            done, _ = await asyncio.wait({*tasks, stopping}, return_when=asyncio.FIRST_COMPLETED)
            for task in done - {stopping}:
                task.result()  # none of them ends by itself but by a fault of ours
        finally:
            await end(tasks[1], stopping)
            await self.fleet.stop()
            self.gathering.flush()
            await self._empty()
            await end(*tasks)
            await self.spool.sync()

    # -- devices -----------------------------------------------------------------------------------------------------

    def _hire(self, instance: Instance) -> Worker:
        return Worker(
            instance,
            self._settings,
            self.outputs,
            self.clock,
            self._measured,
            self._report,
            self.setpoints.opened,
            self.status.changed,
            self._find,
        )

    async def _follow(self, instances: Sequence[Instance]) -> None:
        _log.info("%d instances: %s", len(instances), ", ".join(instance.name for instance in instances) or "none")
        self.setpoints.follow(instances)
        await self.fleet.follow(instances)
        self.status.changed()

    def _measured(self, readings: Iterable[Reading]) -> None:
        """Of an event that is linked to an output as well, the newest reading must not look like a setpoint."""
        found = list(readings)
        for reading in found:
            if reading.event in self.setpoints.events:
                self.setpoints.reported(reading.event, self.clocks.time_us(reading, self.clock.boot))
        self.gathering.add(found)

    def _report(self, reading: Reading) -> None:
        """What an output is set to, as a reading. A server that times readings itself would take it for a setpoint."""
        if self.hello is not None or self.server.acknowledges:
            self.setpoints.reported(reading.event, self.clocks.time_us(reading, self.clock.boot))
            self.gathering.add((reading,))

    # -- the connection ----------------------------------------------------------------------------------------------

    def connected(self, hello: Hello | None) -> None:
        """See `Listener`."""
        loop = asyncio.get_running_loop()
        self.hello, self.connected_at, self.problem = hello, loop.time(), None
        self.status.by_socket = hello is not None and "status" in hello.features
        self.status.by_http = self._settings.transport == "http"
        self.outputs.server_there()
        self.following.changed()
        self.status.changed()
        _log.info("connected to %s%s", self.server.address, f", version {hello.version}" if hello else "")

    def said(self, message: NewSetpoints | Changed) -> None:
        """See `Listener`."""
        if isinstance(message, Changed):
            self.following.changed()
        else:
            self.setpoints.given(message.setpoints)

    def disconnected(self, problem: str) -> None:
        """See `Listener`."""
        if problem != self.problem:
            _log.warning("no connection to %s: %s", self.server.address, problem)
        self.hello, self.connected_at, self.problem = None, None, problem
        self.outputs.server_gone(asyncio.get_running_loop().time())
        self.fleet.wake_all()

    async def _ask_for_setpoints(self) -> None:
        """As long as the server does not push them."""
        while True:
            pushed = self.hello is not None and "setpoints" in self.hello.features
            if self.setpoints.events and self.connected_at is not None and not pushed:
                try:
                    reply = await self._api.ask("GET", LATEST)
                    self.setpoints.latest(reply.body if isinstance(reply.body, list) else ())
                except (Unreachable, AuthError) as error:
                    _log.debug("the setpoints could not be asked for: %s", error)
            await asyncio.sleep(self._settings.poll_interval_s)

    # -- the spool ---------------------------------------------------------------------------------------------------

    async def _sync(self) -> None:
        while self._settings.spool_sync_s > 0:
            await asyncio.sleep(self._settings.spool_sync_s)
            await self.spool.sync()
        await asyncio.Event().wait()

    async def _empty(self) -> None:
        """Wait until what was measured last is answered, if there is somebody to answer."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._settings.shutdown_timeout_s
        while self.connected_at is not None and self.outbox.busy and loop.time() < deadline:  # noqa: ASYNC110 - a moment
            await asyncio.sleep(IDLE_S)


def _timing(settings: ControllerSettings) -> Timing:
    return Timing(
        connect_s=settings.connect_timeout_s,
        hello_s=settings.hello_timeout_s,
        answer_s=settings.answer_timeout_s,
        heartbeat_s=settings.heartbeat_s,
        first_pause_s=settings.first_retry_s,
        max_pause_s=settings.max_retry_s,
        window=settings.window,
    )


@asynccontextmanager
async def running(agent: Agent) -> AsyncIterator[None]:
    """An agent that runs meanwhile, and is stopped in good order."""
    told = asyncio.Event()
    task = asyncio.create_task(agent.run(told))
    try:
        yield
    finally:
        told.set()
        await task
