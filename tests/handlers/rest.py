"""The resources of the management API as a table, and what tests of each of them do again and again."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import pytest

from tests.plant import Server
from tests.wire import Reply, call
from webmacs.model import Role

API: Final = "/api/v1"
JSON: Final = {"Content-Type": "application/json"}
alone: Final = pytest.mark.asyncio(loop_scope="function")
"""For tests that have a server of their own, in modules whose other tests share one."""

PAGE: Final = {"page", "page_size", "total", "data"}
TIMESTAMP: Final = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z"


def fresh(what: str = "name") -> str:
    """A name that nothing has yet."""
    return f"{what} {uuid.uuid4()}"


@dataclass(frozen=True)
class Resource:
    """A resource, and what a good body of it is."""

    name: str
    body: Callable[[Server], dict[str, Any]]
    needs: Role = Role.OPERATOR
    texts: Mapping[str, int] = field(default_factory=dict)  # by field, how long one may be
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # by field, JSON that it must not be
    unique: str = "name"
    answers: bool = False  # whether adding one is answered with what is shown of it

    def __str__(self) -> str:
        return self.name

    @property
    def path(self) -> str:
        return f"{API}/{self.name}"


NO_NUMBER: Final = ("NaN", "Infinity", "-Infinity", "1e400", "1" + "0" * 400, '"x"', "null", "[]", "{}")
NO_CHOICE: Final = ('"nothing"', '""', "null", "1", "[]", "{}")
NO_SWITCH: Final = ("2", '"perhaps"', "null", "[]", "{}")

EVENTS: Final = Resource(
    "events",
    lambda _: {"name": fresh(), "min_value": 0, "max_value": 7, "unit": "V", "type": "sensor"},
    texts={"name": 255, "unit": 255},
    others={"min_value": NO_NUMBER, "max_value": NO_NUMBER, "type": NO_CHOICE},
)
EXPERIMENTS: Final = Resource("experiments", lambda _: {"name": fresh()}, texts={"name": 255})
RULES: Final = Resource(
    "rules",
    lambda server: {
        "name": fresh(),
        "event_public_id": server.plant.linked[0],
        "operator": "gt",
        "threshold": 80,
        "action_type": "log",
    },
    texts={"name": 255, "event_public_id": 255},
    others={
        "operator": NO_CHOICE,
        "threshold": NO_NUMBER,
        "threshold_high": tuple(raw for raw in NO_NUMBER if raw != "null"),
        "action_type": NO_CHOICE,
        "webhook_event_type": tuple(raw for raw in NO_CHOICE if raw != "null"),
        "enabled": NO_SWITCH,
        "cooldown_seconds": ("-1", "1.5", "NaN", "1e400", "1" + "0" * 400, '"x"', "null", "[]"),
    },
)
WEBHOOKS: Final = Resource(
    "webhooks",
    lambda _: {"url": f"http://127.0.0.1:9/{uuid.uuid4()}", "events": ["sensor.reading"]},
    needs=Role.ADMIN,
    texts={"url": 2048, "secret": 255},
    others={
        "events": ("null", "{}", '"sensor.reading"', '[""]', '["nothing"]', "[null]", '["a\\u0000"]', '["\\ud800"]'),
        "enabled": NO_SWITCH,
    },
    unique="url",
)
USERS: Final = Resource(
    "users",
    lambda _: {"email": f"{uuid.uuid4()}@example.org", "username": fresh("user")[:50], "password": "long enough"},
    needs=Role.ADMIN,
    texts={"email": 254, "username": 50, "password": 1024},
    others={"role": ('"root"', '""', "1", "[]")},
    unique="email",
)
DASHBOARDS: Final = Resource(
    "dashboards",
    lambda _: {"name": fresh()},
    texts={"name": 255},
    others={"is_global": NO_SWITCH},
    answers=True,
)
PLUGINS: Final = Resource(
    "plugins",
    lambda _: {"plugin_id": "system", "instance_name": fresh()},
    needs=Role.ADMIN,
    texts={"instance_name": 255},
    others={
        "demo_mode": NO_SWITCH,
        "enabled": NO_SWITCH,
        "config_json": (
            *('""', '"{"', '"[]"', '"null"', '"1"', '"{}{}"', "{}", "1", "[]"),
            '"{\\"a\\": NaN}"',
            f'"{"[" * 9_999}"',
        ),
    },
    unique="instance_name",
)
LOGS: Final = Resource(
    "logging", lambda _: {"content": "text"}, texts={"content": 500}, others={"logging_type": NO_CHOICE}
)

ALL: Final = (EVENTS, EXPERIMENTS, RULES, WEBHOOKS, DASHBOARDS, USERS, PLUGINS, LOGS)
NAMED: Final = (EVENTS, RULES, WEBHOOKS, USERS, PLUGINS)  # and experiments, of which one runs at a time


def briefly(value: object) -> str:
    """The name of a case."""
    return str(value)[:20]


def with_one(body: dict[str, object], name: str, raw: str) -> str:
    """The body as JSON, one of its fields written like that."""
    return json.dumps({**body, name: "PLACE"}).replace('"PLACE"', raw)


async def rest(server: Server, method: str, path: str, body: object = None, role: Role = Role.ADMIN) -> Reply:
    """One request by API token, with a JSON body if one is given; text goes out as it is."""
    token = server.plant.tokens[role]
    if body is None:
        return await call(server, method, path, token)
    text = body if isinstance(body, str) else json.dumps(body)
    return await call(server, method, path, token, data=text.encode(), headers=JSON)


async def everything(server: Server, path: str) -> list[dict[str, Any]]:
    """All items of a list."""
    found: list[dict[str, Any]] = []
    while True:
        reply = await rest(server, "GET", f"{path}?page_size=100&page={len(found) // 100 + 1}")
        assert reply.status == 200
        found += reply.body["data"]
        if len(found) >= reply.body["total"]:
            return found


async def made(server: Server, resource: Resource, **more: object) -> dict[str, Any]:
    """Make one; what is shown of it. An experiment is stopped again."""
    if resource is EXPERIMENTS:
        await stop_all(server)
    before = {item["public_id"] for item in await everything(server, resource.path)}
    reply = await rest(server, "POST", resource.path, {**resource.body(server), **more})
    assert reply.status == 201, reply
    assert resource.answers or (set(reply.body), reply.body["status"]) == ({"status", "message"}, "success")
    (one,) = [item for item in await everything(server, resource.path) if item["public_id"] not in before]
    if resource is EXPERIMENTS:
        await stop_all(server)
    found = await shown(server, resource, one["public_id"])
    assert not resource.answers or reply.body == found
    return found


async def shown(server: Server, resource: Resource, public_id: str) -> dict[str, Any]:
    """What is shown of one."""
    reply = await rest(server, "GET", f"{resource.path}/{public_id}")
    assert reply.status == 200, reply
    found: dict[str, Any] = reply.body
    return found


async def changed(server: Server, resource: Resource, public_id: str, body: object) -> dict[str, Any]:
    """Change one; what is shown of it then."""
    reply = await rest(server, "PUT", f"{resource.path}/{public_id}", body)
    assert reply.status == 200, reply
    assert reply.body["status"] == "success"
    return await shown(server, resource, public_id)


async def stop_all(server: Server) -> None:
    """No experiment runs then."""
    for experiment in await everything(server, EXPERIMENTS.path):
        if experiment["stopped_on"] is None:
            assert (await rest(server, "PUT", f"{EXPERIMENTS.path}/{experiment['public_id']}/stop")).status == 200


async def told(server: Server, webhook: str) -> list[dict[str, Any]]:
    """The deliveries of a webhook, the newest first."""
    return await everything(server, f"{WEBHOOKS.path}/{webhook}/deliveries")


async def posted(server: Server, value: float, event: int = 0) -> None:
    """One reading of a linked event, stored."""
    reply = await rest(server, "POST", f"{API}/datapoints", server.reading(value, event), Role.OPERATOR)
    assert reply.status == 201, reply
