"""`webmacs serve`: the server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import resource
import socket
import ssl
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import click
from aiohttp import web

from webmacs import __version__, logs
from webmacs.app import PARTS, build_app
from webmacs.cli.setting import (
    config_option,
    one_line,
    plainly,
    settings_from,
    this_command,
    until_told_to_stop,
)
from webmacs.config import Settings
from webmacs.errors import ConfigError, WebmacsError
from webmacs.garbage import collected_apart
from webmacs.handlers.front import Runner
from webmacs.model import Role
from webmacs.tasks import end

_log = logging.getLogger(__name__)

# The writer thread of an embedded database needs the interpreter now and then; the default of 5 ms makes it wait.
SWITCH_INTERVAL_S = 0.0005

OTHER_FILES = 400  # beside connections: the storage, deliveries


@click.command("serve")
@config_option
def command(config: Path | None) -> None:
    """Run the server until it is told to stop (SIGTERM or Ctrl-C)."""
    try:
        settings = settings_from(config)
        logs.set_up(settings.logging)
        limits = settings.server
        allow_files(limits.max_connections + limits.max_refused + limits.max_http_connections + OTHER_FILES)
        run(serve(settings))
    except WebmacsError as error:
        raise one_line(error) from error


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine to its end, on uvloop where there is one."""
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    factory = None
    with contextlib.suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(work)
        stuck = runner.run(end(*asyncio.all_tasks(runner.get_loop())))
        if stuck:  # a stage that swallows every cancellation; all that matters has been done
            logging.shutdown()
            os._exit(0)


async def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT."""
    app = build_app(settings)
    with until_told_to_stop() as told:
        parts = app[PARTS]
        async with running(settings, app) as address, collected_apart(lambda: parts.pipeline.waiting):
            storage = settings.storage.url.partition(":")[0]
            _log.info("webmacs %s listens on %s, storage %s", __version__, address, storage)
            if not any(user.role is Role.ADMIN for user in parts.catalog.current.users.values()):
                _log.warning("nobody can sign in yet: `%s user add EMAIL --role admin` adds the first", this_command())
            await told.wait()


@asynccontextmanager
async def running(settings: Settings, app: web.Application | None = None) -> AsyncIterator[str]:
    """A server that accepts connections; yields its address. Leaving stops it in good order.

    `app` is for those who want to see its parts; else one is built.

    Raises:
        ConfigError: the address is taken or not ours, or the certificate cannot be used.
        StorageError: the storage cannot be opened.

    """
    tls = tls_context(settings)
    app = app or build_app(settings)
    runner = Runner(app, settings.server, app[PARTS].metrics)
    try:
        await runner.setup()
        site = web.TCPSite(runner, settings.server.host, settings.server.port, ssl_context=tls, backlog=1024)
        try:
            await site.start()
        except OSError as error:
            where = f"{settings.server.host}:{settings.server.port}"
            raise ConfigError(f"server.host, server.port: cannot listen on {where}: {plainly(error)}") from error
        host, port = runner.addresses[0][:2]
        if host in {"0.0.0.0", "::"}:  # noqa: S104 - comparing, not binding
            host = "localhost"
        yield f"{'https' if tls else 'http'}://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        await runner.cleanup()


def allow_files(needed: int) -> None:
    """Let this process open so many files, of which each socket is one: usually no more than 1024 are allowed at first.

    What the system does not allow at all is said in the log.
    """
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY or allowed >= needed:
        return
    possible = needed if most == resource.RLIM_INFINITY else min(needed, most)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (possible, most))
    except (OSError, ValueError):  # macOS says "no limit" and has one
        possible = allowed
    if possible < needed:
        _log.warning(
            "only %d files may be open, server.max_connections wants %d: lower it, or raise LimitNOFILE (`ulimit -Hn`)",
            possible,
            needed,
        )


def refusal(host: str, port: int) -> OSError | None:
    """Why a server could not listen there now; None when it could."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
            probe.bind(address)
            probe.listen(1)
    except OSError as error:
        return error
    return None


def tls_context(settings: Settings) -> ssl.SSLContext | None:
    """For `server.tls_cert` and `server.tls_key`, or None."""
    if settings.server.tls_cert is None or settings.server.tls_key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    certificate, key = (settings.directory / path for path in (settings.server.tls_cert, settings.server.tls_key))
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"server.tls_cert, server.tls_key: cannot use {certificate} with {key}: {error}") from error
    return context
