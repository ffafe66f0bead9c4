"""Attempts at receivers with TLS."""

from __future__ import annotations

import asyncio
import contextlib
import os
import ssl
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.webhooks.receivers import (
    DEADLINE_S,
    OK,
    courier,
    flooding,
    hanging,
    listening,
    reply,
)
from webmacs.webhooks.attempt import Answer

SOON_S = 0.3
GOODBYE_S = 15.0
"""Half of the time that the loops give the other side to take its leave."""


@pytest.fixture
def identity(certificate: Path) -> ssl.SSLContext:
    """Of a receiver that is called `localhost`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    return context


@pytest.fixture
def trust(certificate: Path) -> ssl.SSLContext:
    """Of a sender that knows this receiver."""
    return ssl.create_default_context(cafile=str(certificate))


async def test_a_receiver_with_a_certificate_that_is_trusted_is_delivered_to(
    identity: ssl.SSLContext, trust: ssl.SSLContext
) -> None:
    async with listening(OK, tls=identity) as receiver, courier(tls=trust) as sender:
        for _ in range(2):
            answer = await sender.send(receiver.url(host="localhost", scheme="https"), "id", b"{}", [])
            assert answer == Answer(200, None, None)
    assert receiver.connections == 1


SEND = """
import asyncio, sys
from webmacs.clock import SystemClock
from webmacs.config import WebhookSettings
from webmacs.webhooks.attempt import Courier

async def send():
    courier = Courier(WebhookSettings(allowed_networks=("127.0.0.0/8", "::1/128")), SystemClock())
    await courier.start()
    print(await courier.send(sys.argv[1], "id", b"{}", []))
    await courier.close()

asyncio.run(send())
"""


async def test_the_environment_names_authorities_of_ones_own(identity: ssl.SSLContext, certificate: Path) -> None:
    async with listening(OK, tls=identity) as receiver:
        url = receiver.url(host="localhost", scheme="https")
        sender = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", SEND, url),
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "SSL_CERT_FILE": str(certificate)},
        )
        said, _ = await sender.communicate()
    assert said.decode().strip() == str(Answer(200, None, None))


async def test_a_certificate_of_nobody_known_is_refused(identity: ssl.SSLContext) -> None:
    async with listening(OK, tls=identity) as receiver, courier() as sender:
        answer = await sender.send(receiver.url(host="localhost", scheme="https"), "id", b"{}", [])
    assert answer.status is None
    assert answer.error is not None
    assert answer.error.startswith(f"the certificate of localhost:{receiver.port} is refused: ")
    assert "self-signed certificate" in answer.error
    assert receiver.requests == []


async def test_a_certificate_of_somebody_else_is_refused(identity: ssl.SSLContext, trust: ssl.SSLContext) -> None:
    async with listening(OK, tls=identity) as receiver, courier(tls=trust) as sender:
        answer = await sender.send(receiver.url(scheme="https"), "id", b"{}", [])
    assert answer.error is not None
    assert "127.0.0.1" in answer.error
    assert receiver.requests == []


Greeting = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def greeting(greet: Greeting) -> AsyncIterator[int]:
    """The port of somebody who greets like this, and then says nothing until the other side has gone, which it must."""
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            await greet(reader, writer)
            while await reader.read(65_536):
                pass
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
        ended.set()

    server = await asyncio.start_server(serve, "127.0.0.1")
    async with server:
        yield server.sockets[0].getsockname()[1]
        async with asyncio.timeout(GOODBYE_S):
            await ended.wait()


async def test_a_receiver_without_tls_where_it_is_expected(trust: ssl.SSLContext) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)
        writer.write(reply(400))

    async with greeting(refuse) as port, courier(tls=trust) as sender:
        answer = await sender.send(f"https://127.0.0.1:{port}/", "id", b"{}", [])
    assert answer.status is None
    assert answer.error is not None
    assert answer.error.startswith(f"no connection to 127.0.0.1:{port}: ")


async def test_a_receiver_with_tls_that_says_nothing_has_a_deadline(
    identity: ssl.SSLContext, trust: ssl.SSLContext
) -> None:
    async with listening(hanging, tls=identity) as receiver, courier(tls=trust, timeout_s=SOON_S) as sender:
        answer = await sender.send(receiver.url(host="localhost", scheme="https"), "id", b"{}", [])
        assert answer == Answer(None, "Timeout", None)


async def test_a_gigabyte_by_tls_is_not_read(identity: ssl.SSLContext, trust: ssl.SSLContext) -> None:
    behave = flooding(b"HTTP/1.1 200 OK\r\n\r\n", bytes(65_536))
    async with listening(behave, tls=identity) as receiver, courier(tls=trust) as sender:
        answer = await sender.send(receiver.url(host="localhost", scheme="https"), "id", b"{}", [])
        assert answer == Answer(200, None, None)
        await receiver.until(lambda: receiver.ended == 1)
    assert receiver.sent < 20_000_000


async def test_a_handshake_that_does_not_end_has_a_deadline(trust: ssl.SSLContext) -> None:
    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1000)

    async with greeting(wait) as port, courier(tls=trust, timeout_s=SOON_S) as sender:
        assert await sender.send(f"https://127.0.0.1:{port}/", "id", b"{}", []) == Answer(None, "Timeout", None)


async def test_nobody_waits_for_the_goodbye_of_a_receiver_that_keeps_silent(
    identity: ssl.SSLContext, trust: ssl.SSLContext
) -> None:
    """TLS takes its leave and waits for the other side to do so, by default for half a minute."""
    asked = asyncio.Event()

    async def shake_hands(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = identity.wrap_bio(incoming, outgoing, server_side=True)
        shaken = False
        while not shaken:
            try:
                tls.do_handshake()
                shaken = True
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                incoming.write(await reader.read(65_536))
        writer.write(outgoing.read())
        await reader.read(65_536)
        asked.set()

    async with greeting(shake_hands) as port, courier(tls=trust) as sender:
        attempt = asyncio.create_task(sender.send(f"https://localhost:{port}/", "id", b"{}", []))
        async with asyncio.timeout(DEADLINE_S):
            await asked.wait()
        attempt.cancel()
        await asyncio.wait([attempt])
