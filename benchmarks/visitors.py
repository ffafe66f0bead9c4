"""All who are not controllers: browsers of every kind, pages that ask over HTTP, people at work.

Most browsers stay and read. Some show a few events alone; some stay for seconds and leave, half of them without a word;
some stop reading, until the server cuts them. Now and then a crowd comes at once and is gone. People log in, add rules,
tokens and dashboards and remove them again, and log out.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import socket
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import aiohttp

from benchmarks import wire, workers
from tests.rawsocket import CLOSE, PING, PONG, TEXT, RawSocket, frame

API: Final = "/api/v1"
FILTERED, FLITTING, STUCK = 12, 8, 2  # of the browsers
STAYS_S: Final = (1.0, 6.0)  # who comes and goes
STUCK_S: Final = 90.0  # by then it is cut by a heartbeat, if not before
SMALL_BUFFER: Final = 4096
STORM: Final = 20
STORM_EVERY_S: Final = 12.0
LOOKING: Final = 4  # as many as there are connections to read by, each of which fills a cache once
READ_EVERY_S: Final = 1.0
CHANGE_EVERY_S: Final = 1.0
SILENT_S: Final = 60.0
NAMED: Final = re.compile(r"/[0-9a-f]{8}-[0-9a-f-]+")
COMPLAINTS: Final = 20  # that are told; there should be none


@dataclass(frozen=True, slots=True)
class Visitors:
    """The job. They come when the job begins, and leave at the sign. `hurried`: pages ask without a rest, for charts
    of a minute, which have as many points after one as those of 20 minutes after 20.
    """

    address: str
    viewer: str
    email: str
    password: str
    events: list[str]
    browsers: int
    hurried: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """What came of it: messages, who was there and how it ended, answers by their status; what nobody wanted to see.

    `slowest`: the longest that anybody waited for an answer of each route, in milliseconds.
    """

    counts: dict[str, int]
    complaints: list[str]
    slowest: dict[str, float]


class Company:
    """All of them."""

    def __init__(self, job: Visitors, session: aiohttp.ClientSession) -> None:
        self._job, self._session = job, session
        self._chance = random.Random(9)
        self.counts = Counter[str]()
        self.complaints: list[str] = []
        self.slowest: dict[str, float] = {}

    def seen(self) -> Seen:
        """So far."""
        return Seen(dict(self.counts), self.complaints, self.slowest)

    async def run(self) -> None:
        """Until cancelled."""
        job = self._job
        staying = job.browsers - FILTERED - FLITTING - STUCK
        async with asyncio.TaskGroup() as group:
            for number in range(staying):
                query = {"snapshot": "1"} if number % 2 else {}
                group.create_task(self._always(lambda query=query: self._stay(query)))  # type: ignore[misc]
            for number in range(FILTERED):
                chosen = random.Random(number).sample(job.events, min(5, len(job.events)))
                query = {"events": ",".join(chosen)}
                group.create_task(self._always(lambda query=query: self._stay(query)))  # type: ignore[misc]
            for _ in range(FLITTING):
                group.create_task(self._always(self._flit))
            for _ in range(STUCK):
                group.create_task(self._always(self._get_stuck))
            group.create_task(self._always(self._storm))
            for _ in range(LOOKING):
                group.create_task(self._always(self._look))
            group.create_task(self._always(self._work))

    async def _always(self, visit: Callable[[], Awaitable[None]]) -> None:
        """Again and again; a visit that fails is a complaint."""
        while True:
            try:
                await visit()
            except (OSError, EOFError, TimeoutError, AssertionError, aiohttp.ClientError) as error:
                self._complain(f"{getattr(visit, '__name__', 'visit')} at {time.strftime('%H:%M:%S')}: {error!r}")
                await asyncio.sleep(1)

    def _complain(self, text: str) -> None:
        self.counts["complaints"] += 1
        if len(self.complaints) < COMPLAINTS:
            self.complaints.append(text)

    # -- browsers ----------------------------------------------------------------------------------------------------

    async def _stay(self, query: dict[str, str]) -> None:
        async with await self._open(query) as link:
            while True:
                await self._read(link)

    async def _flit(self) -> None:
        async with await self._open({}) as link:
            try:
                async with asyncio.timeout(self._chance.uniform(*STAYS_S)):
                    while True:
                        await self._read(link)
            except TimeoutError:
                pass
            if self._chance.random() < 0.5:
                link.write(frame(CLOSE, (1001).to_bytes(2, "big")))
                async with asyncio.timeout(SILENT_S):
                    await link.closing()
        self.counts["came and went"] += 1

    async def _get_stuck(self) -> None:
        async with await self._open({}, buffer=SMALL_BUFFER) as link:
            link.pause()
            until = time.monotonic() + STUCK_S
            while time.monotonic() < until:
                await asyncio.sleep(1)
                link.write(frame(TEXT, b'{"type":"ping"}'))  # which fails when nobody is there any more
                if link.at_end():
                    self.counts["stuck and cut"] += 1
                    return
        self._complain("a browser that does not read was not cut")

    async def _storm(self) -> None:
        links: list[RawSocket] = []

        async def come() -> None:
            links.append(await self._open({"snapshot": "1"}))

        try:
            await asyncio.gather(*(come() for _ in range(STORM)))
        finally:
            for link in links:
                link.cut()
            self.counts["in crowds"] += len(links)
        await asyncio.sleep(STORM_EVERY_S * self._chance.uniform(0.5, 1.5))

    async def _open(self, query: dict[str, str], buffer: int = 0) -> RawSocket:
        parts = urlsplit(self._job.address)
        bare = socket.socket()
        if buffer:
            bare.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        bare.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(bare, (parts.hostname, parts.port))
        except BaseException:
            bare.close()
            raise
        link = RawSocket(*await asyncio.open_connection(sock=bare))
        try:
            answer = await link.upgrade(f"{wire.STREAM}?{urlencode({'token': self._job.viewer, **query})}")
            assert answer.status == 101, answer
            _, text = await link.receive(SILENT_S)
            assert json.loads(text)["type"] == "connected", text
        except BaseException:
            link.cut()
            raise
        return link

    async def _read(self, link: RawSocket) -> None:
        """One message.

        Raises:
            ConnectionError: the server has sent it away.

        """
        opcode, payload = await link.receive(SILENT_S)
        if opcode == PING:
            link.write(frame(PONG, payload))
        elif opcode == CLOSE:
            raise ConnectionError(f"a browser that reads was sent away: {payload!r}")
        self.counts["messages"] += 1

    # -- pages -------------------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        """What a dashboard asks for, one after the other."""
        events = self._chance.sample(self._job.events, min(4, len(self._job.events)))
        minutes = 1 if self._job.hurried else self._chance.choice((5, 20, 60, 1440))
        chart = {"event_public_ids": events, "minutes": minutes, "max_points": 500}
        for method, path, body in (
            ("GET", "/datapoints/latest", None),
            ("POST", "/datapoints/series", chart),
            ("GET", f"/datapoints?page={self._chance.randint(1, 20)}&page_size=100", None),
            ("GET", "/events?page_size=50", None),
            ("GET", "/datapoints/latest", None),
            ("GET", "/logging?page_size=50", None),
            ("GET", "/plugins?page_size=50", None),
            ("GET", "/datapoints/latest", None),
        ):
            await self._ask(method, path, self._job.viewer, body)
            await asyncio.sleep(0 if self._job.hurried else READ_EVERY_S)

    # -- people ------------------------------------------------------------------------------------------------------

    async def _work(self) -> None:
        """One person's session: everything that is added is removed again, and is not missed."""
        login = {"email": self._job.email, "password": self._job.password}
        token = (await self._ask("POST", "/auth/login", None, login))["access_token"]
        works: Sequence[Callable[[str], Awaitable[None]]] = (self._rule, self._token, self._dashboard, self._user)
        for work in self._chance.sample(works, len(works)):
            await work(token)
        await self._ask("POST", "/auth/logout", token)
        self.counts["sessions of people"] += 1

    async def _rule(self, token: str) -> None:
        name = f"rule {uuid.uuid4()}"
        event, threshold = self._chance.choice(self._job.events), self._chance.choice((0, 1e12))
        rule = {"name": name, "event_public_id": event, "operator": "gt", "threshold": threshold, "action_type": "log"}
        await self._ask("POST", "/rules", token, {**rule, "cooldown_seconds": 1})
        rules = (await self._ask("GET", "/rules?page_size=100", token))["data"]
        (public_id,) = (rule["public_id"] for rule in rules if rule["name"] == name)
        await self._pause()
        await self._ask("PUT", f"/rules/{public_id}", token, {"threshold": 2e12})
        await self._pause()
        await self._ask("DELETE", f"/rules/{public_id}", token)

    async def _token(self, token: str) -> None:
        """One that is in use when it is revoked."""
        made = await self._ask("POST", "/tokens", token, {"name": f"token {uuid.uuid4()}", "scope": "read"})
        await self._ask("GET", "/datapoints/latest", made["token"])
        await self._pause()
        await self._ask("DELETE", f"/tokens/{made['public_id']}", token)
        await self._ask("GET", "/datapoints/latest", made["token"], wants=401)

    async def _dashboard(self, token: str) -> None:
        made = await self._ask("POST", "/dashboards", token, {"name": f"dashboard {uuid.uuid4()}"})
        await self._pause()
        await self._ask("DELETE", f"/dashboards/{made['public_id']}", token)

    async def _user(self, token: str) -> None:
        email = f"{uuid.uuid4()}@example.org"
        password = {"email": email, "password": "long enough to be one"}
        await self._ask("POST", "/users", token, {**password, "username": email, "role": "viewer"})
        await self._ask("POST", "/auth/login", None, password)
        users = (await self._ask("GET", "/users?page_size=100", token))["data"]
        (public_id,) = (user["public_id"] for user in users if user["email"] == email)
        await self._pause()
        await self._ask("DELETE", f"/users/{public_id}", token)

    async def _pause(self) -> None:
        await asyncio.sleep(CHANGE_EVERY_S)

    async def _ask(self, method: str, path: str, token: str | None, body: object = None, wants: int = 0) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        began = time.monotonic()
        async with self._session.request(method, f"{self._job.address}{API}{path}", json=body, headers=headers) as got:
            answer = await got.read()
            self._answered(f"{method} {NAMED.sub('/…', urlsplit(path).path)}", time.monotonic() - began)
            self.counts[f"answers {got.status}"] += 1
            assert got.status == wants or (got.status < 400 and not wants), f"{method} {path}: {got.status} {answer!r}"
            return json.loads(answer) if answer else None

    def _answered(self, route: str, after_s: float) -> None:
        if after_s * 1000 > self.slowest.get(route, 0.0):
            self.slowest[route] = after_s * 1000


async def visit(job: Visitors, stop: asyncio.Event) -> Seen:
    """Until that event."""
    timeout = aiohttp.ClientTimeout(total=SILENT_S)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        company = Company(job, session)
        running = asyncio.create_task(company.run())
        stopping = asyncio.create_task(stop.wait())
        await asyncio.wait((running, stopping), return_when=asyncio.FIRST_COMPLETED)
        for task in (running, stopping):
            task.cancel()
        await asyncio.wait((running, stopping))
        if not running.cancelled():
            running.result()
    return company.seen()


async def _until_the_sign(job: Visitors) -> Seen:
    stop = asyncio.Event()

    async def wait() -> None:
        await asyncio.to_thread(workers.wait_for_sign)
        stop.set()

    async with asyncio.TaskGroup() as group:
        visiting = group.create_task(visit(job, stop))
        group.create_task(wait())
    return visiting.result()


def main() -> None:
    """Run as a worker."""
    job = Visitors(**workers.job())
    workers.say_ready()
    workers.hand_back(asyncio.run(_until_the_sign(job)))


if __name__ == "__main__":
    main()
