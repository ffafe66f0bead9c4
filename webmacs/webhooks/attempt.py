"""One attempt to deliver: a request to whoever an administrator named, and an answer in bounded time and memory."""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Final

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientError,
    ClientResponse,
    ClientResponseError,
    ClientSession,
    ClientTimeout,
    DummyCookieJar,
    InvalidURL,
    ServerDisconnectedError,
)
from yarl import URL

from webmacs import __version__
from webmacs.clock import Clock
from webmacs.config import WebhookSettings
from webmacs.model import to_us
from webmacs.webhooks.connections import Connections
from webmacs.webhooks.signing import sign

MAX_ERROR: Final = 500
_CHUNK_BYTES: Final = 16 * 1024
_HEADERS: Final = (
    ("User-Agent", f"WebMACS/{__version__}"),
    ("Content-Type", "application/json"),
    ("Accept-Encoding", "identity"),
)
_WANTED: Final = "it wants http:// or https://, a host and a possible port"
_log: Final = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """How an attempt ended.

    `error` None: delivered; else one line of at most 500 characters, with nothing secret in it. `status` None: no
    answer came. `retry_after_s`: the pause that the receiver asks for after a failure, at least 0.
    """

    status: int | None
    error: str | None
    retry_after_s: float | None

    @property
    def delivered(self) -> bool:
        """The receiver has taken it: 2xx, and nothing else."""
        return self.error is None

    @property
    def gone(self) -> bool:
        """The receiver wants no more of these, ever."""
        return self.status == HTTPStatus.GONE


class Courier:
    """Makes attempts, any number at a time; how many to one receiver is the caller's business.

    What a receiver does is contained here: it is given `timeout_s` in all and `max_response_bytes` of attention, its
    redirects are not followed, its cookies not kept, its compression not undone, and no address is connected to that
    the guard refuses. Certificates are checked against the system's authorities, or with `tls`.
    """

    def __init__(self, settings: WebhookSettings, clock: Clock, *, tls: ssl.SSLContext | None = None) -> None:
        self._settings = settings
        self._clock = clock
        self._tls = tls
        self._connections: Connections | None = None
        self._session: ClientSession | None = None

    async def start(self) -> None:
        """Make ready; nothing is connected yet."""
        self._connections = Connections(self._settings.allowed_networks, self._tls)
        self._session = ClientSession(
            connector=self._connections,
            headers=_HEADERS,
            cookie_jar=DummyCookieJar(),
            timeout=ClientTimeout(total=None, sock_connect=None),  # ours is around all of it, and exact
            auto_decompress=False,
            read_bufsize=_CHUNK_BYTES,
            trust_env=False,  # no proxy: the guard would see its address instead of the receiver's
        )

    async def close(self) -> None:
        """Drop the connections that are kept."""
        if self._session is not None:
            await self._session.close()

    async def send(self, url: str, delivery_id: str, body: bytes, secrets: Sequence[str]) -> Answer:
        """Deliver once. Whatever happens is an answer; only cancellation is raised.

        The status decides: that the rest of an answer does not come, or has no end, changes nothing.
        """
        assert self._session is not None, "started"
        assert self._connections is not None, "started"
        answer: Answer | None = None
        try:
            target = _target(url)
            headers = sign(delivery_id, body, secrets, self._clock.now_us() // 1_000_000)
            async with asyncio.timeout(self._settings.timeout_s):
                async with self._session.post(target, data=body, headers=headers, allow_redirects=False) as response:
                    answer = self._answer(response)
                    await self._read(response)
        except (ClientError, OSError) as error:
            return answer or Answer(None, _explain(error), None)
        except Exception as error:  # noqa: BLE001 - one delivery that cannot be made must not hold up the others
            _log.exception("delivery %s failed in a way that nobody thought of", delivery_id)
            return answer or Answer(None, type(error).__name__, None)
        finally:
            self._connections.cut()
        return answer

    def _answer(self, response: ClientResponse) -> Answer:
        status = response.status
        if HTTPStatus.OK <= status < HTTPStatus.MULTIPLE_CHOICES:
            return Answer(status, None, None)
        pause_s = retry_after_s(response.headers.get("Retry-After"), self._clock.now_us())
        return Answer(status, f"HTTP {status}", pause_s)

    async def _read(self, response: ClientResponse) -> None:
        """Read a small answer to its end, which leaves the connection for the next attempt; of another one, let go."""
        left = self._settings.max_response_bytes
        async for chunk in response.content.iter_chunked(_CHUNK_BYTES):
            left -= len(chunk)
            if left < 0:
                response.close()
                return


def _target(url: str) -> URL:
    """What aiohttp is to call. It also knows schemes of sockets and takes a bare path, which are refused here.

    A `user:password@` becomes Basic authentication, as everywhere.

    Raises:
        InvalidURL: it cannot be called.

    """
    try:
        target = URL(url)
    except ValueError:
        raise InvalidURL(url) from None
    if target.scheme not in {"http", "https"} or not (target.raw_host or "").isprintable():
        raise InvalidURL(url)
    return target


def retry_after_s(text: str | None, now_us: int) -> float | None:
    """What `Retry-After` asks for, by seconds or by a date (RFC 9110, section 10.2.3); None for what cannot be read."""
    if text is None:
        return None
    if text.isascii() and text.isdecimal():
        seconds = float(text)
        return seconds if math.isfinite(seconds) else None
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:  # written without a zone, as asctime() does; HTTP knows no other one
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (to_us(moment) - now_us) / 1e6)


def _explain(error: Exception) -> str:
    """Why there was no answer: in words of ours and the system's, for those of aiohttp may repeat the URL.

    Also nothing that the receiver sent is repeated: it may be an echo of what it got.
    """
    match error:
        case TimeoutError():
            text = "Timeout"
        case ClientConnectorCertificateError():
            text = f"the certificate of {_place(error.host, error.port)} is refused: {error.certificate_error}"
        case ClientConnectorDNSError():
            text = f"the name {error.host} cannot be resolved: {error.strerror}"
        case ClientConnectorError():
            text = f"no connection to {_place(error.host, error.port)}: {error.strerror or error.os_error}"
        case ServerDisconnectedError():
            text = "the connection was closed without an answer"
        case ClientResponseError():
            text = "the answer is not HTTP"
        case InvalidURL():
            text = f"the URL cannot be called: {error.description or _WANTED}"
        case _:
            text = f"the connection broke: {getattr(error, 'strerror', None) or type(error).__name__}"
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable[:MAX_ERROR]


def _place(host: str, port: int | None) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
