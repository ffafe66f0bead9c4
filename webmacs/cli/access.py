"""Where a server is and how to be let in: addresses as people write them, and the ways to sign in."""

from __future__ import annotations

import json
import ssl
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import parse_qs, urlsplit

import aiohttp

from webmacs.auth import Authenticator
from webmacs.catalog import Catalog, Snapshot
from webmacs.cli.feed import ANSWER_S, STREAM, UNAUTHORIZED, SignIn, detail_of, explain
from webmacs.clock import SystemClock
from webmacs.config import Settings
from webmacs.errors import AuthError, ConfigError, NotFound, StorageError, WebmacsError
from webmacs.extensions import load_storage
from webmacs.model import Role, User
from webmacs.storage import records

T = TypeVar("T")

DEFAULT_PORT: Final = 8000
LOGIN: Final = "/api/v1/auth/login"
OWN_TOKEN_S: Final = 3600.0  # then another one is made

_SCHEMES: Final = {"http": "http", "https": "https", "ws": "http", "wss": "https"}


class Unreachable(WebmacsError):
    """The server does not answer, or not as a WebMACS server does."""


@dataclass(frozen=True, slots=True)
class Address:
    """A server's address, without a slash at its end, and the token that was part of the URL, if there was one."""

    url: str
    token: str | None = None


def address(text: str) -> Address:
    """An address as people write it: http(s) or ws(s), or host:port alone, also the whole URL of the stream.

    Raises:
        ConfigError: it is none.

    """
    try:
        parts = urlsplit(text if "://" in text else f"ws://{text}")
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port, parts = None, None, urlsplit("")
    if not host or parts.scheme not in _SCHEMES:
        raise ConfigError(f"{text!r} is not an address like http://host:8000, wss://host or host:8000")
    if port is None and "://" not in text:
        port = DEFAULT_PORT
    name = f"[{host}]" if ":" in host else host
    path = parts.path.rstrip("/").removesuffix(STREAM)
    where = f"{_SCHEMES[parts.scheme]}://{name}{'' if port is None else f':{port}'}{path}"
    return Address(where, parse_qs(parts.query).get("token", [None])[0])


async def reach(where: str, answer: Awaitable[T]) -> T:
    """The first answer of a server. Raises `WebmacsError` when it cannot be had."""
    try:
        return await answer
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise Unreachable(f"cannot reach {where}: {explain(error)}") from error


def own_address(settings: Settings) -> str:
    """Where the server of an installation on this machine listens.

    Raises:
        ConfigError: it takes any free port.

    """
    host, port = settings.server.host, settings.server.port
    if port == 0:
        raise ConfigError("server.port is 0, so any; give the URL")
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - comparing, not binding
    return f"{'https' if settings.server.tls_cert else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"


def trust(settings: Settings | None, cafile: Path | None) -> ssl.SSLContext | bool:
    """Whose certificates to believe: those of `cafile`; an installation's own; else what the system believes.

    Raises:
        ConfigError: there are none in the file.

    """
    own = None if settings is None else settings.server.tls_cert
    file = cafile or (settings.directory / own if settings and own else None)
    if file is None:
        return True
    try:
        context = ssl.create_default_context(cafile=str(file))
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"cannot use the certificate {file}: {error}") from error
    if cafile is None:  # our own server, by whatever name we reach it, is the one that has this very certificate
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def by_token(token: str) -> SignIn:
    """With a token that is given."""

    async def sign_in(_session: aiohttp.ClientSession) -> str:
        return token

    return sign_in


def by_password(where: str, email: str, password: str) -> SignIn:
    """By logging in, which may raise `AuthError`, `aiohttp.ClientError` or `OSError`."""

    async def sign_in(session: aiohttp.ClientSession) -> str:
        body = {"email": email, "password": password}
        timeout = aiohttp.ClientTimeout(total=ANSWER_S)
        async with session.post(where + LOGIN, json=body, timeout=timeout) as response:
            if response.status == UNAUTHORIZED:
                raise AuthError(await detail_of(response))
            response.raise_for_status()
            try:
                token: Any = json.loads(await response.text())["access_token"]
            except (ValueError, KeyError, TypeError):
                raise aiohttp.ClientPayloadError from None
            return str(token)

    return sign_in


def first_administrator(catalog: Snapshot) -> User | None:
    """In whose name somebody acts who may write to the installation itself; None while there is nobody."""
    return next((user for user in catalog.users.values() if user.role is Role.ADMIN), None)


def by_own_key(settings: Settings) -> SignIn:
    """As the first administrator of an installation on this machine, with its key; for an hour. Changes nothing."""

    async def sign_in(_session: aiohttp.ClientSession) -> str:
        from webmacs.secret import secret_key

        clock = SystemClock()
        storage = load_storage(settings)
        catalog = Catalog(lambda: records.snapshot(storage, clock.now_us()))
        try:  # without opening it, which would make or migrate
            await catalog.reload()
        except StorageError as error:
            raise StorageError(
                f"no way to sign in by the installation itself: {error}; --help has other ways"
            ) from error
        finally:
            await storage.close()
        administrator = first_administrator(catalog.current)
        if administrator is None:
            raise NotFound("there is no administrator yet; add one with `webmacs user add EMAIL --role admin`")
        key = secret_key(settings, make=False)
        return Authenticator(catalog, key, clock, OWN_TOKEN_S).issue(administrator).token

    return sign_in
