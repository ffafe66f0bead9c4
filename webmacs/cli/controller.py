"""`webmacs controller`: from the devices of this machine to a server."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import click

from webmacs import logs
from webmacs.cli.setting import config_option, configuration_file, runs, until_told_to_stop
from webmacs.config import Settings, load_settings
from webmacs.errors import ConfigError

# As the specification and installations that exist name them; the keys are those of [controller].
NAMED: Final = {
    "WEBMACS_API_TOKEN": "TOKEN",
    "WEBMACS_POLL_INTERVAL": "POLL_INTERVAL_S",
    "WEBMACS_MAX_BATCH_SIZE": "MAX_BATCH_SIZE",
}
SERVER_URL: Final = "WEBMACS_SERVER_URL"
SERVER_PORT: Final = "WEBMACS_SERVER_PORT"
OURS: Final = "WEBMACS_CONTROLLER__"


@click.command("controller")
@config_option
@click.option("--plain", is_flag=True, help="No live picture, also where the output is a terminal: what is said alone.")
@runs
async def command(config: Path | None, plain: bool) -> None:
    """Read and set the devices of this machine, for a server: the one that [controller] names.

    Which devices there are is configured on the server: an instance of a plugin for each, and events that its channels
    are linked to. What is measured is kept on the disk until the server has it.
    """
    settings = load_settings(configuration_file(config), environment(os.environ))
    await control(settings, live=sys.stdout.isatty() and not plain)


async def control(settings: Settings, *, live: bool) -> None:
    """Run until told to stop.

    Raises:
        ConfigError: there is no way in.
        SpoolError: the spool cannot be used.

    """
    import aiohttp

    from webmacs.controller.agent import Agent
    from webmacs.controller.clocks import MachineClock
    from webmacs.controller.credentials import credentials, trust
    from webmacs.controller.directory import opened
    from webmacs.controller.face import Lines, Screen
    from webmacs.tasks import beside

    ours = settings.controller
    clock = MachineClock()
    let_in_by = credentials(ours, settings.directory)
    certificates = trust(None if ours.cafile is None else settings.directory / ours.cafile)
    logs.set_up(settings.logging)
    with until_told_to_stop() as told, opened(settings.directory / ours.spool_directory, ours, clock) as directory:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=certificates)) as session:
            agent = Agent(ours, directory, session, let_in_by, clock)
            face = Screen(agent) if live else Lines(agent)
            async with beside(face.run()):
                await agent.run(told)


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment, with what others name otherwise under our names, which win."""
    found = {f"{OURS}{key}": environ[name] for name, key in NAMED.items() if environ.get(name)}
    url, port = environ.get(SERVER_URL), environ.get(SERVER_PORT)
    if url or port:
        found[f"{OURS}SERVER_URL"] = server_url(url or "http://127.0.0.1", port)
    if f"{OURS}TOKEN_FILE" in environ:
        found.pop(f"{OURS}TOKEN", None)
    return {**found, **environ}


def server_url(url: str, port: str | None) -> str:
    """An address and, unless it has one, the port."""
    whole = url.rstrip("/")
    if not port:
        return whole
    try:
        has_one = urlsplit(whole).port is not None
    except ValueError as error:
        raise ConfigError(f"{SERVER_URL}: {url!r} is no address: {error}") from error
    return whole if has_one else f"{whole}:{port}"
