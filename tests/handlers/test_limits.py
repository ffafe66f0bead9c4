"""How often a client may ask, and what does not count."""

from __future__ import annotations

import pytest

from tests.handlers.conftest import Serve
from tests.handlers.rest import API
from tests.handlers.test_http import BATCH, DATAPOINTS, EVENTS, LATEST, LOGIN, LOGOUT, ME, ROUTES
from tests.plant import PASSWORD, Server
from tests.wire import SOCKETS, call, connect
from webmacs.config import ServerSettings
from webmacs.model import Role

MANY = 40
UNCOUNTED = {("GET", LATEST), ("POST", DATAPOINTS), ("POST", BATCH), ("GET", ME), ("GET", "/health")}
TOO_MANY = f"Too many requests from this address, more than {MANY} a minute"


async def draw(server: Server, **headers: str) -> int:
    """Ask until there is nothing left; how often that was."""
    for number in range(2 * MANY):
        reply = await call(server, "GET", EVENTS, headers=headers)
        if reply.status == 429:
            return number
        assert reply.status == 401
    return 2 * MANY


@pytest.mark.promise("S6")
async def test_one_who_asks_too_often_is_told_when_to_come_again(serve: Serve) -> None:
    server = await serve(server={"requests_per_minute": MANY})
    assert MANY <= await draw(server) < 2 * MANY
    for token in (None, "nonsense", server.plant.tokens[Role.ADMIN]):
        reply = await call(server, "GET", EVENTS, token)
        assert (reply.status, reply.detail) == (429, TOO_MANY)
        assert reply.headers["Retry-After"] in {"1", "2"}
    metrics = server.parts.metrics.text().decode()
    assert "webmacs_requests_refused_total 4.0" in metrics


async def test_readings_health_and_who_one_is_do_not_count(serve: Serve) -> None:
    server = await serve(server={"requests_per_minute": MANY})
    token = server.plant.tokens[Role.ADMIN]
    await draw(server)
    for method, path, _ in ROUTES:
        if path not in {LOGIN, LOGOUT}:
            status = (await call(server, method, path, token)).status
            assert (status != 429) is ((method, path) in UNCOUNTED), (method, path)
    body = {"email": server.plant.emails[Role.ADMIN], "password": PASSWORD}
    assert (await call(server, "POST", LOGIN, json=body)).status == 429
    for path in SOCKETS:
        await (await connect(server, path, token)).close()
    for _ in range(2 * MANY):
        assert (await call(server, "POST", DATAPOINTS, token, json=server.reading())).status == 201


@pytest.mark.promise("S9")
async def test_each_client_behind_a_trusted_proxy_is_counted_alone(serve: Serve) -> None:
    server = await serve(server={"requests_per_minute": MANY, "trusted_proxies": ["127.0.0.1"]})
    client = {"X-Forwarded-For": "203.0.113.1, 198.51.100.1"}
    assert MANY <= await draw(server, **client) < 2 * MANY
    assert (await call(server, "GET", EVENTS, headers={"X-Forwarded-For": "198.51.100.1"})).status == 429
    assert (await call(server, "GET", EVENTS, headers={"X-Forwarded-For": "198.51.100.2"})).status == 401
    assert (await call(server, "GET", EVENTS)).status == 401


@pytest.mark.promise("S9")
async def test_without_one_nobody_can_say_to_be_somebody_else(serve: Serve) -> None:
    server = await serve(server={"requests_per_minute": MANY})
    await draw(server)
    for header in ("X-Forwarded-For", "X-Real-IP"):
        assert (await call(server, "GET", EVENTS, headers={header: "198.51.100.1"})).status == 429


async def test_the_limit_can_be_switched_off(serve: Serve) -> None:
    server = await serve(server={"requests_per_minute": 0})
    assert await draw(server) == 2 * MANY


def test_a_full_house_behind_one_address_stays_below_the_default() -> None:
    """A browser with forty widgets that ask every three seconds asks 800 times a minute; here are fourteen of them."""
    assert ServerSettings().requests_per_minute >= 14 * 40 * 60 / 3


async def test_every_route_that_counts_says_so(serve: Serve) -> None:
    server = await serve()
    paths = (await call(server, "GET", "/openapi.json")).body["paths"]
    said = {
        (method.upper(), path): "429" in operation["responses"]
        for path, operations in paths.items()
        for method, operation in operations.items()
    }
    assert {route for route, counts in said.items() if not counts} == UNCOUNTED
    assert said["POST", f"{API}/auth/login"]
