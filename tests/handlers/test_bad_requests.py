"""Every route that there is, asked with what nobody should send: in its path, in each parameter, in each field.

The routes, parameters and fields are those of `/openapi.json`, so one that is added is tried, too.
"""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from tests.handlers.rest import JSON
from tests.plant import Server
from tests.promises import Figure
from tests.wire import call
from webmacs.model import Role

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.promise("B10")]

NUL = "%00"
TEXTS = (NUL, f"a{NUL}b", "%ED%A0%80", "%FF", "%0D%0AX-A:%20b", "..%2F..%2F", "a'%3B--", "x" * 3_000)
NUMBERS = ("0", "-1", str(2**31), str(2**31 + 1), str(2**63), str(2**64), "9" * 400, "1e400", "NaN", "%C2%B2")
VALUES = (
    *('"\\u0000"', '"a\\u0000b"', '"\\ud800"', '["\\u0000"]', '{"\\u0000": "\\u0000"}', "null", "true", "NaN", "1e400"),
    *("-1", "1.5", str(2**63), "1" + "0" * 400, "[" * 200 + "]" * 200, '"9999-99-99T99:99:99Z"', '""'),
)
BODIES = (
    "",
    "{",
    "\ufeff{}",
    "{} more",
    "[]",
    "null",
    '"text"',
    "[" * 10_000 + "]" * 10_000,
    '{"a": ' + "9" * 5_000 + "}",
)


@dataclass(frozen=True)
class Route:
    """As the document has it."""

    method: str
    path: str
    parameters: list[str] = field(default_factory=list)
    fields: list[str] = field(default_factory=list)
    has_body: bool = False

    def at(self, part: str = "nobody") -> str:
        """Its path with that for all its ids."""
        return re.sub(r"{\w+}", part, self.path)


async def routes(server: Server) -> list[Route]:
    """All of them."""
    api = (await call(server, "GET", "/openapi.json")).body

    def named(schema: dict[str, Any]) -> Iterator[str]:
        if "$ref" in schema:
            schema = api["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        yield from schema.get("properties", {})

    found = []
    for path, item in api["paths"].items():
        for method, operation in item.items():
            parameters = [one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"]
            body = operation.get("requestBody")
            fields = list(named(body["content"]["application/json"]["schema"])) if body else []
            found.append(Route(method.upper(), path, parameters, fields, body is not None))
    return found


@dataclass
class Answers:
    """What came back, and whether each of them is one that a client can do something with."""

    server: Server
    session: str
    statuses: Counter[int] = field(default_factory=Counter)

    async def ask(self, method: str, target: str, body: str | None = None) -> None:
        options: dict[str, Any] = {} if body is None else {"data": body.encode(), "headers": JSON}
        # Tokens are made in a session alone, and a session could log out.
        credential = self.session if "/tokens" in target else self.server.plant.tokens[Role.ADMIN]
        reply = await call(self.server, method, target, credential, **options)
        assert reply.status < 500, (method, target, body, reply)
        if reply.status >= 400:
            assert reply.detail, (method, target, body)
        self.statuses[reply.status] += 1

    def said(self, what: str) -> str:
        refused = sum(count for status, count in self.statuses.items() if status >= 400)
        kind = self.server.settings.storage.url.partition(":")[0]
        return f"{kind}: {self.statuses.total():,} odd {what}, {refused:,} refused with 4xx, none with 500"


@pytest.fixture
def nothing_fails(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Nothing is logged as our fault."""
    with caplog.at_level(logging.ERROR):
        yield
    assert [record.getMessage() for record in caplog.records] == []


pytestmark.append(pytest.mark.usefixtures("nothing_fails"))


async def test_no_text_in_a_path_is_our_fault(shared: Server, figure: Figure) -> None:
    answers = Answers(shared, await shared.login())
    for route in await routes(shared):
        if route.at() != route.path:
            for text in (*TEXTS, *NUMBERS[:6]):
                await answers.ask(route.method, route.at(text), "{}" if route.has_body else None)
    assert set(answers.statuses) <= {404, 422}
    figure(answers.said("paths"))


async def test_no_text_in_a_query_is_our_fault(shared: Server, figure: Figure) -> None:
    answers = Answers(shared, await shared.login())
    for route in await routes(shared):
        for name in (*route.parameters, NUL):
            for text in (*TEXTS, *NUMBERS):
                await answers.ask(route.method, f"{route.at()}?{name}={text}", "{}" if route.has_body else None)
    figure(answers.said("queries"))


async def test_no_value_in_a_body_is_our_fault(shared: Server, figure: Figure) -> None:
    answers = Answers(shared, await shared.login())
    for route in await routes(shared):
        if not route.has_body:
            continue
        for body in BODIES:
            await answers.ask(route.method, route.at(), body)
        for value in VALUES:
            for name in (*route.fields, "\\u0000"):
                await answers.ask(route.method, route.at(), f'{{"{name}": {value}}}')
            whole = ", ".join(f"{json.dumps(name)}: {value}" for name in route.fields)
            await answers.ask(route.method, route.at(), f"{{{whole}}}")
    figure(answers.said("bodies"))
