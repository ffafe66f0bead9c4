"""The agent and a real server, on each storage: what they tell each other beside readings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.controller.conftest import agent_for, until
from tests.controller.devices import Bench
from tests.handlers.rest import API, rest
from tests.plant import Server
from tests.wire import call
from webmacs.controller.credentials import Credentials
from webmacs.model import Role


async def instance_of(server: Server) -> dict[str, Any]:
    shown: dict[str, Any] = (await rest(server, "GET", f"{API}/plugins/{server.plant.plugin}")).body
    return shown


async def change(server: Server, **body: object) -> None:
    assert (await rest(server, "PUT", f"{API}/plugins/{server.plant.plugin}", body=body)).status == 200


async def bound_token(server: Server) -> str:
    """A token that is good for the readings of the plant's instance alone."""
    body = {"name": "rig", "scope": "ingest", "plugin_public_id": server.plant.plugin}
    made = await call(server, "POST", f"{API}/tokens", await server.login(Role.OPERATOR), json=body)
    assert made.status == 201, made.body
    return str(made.body["token"])


async def test_the_server_shows_how_a_device_is_doing(server: Server, tmp_path: Path, bench: Bench) -> None:
    credentials = Credentials(token=server.plant.tokens[Role.ADMIN])
    async with agent_for(server.address, tmp_path / "spool", bench, credentials=credentials) as agent:
        await until(lambda: agent.hello is not None and agent.outbox.totals.stored)
        bench.fails["read"] = ConnectionError("unplugged")
        shown = await instance_of(server)
        while shown["status"] != "error":
            shown = await instance_of(server)
        assert shown["error_message"] == "ConnectionError: unplugged"
        del bench.fails["read"]
        while shown["status"] != "connected":
            shown = await instance_of(server)
    assert shown["last_seen"] is not None


async def test_a_change_counts_at_once(server: Server, tmp_path: Path, bench: Bench) -> None:
    credentials = Credentials(token=server.plant.tokens[Role.ADMIN])
    async with agent_for(
        server.address, tmp_path / "spool", bench, credentials=credentials, config_interval_s=600.0
    ) as agent:
        await until(lambda: agent.outbox.totals.stored)
        await change(server, enabled=False)
        await until(lambda: bench.log == ["open", "close"])
        await change(server, enabled=True, demo_mode=True)
        await until(lambda: bench.log == ["open", "close", "open demo"])


@pytest.mark.parametrize("transport", ["websocket", "http"])
async def test_a_token_that_is_bound_to_an_instance_is_enough(
    server: Server, tmp_path: Path, bench: Bench, transport: str
) -> None:
    credentials = Credentials(token=await bound_token(server))
    event = server.plant.unlinked
    channel = {"channel_id": "heater", "channel_name": "Heater", "direction": "output", "unit": "%"}
    path = f"{API}/plugins/{server.plant.plugin}/channels"
    assert (await rest(server, "POST", path, body={**channel, "event_public_id": event})).status == 201
    async with agent_for(
        server.address, tmp_path / "spool", bench, credentials=credentials, transport=transport
    ) as agent:
        await until(lambda: agent.outbox.totals.stored >= 9)
        body = {"event_public_id": event, "value": 55.0}
        assert (await rest(server, "POST", f"{API}/datapoints", body=body)).status == 201
        await until(lambda: "heater=55" in bench.log)
        shown = await instance_of(server)
        while shown["last_seen"] is None or shown["status"] != "connected":
            shown = await instance_of(server)
        stored = agent.outbox.totals.stored
        await until(lambda: agent.outbox.totals.stored >= stored + 30)
    assert bench.log == ["open", "heater=55", "heater=0", "close"]
    assert agent.outbox.totals.unlinked == agent.outbox.totals.refused == agent.outbox.totals.skewed == 0
