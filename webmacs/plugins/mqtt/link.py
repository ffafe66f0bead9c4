"""The connection to a broker: made, kept, and made anew whenever it is lost."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import random
import ssl
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any, Final

from webmacs.errors import DeviceError
from webmacs.plugins.mqtt.config import MqttConfig, Tls
from webmacs.tasks import end

if TYPE_CHECKING:
    from aiomqtt import Client

_log = logging.getLogger(__name__)

FIRST_RETRY_S: Final = 0.2
CUT_S: Final = 1.0
MAX_INCOMING: Final = 10_000  # messages that came while the loop was busy; more are dropped, and logged
REFUSED: Final = 128  # MQTT 3.1.1, 3.9.3: the broker does not let the topic be subscribed to


class Link:
    """A client of aiomqtt that comes back. `trouble` says why there is no connection; empty: there is one."""

    def __init__(
        self, config: MqttConfig, topics: Collection[str], on_message: Callable[[str, bytes, bool], None]
    ) -> None:
        """`on_message` is called with topic, payload and whether the broker had kept it."""
        self._config, self._topics, self._on_message = config, sorted(topics), on_message
        self._client: Client | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._given_up = set[asyncio.Task[None]]()
        self.trouble = "not open"

    async def open(self) -> None:
        """Connect and subscribe. Raises `DeviceError`."""
        await self.close()
        self._client = client = await self._connected()
        self.trouble = ""
        self._keeper = asyncio.create_task(self._keep(client))

    async def close(self) -> None:
        """Disconnect. Harmless when repeated."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            await end(keeper)
        if self._given_up:
            await asyncio.wait(self._given_up, timeout=self._config.timeout_s)
        self.trouble = "not open"

    async def publish(self, topic: str, payload: str, *, retain: bool) -> None:
        """Send a message; with `qos` above 0 the broker has it when this returns. Raises `DeviceError`."""
        from aiomqtt import MqttError

        if self._client is None:
            raise DeviceError(self.trouble)
        try:
            await self._client.publish(topic, payload, self._config.qos, retain)
        except MqttError as error:
            raise DeviceError(f"the broker at {self._config.where} has not taken it: {error}") from error

    async def _keep(self, client: Client | None) -> None:
        """Take what comes, over one connection after the other."""
        from aiomqtt import MqttError

        delay_s = FIRST_RETRY_S
        while True:
            try:
                if client is None:
                    client = await self._connected()
                delay_s, self._client, self.trouble = FIRST_RETRY_S, client, ""
                async for message in client.messages:
                    self._take(str(message.topic), message.payload, kept=message.retain)
            except MqttError as error:
                self.trouble = f"the connection to {self._config.where} is lost: {error}"
                _log.warning("%s", self.trouble)
            except DeviceError as error:
                self.trouble = str(error)
                _log.debug("%s", self.trouble)
            finally:
                self._client, left = None, client
                if left is not None:
                    await self._leave(left)
            client = None
            await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter, not a secret
            delay_s = min(2 * delay_s, self._config.retry_s)

    def _take(self, topic: str, payload: bytes, *, kept: bool) -> None:
        try:
            self._on_message(topic, payload, kept)
        except Exception:  # noqa: BLE001 - the next message is none the worse for it
            _log.exception("a message on %s could not be taken", topic)

    async def _connected(self) -> Client:
        """A client that is connected and has subscribed. Raises `DeviceError`."""
        client = await self._made()
        entering = asyncio.create_task(client.__aenter__())
        try:
            # It connects in a thread, which cannot be cancelled: then it is let finish, and disconnected.
            await asyncio.shield(entering)
        except asyncio.CancelledError:
            given_up = asyncio.create_task(_let_finish(client, entering))
            self._given_up.add(given_up)
            given_up.add_done_callback(self._given_up.discard)
            raise
        except Exception as error:
            await _cut(client)
            raise DeviceError(f"no connection to the broker at {self._config.where}: {error}") from error
        try:
            await self._subscribe(client)
        except BaseException:
            await self._leave(client)
            raise
        return client

    async def _subscribe(self, client: Client) -> None:
        from aiomqtt import MqttError

        if not self._topics:
            return
        try:
            wanted: list[tuple[str, int]] = [(topic, self._config.qos) for topic in self._topics]
            answers: Sequence[Any] = await client.subscribe(wanted)
        except MqttError as error:
            raise DeviceError(f"the broker at {self._config.where} does not let us subscribe: {error}") from error
        for topic, answer in zip(self._topics, answers, strict=True):
            if (answer if isinstance(answer, int) else answer.value) >= REFUSED:
                raise DeviceError(f"the broker at {self._config.where} does not let us subscribe to {topic!r}")

    async def _made(self) -> Client:
        try:
            from aiomqtt import Client
        except ImportError as error:
            raise DeviceError(f"the plugin 'mqtt' needs aiomqtt: pip install 'webmacs[mqtt]' ({error})") from error
        config = self._config
        return Client(
            config.host,
            config.broker_port,
            username=config.username,
            password=_password(config),
            identifier=config.client_id,
            keepalive=config.keepalive_s,
            timeout=config.timeout_s,
            tls_context=None if config.tls is None else await asyncio.to_thread(_context, config.tls),
            max_queued_incoming_messages=MAX_INCOMING,
        )

    async def _leave(self, client: Client) -> None:
        from aiomqtt import MqttError

        with contextlib.suppress(MqttError):  # it has gone already, or says nothing any more
            await client.__aexit__(None, None, None)
        await _cut(client)


async def _let_finish(client: Client, entering: asyncio.Task[Client]) -> None:
    await asyncio.wait([entering])
    if not entering.cancelled() and entering.exception() is not None:
        _log.debug("a connection that was given up has failed: %s", entering.exception())
    await _cut(client)


async def _cut(client: Client) -> None:
    """Make sure that a client is disconnected: aiomqtt leaves one half open whose connecting did not end well."""
    paho = client._client
    paho.disconnect()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CUT_S):
            while paho.socket() is not None:  # noqa: ASYNC110 - nobody is told of it
                await asyncio.sleep(CUT_S / 100)


def _password(config: MqttConfig) -> str | None:
    if config.password_env is None:
        return None if config.password is None else config.password.get_secret_value()
    password = os.environ.get(config.password_env)
    if password is None:
        raise DeviceError(f"password_env: the controller's environment has no variable {config.password_env}")
    return password


def _context(tls: Tls) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=tls.cafile)
        if tls.certfile is not None:
            context.load_cert_chain(tls.certfile, tls.keyfile)
    except OSError as error:  # of which ssl.SSLError is one
        names = ", ".join(name for name in (tls.cafile, tls.certfile, tls.keyfile) if name)
        raise DeviceError(f"tls: {names or 'the certificates of this system'} cannot be used: {error}") from error
    return context
