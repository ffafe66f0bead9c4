"""The contract with clients that exist: every route asked as they ask, and what they do one call after the other."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import uuid
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import WSMsgType

from tests.contract import OURS, WALKS, Row, faults
from tests.handlers.rest import API, everything, rest
from tests.plant import PASSWORD, Server, furnished_server
from tests.wire import STREAM, TELEMETRY, TIMEOUT_S, Reply, call, claims_of, ending, heard, points, signed
from webmacs.model import Role

SAYS_JSON = {"Content-Type": "application/json"}


# -- the rows --------------------------------------------------------------------------------------------------------


class Walk:
    """Asks for one row after the other, and remembers the ids of what was made."""

    def __init__(self, server: Server) -> None:
        self._server, self._sessions = server, dict[Role, str]()
        plant, users = server.plant, server.parts.catalog.current.users.values()
        self._known = {
            **{user.username: user.public_id for user in users},  # each is called after its role
            "event": plant.linked[0],
            "spare": plant.unlinked,
            "experiment": plant.experiment,
            "nobody": "nobody",
        }

    async def step(self, row: Row) -> AsyncIterator[str]:
        """What of it is not as the contract says."""
        for role in Role:
            if role not in self._sessions:
                self._sessions[role] = await self._server.login(role)
        if row.needs is not None:
            for lesser in [None, *(role for role in Role if not role.covers(row.needs))]:
                reply = await self._ask(row, lesser, row.path)
                if reply.status != (403 if lesser else 401):
                    yield f"{reply.status} for {lesser or 'nobody'}"
        before = await self._listed(row)
        for path in forms(row):
            reply = await self._ask(row, row.by or row.needs, path)
            for fault in amiss(row, reply):
                yield f"{path}: {fault}"
        if row.makes and reply.status == row.status:
            made = {reply.body["public_id"]} if "public_id" in reply.body else await self._listed(row) - before
            self._known[row.makes] = "".join(made)  # one id; of more or none, nothing will be found
        if row.path == "/auth/logout":
            self._sessions.clear()

    async def _ask(self, row: Row, role: Role | None, path: str) -> Reply:
        """One request in a session; one without a body says that it is JSON, as controllers do, if it is a GET."""
        path = path if path.startswith("/health") else f"{API}{path}"
        body = None if row.body is None else self._filled(json.dumps(row.body)).encode()
        headers = SAYS_JSON if body is not None or row.method == "GET" else {}
        token = None if role is None else self._sessions[role]
        return await call(self._server, row.method, self._filled(path), token, data=body, headers=headers)

    async def _listed(self, row: Row) -> set[str]:
        """The ids in the list that the row adds something to; none where there is no such list."""
        if not row.makes:
            return set()
        reply = await rest(self._server, "GET", f"{API}{self._filled(row.path)}?page_size=100")
        items = reply.body["data"] if isinstance(reply.body, dict) and "data" in reply.body else reply.body
        return {item["public_id"] for item in items} if reply.status == 200 else set()

    def _filled(self, text: str) -> str:
        return re.sub(r"<(\w+)>", lambda name: self._known.get(name[1], name[0]), text)


def forms(row: Row) -> list[str]:
    """How the path of a row is written: of a GET that succeeds also with the time, as dashboards do, and the slash."""
    if row.method != "GET" or row.gives == "Error":
        return [row.path]
    path, mark, query = row.path.partition("?")
    other = path.removesuffix("/") if path.endswith("/") else f"{path}/"
    return [row.path, f"{row.path}{'&' if mark else '?'}_t=1767225600000", f"{other}{mark}{query}"]


def amiss(row: Row, reply: Reply) -> Iterator[str]:
    if reply.status != row.status:
        yield f"{reply.status}, not {row.status}: {reply.body!r}"
        return
    if uuid.UUID(reply.headers["X-Request-ID"]).version != 4:
        yield f"X-Request-ID is {reply.headers['X-Request-ID']}"
    if row.gives == "CSV":
        yield from amiss_in_csv(reply)
        return
    if not reply.headers["Content-Type"].startswith("application/json"):
        yield f"Content-Type is {reply.headers['Content-Type']}"
    yield from faults(row.gives, reply.body)
    if row.path.endswith("/batch") and row.status == 201 and not re.match(r"\d+ ", reply.body["message"]):
        yield f"the message does not begin with a number: {reply.body['message']}"


def amiss_in_csv(reply: Reply) -> Iterator[str]:
    if reply.headers["Content-Type"] != "text/csv; charset=utf-8":
        yield f"Content-Type is {reply.headers['Content-Type']}"
    if not re.match(r'attachment; filename="experiment_\S+_\S{8}\.csv"', reply.headers["Content-Disposition"]):
        yield f"Content-Disposition is {reply.headers['Content-Disposition']}"
    text = reply.body.decode()
    if text.count("\n") != text.count("\r\n") or not text.endswith("\r\n"):
        yield "a line does not end with CRLF"
    header, *rows = csv.reader(io.StringIO(text, newline=""))
    if header != ["timestamp", "event_name", "event_public_id", "value", "unit", "datapoint_public_id"]:
        yield f"the header is {header}"
    if not rows:
        yield "it has no readings"
    for time, _, _, value, *_ in rows:
        yield from faults("offset", time, "a time")
        if not re.fullmatch(r"-?\d+\.\d+", value):
            yield f"a value is {value}"


@pytest.mark.parametrize("section", WALKS)
async def test_every_row_of_the_contract_is_served(server: Server, section: str) -> None:
    walk = Walk(server)
    found = [f"{row.method} {row.path} {fault}" for row in WALKS[section] async for fault in walk.step(row)]
    assert found == []


async def test_the_walk_comes_by_every_route_that_there_is_but_ours(tmp_path: Path) -> None:
    walked = {(row.method, route(row.path)) for rows in WALKS.values() for row in rows}
    async with furnished_server(f"sqlite:///{tmp_path / 'test.db'}", tmp_path) as server:
        paths = (await call(server, "GET", "/openapi.json")).body["paths"]
    served = {(method.upper(), route(path)) for path, item in paths.items() for method in item}
    assert served - walked == OURS
    assert walked - served == set()


def route(path: str) -> str:
    """A path without prefix, query, slash at the end and the names of its parts."""
    return re.sub(r"<\w+>|{\w+}", "{}", path.removeprefix(API).partition("?")[0]).rstrip("/")


def test_a_fault_is_seen() -> None:
    event = {"public_id": "1", "name": "n", "min_value": 0.0, "max_value": 1.0, "unit": "V", "type": "sensor"}
    good = {**event, "user_public_id": None}
    page = {"page": 1, "page_size": 25, "total": 1, "data": [good]}
    assert list(faults("[Event*]", [good, good])) == list(faults("[Event*]", [])) == []
    assert list(faults("Event", good)) == list(faults("Page of [Event]", page)) == []
    bad: dict[str, list[object]] = {
        "Event": [event, {**good, "more": 1}, {**good, "min_value": 0}, {**good, "type": "x"}, {**good, "name": None}],
        "Page of [Event]": [{**page, "data": []}, {**page, "total": "1"}, good],
        "[Event]": [[], [event], good, None],
        "[]": [[1], None],
        "[Event*]": [[event], good, None],
        "{[Datapoint]}": [{}, {"a": []}, []],
        "time": ["2026-01-01T00:00:00+00:00", "2026-01-01T00:00:00.123Z", None, 1],
        "int": [True, 1.0, None],
    }
    assert [(kind, value) for kind, values in bad.items() for value in values if not list(faults(kind, value))] == []


# -- the sequences ---------------------------------------------------------------------------------------------------


class Client:
    """Asks as installed clients do: says with each request that it is JSON, and reads JSON in each answer."""

    def __init__(self, server: Server, role: Role) -> None:
        self._server, self._email = server, server.plant.emails[role]
        self.token: str | None = None

    async def login(self) -> None:
        body = {"email": self._email, "password": PASSWORD}
        self.token = (await self.ask("POST", "/auth/login", "Login", body))["access_token"]

    async def ask(self, method: str, path: str, kind: str, body: object = None, status: int = 200) -> Any:
        """The answer, which must be of that status and kind."""
        data = None if body is None else json.dumps(body).encode()
        reply = await call(self._server, method, f"{API}{path}", self.token, data=data, headers=SAYS_JSON)
        assert (reply.status, list(faults(kind, reply.body))) == (status, []), (method, path, reply.body)
        return reply.body

    async def refused(self, method: str, path: str) -> None:
        await self.ask(method, path, "Error", status=401)


async def emptied(server: Server) -> None:
    """A server on which nobody has set up anything."""
    for path in (f"{API}/plugins", f"{API}/events"):
        for item in await everything(server, path):
            assert (await rest(server, "DELETE", f"{path}/{item['public_id']}")).status == 200


async def shows(client: Client, expected: dict[str, float]) -> None:
    """Ask for the latest values until they are those, by event."""
    async with asyncio.timeout(TIMEOUT_S):
        while True:
            latest = await client.ask("GET", "/datapoints/latest", "[Datapoint*]")
            if {point["event_public_id"]: point["value"] for point in latest} == expected:
                return


@pytest.mark.parametrize("transport", ["http", "websocket"])
async def test_an_installed_controller_starts_and_works(server: Server, transport: str) -> None:
    await emptied(server)
    controller, person = Client(server, Role.ADMIN), Client(server, Role.OPERATOR)
    await controller.login()
    await controller.ask("GET", "/plugins", "Page of []")
    await controller.ask("GET", "/events", "Page of []")
    device = {"plugin_id": "simulated", "instance_name": "Simulated Device", "demo_mode": True, "enabled": True}
    await controller.ask("POST", "/plugins", "Status", device, 201)
    for content in ("seeded", "ready"):
        await controller.ask("POST", "/logging", "Status", {"content": content, "logging_type": "info"}, 201)
    events = (await controller.ask("GET", "/events", "Page of [Event]"))["data"]
    assert [event["name"] for event in events][:1] == ["Simulated Device \N{EN DASH} Temperature Reactor"]
    socket = None
    if transport == "websocket":
        address = f"{server.address}{TELEMETRY}?token={controller.token}"
        socket = await server.client.ws_connect(address, autoping=False)
    [instance] = (await controller.ask("GET", "/plugins", "Page of [Plugin]"))["data"]
    assert (instance["plugin_id"], instance["enabled"]) == ("simulated", True)
    channels = await controller.ask("GET", f"/plugins/{instance['public_id']}/channels", "[Channel]")
    assert [channel["event_public_id"] for channel in channels] == [event["public_id"] for event in events]
    await controller.ask("POST", "/logging", "Status", {"content": "started", "logging_type": "info"}, 201)

    inputs = [channel["event_public_id"] for channel in channels if channel["direction"] == "input"]
    outputs = [channel["event_public_id"] for channel in channels if channel["direction"] == "output"]
    assert (len(inputs), len(outputs)) == (7, 2)
    for tick in range(3):
        values = {event: float(tick * 10 + number) for number, event in enumerate(inputs)}
        batch = {"datapoints": [{"value": value, "event_public_id": event} for event, value in values.items()]}
        if socket is not None:
            await socket.send_json(batch)
        else:
            _, sent = await asyncio.gather(
                controller.ask("GET", "/datapoints/latest", "[Datapoint*]"),
                controller.ask("POST", "/datapoints/batch", "Status", batch, 201),
            )
            assert sent["message"].split()[0] == "7"
        await shows(controller, values)
    await person.login()
    await person.ask("POST", "/datapoints", "Status", {"value": 1, "event_public_id": outputs[0]}, 201)
    await shows(controller, {**values, outputs[0]: 1.0})
    assert await server.parts.storage.count() == 3 * 7 + 1

    assert [one["public_id"] for one in (await controller.ask("GET", "/plugins", "Page of [Plugin]"))["data"]] == [
        instance["public_id"]
    ]
    assert await controller.ask("GET", f"/plugins/{instance['public_id']}/channels", "[Channel]") == channels
    if socket is not None:
        await socket.ping(b"still there?")
        answer = await socket.receive(timeout=TIMEOUT_S)  # the first that it is sent: it never reads
        assert (answer.type, bytes(answer.data)) == (WSMsgType.PONG, b"still there?")
        await socket.close()
    await controller.ask("POST", "/auth/logout", "Status")  # as when its session has expired
    await controller.refused("GET", "/plugins")
    controller.token = None
    await controller.login()
    await controller.ask("POST", "/logging", "Status", {"content": "stopping", "logging_type": "warning"}, 201)


async def test_an_installed_dashboard_signs_in_and_shows_what_is_live(server: Server) -> None:
    page, event = Client(server, Role.OPERATOR), server.plant.linked[0]
    now, fifty = "_t=1767225600000", "page=1&page_size=50&_t=1767225600000"
    me = next(user for user in server.parts.catalog.current.users.values() if user.role is Role.OPERATOR)
    page.token = signed(claims_of(server, me.public_id, exp=1))  # kept from another day
    await page.refused("GET", f"/auth/me?{now}")
    await page.refused("POST", "/auth/logout")
    page.token = None

    assert not (await page.ask("GET", f"/auth/sso/config?{now}", "SignOn"))["enabled"]
    await page.login()
    assert (await page.ask("GET", f"/auth/me?{now}", "User"))["role"] == "operator"
    await page.ask("GET", f"/datapoints/latest?{now}", "[]")
    connecting = asyncio.create_task(server.client.ws_connect(f"{server.address}{STREAM}?token={page.token}"))
    await asyncio.gather(
        page.ask("GET", f"/events?{fifty}", "Page of [Event]"),
        page.ask("GET", f"/datapoints/latest?{now}", "[]"),
        page.ask("GET", f"/plugins?{fifty}", "Page of [Plugin]"),
    )
    stream = await connecting
    assert await heard(stream) == {"type": "connected", "message": "Subscribed to live datapoint stream."}
    await rest(server, "POST", f"{API}/datapoints", server.reading(1.5))
    [point] = await points(stream)
    assert (list(faults("Streamed", point)), point["value"], point["event_public_id"]) == ([], 1.5, event)
    await stream.send_json({"type": "ping"})
    assert await heard(stream) == {"type": "pong"}
    await stream.close()

    for _ in range(3):  # something between that does not let sockets through
        reply = await call(server, "GET", f"{STREAM}?token={page.token}")
        assert (reply.status, list(faults("Error", reply.body))) == (400, [])
    for value in (2.5, 3.5):
        await rest(server, "POST", f"{API}/datapoints", server.reading(value))
        [polled] = await page.ask("GET", f"/datapoints/latest?{now}", "[Datapoint]")
        assert (polled["value"], polled["event_public_id"], len(polled["public_id"]) >= 8) == (value, event, True)
    stream = await server.client.ws_connect(f"{server.address}{STREAM}?token={page.token}")
    assert (await heard(stream))["type"] == "connected"

    for value in (1, 0):
        body = {"value": value, "event_public_id": event}
        await page.ask("POST", "/datapoints", "Status", body, 201)
        [shown] = await page.ask("GET", f"/datapoints/latest?{now}", "[Datapoint]")
        assert shown["value"] == float(value)
    while (await points(stream))[0]["value"] != 0.0:
        continue
    await page.ask("POST", "/auth/logout", "Status")
    assert await ending(stream) == (1008, "Token has been revoked")
    await page.refused("GET", f"/auth/me?{now}")
