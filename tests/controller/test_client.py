"""The library for scripts of one's own: a few lines, and each reading is stored once."""

from __future__ import annotations

import asyncio
import math
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from aiohttp.test_utils import TestServer

from tests.controller.pretender import TOKEN, Pretender
from tests.controller.stored import stored_rows
from tests.faults.ledger import stored_values
from tests.plant import PASSWORD, Server
from tests.proxy import proxy_to
from webmacs.controller.client import connect, connect_blocking
from webmacs.controller.credentials import trust
from webmacs.controller.link import Timing
from webmacs.errors import AuthError, ConfigError
from webmacs.model import Role, to_us

BRISK = Timing(connect_s=5.0, hello_s=0.05, answer_s=5.0, first_pause_s=0.02, max_pause_s=0.1)


async def test_a_value_is_stored_when_send_returns(server: Server) -> None:
    async with connect(server.address, server.plant.tokens[Role.OPERATOR], timing=BRISK) as client:
        stored = await client.send({server.plant.linked[0]: 23.5, server.plant.linked[1]: 4})
    assert (stored.accepted, stored.unlinked, stored.duplicate) == (2, 0, False)
    assert await stored_values(server.parts.storage) == {23.5: 1, 4.0: 1}


async def test_what_is_linked_to_nothing_is_said(server: Server) -> None:
    async with connect(server.address, server.plant.tokens[Role.OPERATOR], timing=BRISK) as client:
        stored = await client.send({server.plant.linked[0]: 1.0, server.plant.unlinked: 2.0})
    assert (stored.accepted, stored.unlinked) == (1, 1)


async def test_values_may_have_times_of_their_own(server: Server) -> None:
    early, late = (datetime.now(UTC) - timedelta(hours=hours) for hours in (2, 1))
    event = server.plant.linked[0]
    async with connect(server.address, server.plant.tokens[Role.OPERATOR], timing=BRISK) as client:
        await client.send([(event, 1.0, early), (event, 2.0, None)], time=late)
    rows = await stored_rows(server.parts.storage)
    assert [(row.value, row.time_us) for row in rows] == [(1.0, to_us(early)), (2.0, to_us(late))]


async def test_more_than_a_message_holds_is_sent_in_several(server: Server) -> None:
    event = server.plant.linked[0]
    async with connect(server.address, server.plant.tokens[Role.OPERATOR], timing=BRISK) as client:
        stored = await client.send([(event, float(number), None) for number in range(1234)])
    assert stored.accepted == 1234
    assert await stored_values(server.parts.storage) == {float(number): 1 for number in range(1234)}


@pytest.mark.parametrize("how", ["answer lost", "cut off"])
async def test_a_connection_that_breaks_neither_loses_nor_doubles(server: Server, how: str) -> None:
    async with proxy_to(int(server.address.rpartition(":")[2])) as proxy:
        address = f"http://127.0.0.1:{proxy.port}"
        async with connect(address, server.plant.tokens[Role.OPERATOR], timing=BRISK) as client:
            await client.send({server.plant.linked[0]: 1.0})
            fault = proxy.lose_answer_to(b"") if how == "answer lost" else proxy.cut_behind(b"", 20)
            stored = await client.send({server.plant.linked[0]: 2.0})
    assert fault.met.is_set()
    assert stored.accepted == 1
    assert stored.duplicate == (how == "answer lost")
    assert await stored_values(server.parts.storage) == {1.0: 1, 2.0: 1}


async def test_many_may_send_at_once(server: Server) -> None:
    async with connect(server.address, server.plant.tokens[Role.OPERATOR], timing=BRISK) as client:
        await asyncio.gather(*(client.send({server.plant.linked[0]: float(number)}) for number in range(100)))
    assert await stored_values(server.parts.storage) == {float(number): 1 for number in range(100)}


async def test_a_session_does_as_well_as_a_token(server: Server) -> None:
    email = server.plant.emails[Role.OPERATOR]
    async with connect(server.address, email=email, password=PASSWORD, timing=BRISK) as client:
        assert (await client.send({server.plant.linked[0]: 1.0})).accepted == 1


async def test_who_is_not_let_in_is_told_so(server: Server) -> None:
    with pytest.raises(AuthError, match="Invalid or expired token"):
        async with connect(server.address, "wm_wrong", timing=BRISK):
            raise AssertionError
    with pytest.raises(AuthError, match="does not know this e-mail address"):
        async with connect(server.address, email="nobody@example.org", password="x", timing=BRISK):
            raise AssertionError


async def test_who_waits_when_the_token_is_revoked_is_told_so(server: Server) -> None:
    newcomer = await server.newcomer()
    async with connect(server.address, newcomer.api_token, timing=BRISK) as client:
        await client.send({server.plant.linked[0]: 1.0})

        async def go_on() -> None:
            while True:
                await client.send({server.plant.linked[0]: 2.0})
                await asyncio.sleep(0.01)

        mine = {"Authorization": f"Bearer {newcomer.jwt}"}
        await server.client.delete(f"{server.address}/api/v1/tokens/{newcomer.api_token_id}", headers=mine)
        with pytest.raises(AuthError, match=r"Invalid or expired token|Token has been revoked"):
            await asyncio.wait_for(go_on(), 10)


async def test_what_can_be_no_reading_is_refused_before_it_is_sent(server: Server) -> None:
    async with connect(server.address, server.plant.tokens[Role.OPERATOR], timing=BRISK) as client:
        with pytest.raises(ValueError, match="is nan, which is no finite number"):
            await client.send({"event": math.nan})
        with pytest.raises(ValueError, match="has no offset"):
            await client.send({"event": 1.0}, time=datetime(2026, 1, 1))  # noqa: DTZ001


async def test_a_certificate_that_is_named_is_believed(certificate: Path) -> None:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    pretender = Pretender()
    server = TestServer(pretender.app(), scheme="https")
    await server.start_server(ssl=context)
    address = f"https://localhost:{server.port}"
    try:
        async with connect(address, TOKEN, cafile=certificate, timing=BRISK) as client:
            assert (await client.send({"event": 1.0})).accepted == 1
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5), connect(address, TOKEN, timing=BRISK):
                raise AssertionError
    finally:
        await server.close()


def test_a_file_without_certificates_is_named(tmp_path: Path) -> None:
    (tmp_path / "none.pem").write_text("nothing")
    for name in ("none.pem", "nowhere.pem"):
        with pytest.raises(ConfigError, match=rf"cannot use the certificates in .*{name}"):
            trust(tmp_path / name)


async def test_without_a_way_in_nothing_is_tried() -> None:
    with pytest.raises(ConfigError, match="give an API token"):
        async with connect("http://127.0.0.1:1", email="me@example.org"):
            raise AssertionError


async def test_scripts_that_are_not_asynchronous_have_it_too(server: Server) -> None:
    def script() -> int:
        with connect_blocking(server.address, server.plant.tokens[Role.OPERATOR], timing=BRISK) as client:
            return client.send({server.plant.linked[0]: 5.0}, timeout_s=10).accepted

    assert await asyncio.to_thread(script) == 1
    assert await stored_values(server.parts.storage) == {5.0: 1}
